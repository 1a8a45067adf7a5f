package imwire.peer.client;

import imwire.peer.store.Store;
import imwire.peer.store.pb.Change;
import imwire.peer.store.pb.Welcomed;
import imwire.v1.Codes.ErrorCode;
import imwire.v1.Error.ErrorFrame;
import imwire.v1.Error.ErrorScope;
import imwire.v1.Error.RetryClass;
import imwire.v1.FrameOuterClass.Frame;
import imwire.v1.Handshake.Hello;
import imwire.v1.Handshake.Limits;
import imwire.v1.Handshake.Timers;
import imwire.v1.Handshake.Welcome;
import imwire.v1.Liveness.GoAway;
import java.net.URI;
import java.util.HashMap;
import java.util.Map;
import java.util.Random;

/**
 * The client's states of chapter 3: resting, greeting, open, leaving, stopped. It opens one connection at a time
 * (DEV-8), knows when to come back, and hands what an open session hears to its listener.
 */
final class Session {
  /** What an open session means to the rest of the client. */
  interface Listener {
    void opened(Welcome welcome, boolean newEpoch);

    void frame(Frame frame);

    /** The session, if there was one, is gone; another may come. */
    void lost();
  }

  private enum Phase { RESTING, GREETING, OPEN, LEAVING, STOPPED }

  static final int VERSION = 1000;
  /** How long a connection may take to its Welcome. No timer of an earlier Welcome is meant for it. */
  private static final long GREETING_MS = 10000;
  /** An answer that has not come after so many send timeouts will not come (ERR-14). */
  private static final int UNANSWERED_TIMEOUTS = 3;
  final Loop loop;
  final Random random;
  private final Store store;
  private final Application application;
  private final Listener listener;
  private final URI url;
  private final String device;
  private final Integer receiveWindow;
  private final Tokens tokens;
  private Phase phase = Phase.RESTING;
  private Wire wire;
  private Timers timers = Lawful.DEFAULTS;
  private Limits limits = Limits.getDefaultInstance();
  private int attempt;
  private int failures;
  private int lastRequestId;
  /** By request_id, what begins a new session when the answer does not come. */
  private final Map<Integer, Loop.Timer> unanswered = new HashMap<>();
  private Loop.Timer deadline;
  private Loop.Timer healthy;
  /** After a GoAway: how it wants us to come back. */
  private GoAway goAway;

  Session(Loop loop, Random random, Store store, Application application, Listener listener, URI url, String device,
      String token, Integer receiveWindow) {
    this.loop = loop;
    this.random = random;
    this.store = store;
    this.application = application;
    this.listener = listener;
    this.url = url;
    this.device = device;
    this.receiveWindow = receiveWindow;
    this.tokens = new Tokens(this, application, token);
  }

  void start() {
    if (tokens.isUsable()) connect();
    else tokens.ask();
  }

  /** Ends it in good order; nothing comes back by itself (RECON-3). */
  void stop() {
    stopped(null, false);
  }

  /** True while requests may be sent: not behind a GoAway (AWAY-8). */
  boolean isOpen() {
    return phase == Phase.OPEN;
  }

  /** True while DeliverAck may be sent: behind a GoAway as well (AWAY-8). */
  boolean mayAcknowledge() {
    return phase == Phase.OPEN || phase == Phase.LEAVING;
  }

  boolean isStopped() {
    return phase == Phase.STOPPED;
  }

  Timers timers() {
    return timers;
  }

  /** Of the latest Welcome; all zero before the first. */
  Limits limits() {
    return limits;
  }

  Tokens tokens() {
    return tokens;
  }

  /** The first is 1; each session counts anew (RECON-4, PULL-17). */
  int nextRequestId() {
    int id = ++lastRequestId;
    long waitMs = UNANSWERED_TIMEOUTS * Integer.toUnsignedLong(timers.getSendTimeoutMs());
    unanswered.put(id, loop.after(waitMs, () -> {
      if (isOpen()) startAnew("nobody has answered request " + id);
    }));
    return id;
  }

  private void answered(int id) {
    Loop.Timer timer = unanswered.remove(id);
    if (timer != null) timer.cancel();
  }

  private void allAnswered() {
    for (Loop.Timer timer : unanswered.values()) timer.cancel();
    unanswered.clear();
  }

  int lastRequestId() {
    return lastRequestId;
  }

  void send(Frame.Builder frame) {
    wire.send(frame.build());
  }

  /** Lets out what this turn has to say. */
  void flush() {
    if (wire != null) wire.flush();
  }

  /** The two sides have lost step: a new session starts from the cursor (ACK-13, GAP-10). */
  void startAnew(String why) {
    System.err.println("imwire: a new session, because " + why);
    if (wire != null) gone(0, null);
  }

  /** A token has come while the session rests for want of one. */
  void connectAfterToken() {
    rest(Backoff.reconnectMs(timers, failures, random), null);
  }

  /** The application asks again after a stop. */
  void connectAgain() {
    phase = Phase.RESTING;
    connect();
  }

  void loginNeeded(String code) {
    stopped(code, true);
  }

  private void connect() {
    phase = Phase.GREETING;
    attempt++;
    lastRequestId = 0;
    goAway = null;
    application.connection("connecting", null, false);
    Wire opened = new Wire(this, url, GREETING_MS);
    wire = opened;
    deadline = loop.after(GREETING_MS, () -> silent(opened));
  }

  private void silent(Wire on) {
    if (on == wire && phase == Phase.GREETING) gone(0, null);
  }

  /** The connection is there: Hello, and nothing else before Welcome (CONN-1, CONN-16). */
  void connected() {
    Hello.Builder hello = Hello.newBuilder().setVersionMin(VERSION).setVersionMax(VERSION).setToken(tokens.current())
        .setDeviceId(device).setClientName("imwire-java").setClientVersion(Client.CLIENT_VERSION)
        .setRun(store.run()).setAttempt(attempt);
    if (receiveWindow != null) hello.setReceiveWindow(receiveWindow);
    wire.send(Frame.newBuilder().setHello(hello).build());
  }

  void frame(Frame frame) {
    switch (frame.getBodyCase()) {
      case ERROR -> error(frame.getError());
      case GO_AWAY -> goAway(frame.getGoAway());
      case WELCOME -> {
        if (phase == Phase.GREETING) welcome(frame.getWelcome());
        else violation(frame);
      }
      // Kinds that only clients send (CONN-19).
      case HELLO, SEND_REQ, DELIVER_ACK, PULL_OFFLINE, TOKEN_REFRESH, QUERY_SEND, SYNC_REQ, PULL_HISTORY -> violation(frame);
      default -> {
        if (phase == Phase.GREETING) {
          violation(frame);
          return;
        }
        answered(requestIdOf(frame));
        listener.frame(frame);
      }
    }
  }

  /** The request that a frame answers; 0: none. */
  private static int requestIdOf(Frame frame) {
    return switch (frame.getBodyCase()) {
      case OFFLINE_PAGE -> frame.getOfflinePage().getRequestId();
      case SYNC_PAGE -> frame.getSyncPage().getRequestId();
      case HISTORY_PAGE -> frame.getHistoryPage().getRequestId();
      case QUERY_SEND_RESULT -> frame.getQuerySendResult().getRequestId();
      case TOKEN_REFRESHED -> frame.getTokenRefreshed().getRequestId();
      default -> 0;
    };
  }

  private void welcome(Welcome welcome) {
    deadline.cancel();
    boolean lawful = welcome.getVersion() == VERSION && Lawful.timers(welcome.getTimers()) && Lawful.limits(welcome.getLimits());
    if (!lawful) {
      gone(0, null);
      return;
    }
    if (!store.user().isEmpty() && !store.user().equals(welcome.getUserId())) {
      // What is stored is another person's: neither may see the other's (CONN-22).
      System.err.println("imwire: the token is of another user than the stored data");
      stopped(null, true);
      return;
    }
    timers = welcome.getTimers();
    limits = welcome.getLimits();
    boolean newEpoch = !store.epoch().isEmpty() && !store.epoch().equals(welcome.getEpoch());
    if (store.user().isEmpty() || newEpoch) {
      store.change(Change.newBuilder().setWelcomed(Welcomed.newBuilder().setUserId(welcome.getUserId()).setEpoch(welcome.getEpoch())));
    }
    phase = Phase.OPEN;
    wire.welcomed(timers, limits);
    Wire on = wire;
    healthy = loop.after(timers.getHealthyMs(), () -> {
      // Only now has the session proved itself (RECON-2).
      if (on == wire) failures = 0;
    });
    tokens.opened(welcome);
    application.connection("open", null, false);
    listener.opened(welcome, newEpoch);
  }

  private void error(ErrorFrame error) {
    answered(error.getRequestId());
    // It names a kind and no request: which of its requests there is no answer to is not known.
    if (error.getCode() == ErrorCode.ERROR_CODE_UNSUPPORTED_FRAME) allAnswered();
    // A scope that is not known is read as the request's: who means the session ends it (FRAME-13, ERR-5).
    if (error.getScope() == ErrorScope.ERROR_SCOPE_SESSION) ended(error);
    else if (phase != Phase.GREETING) listener.frame(Frame.newBuilder().setError(error).build());
  }

  private void goAway(GoAway away) {
    if (phase == Phase.LEAVING) return;
    phase = Phase.LEAVING;
    goAway = away;
    deadline.cancel();
    // Answers may still come; a server that does not close is left (AWAY-5).
    Wire on = wire;
    deadline = loop.after(Integer.toUnsignedLong(away.getCloseAfterMs()), () -> {
      if (on == wire) gone(0, null);
    });
    if (away.getRetry() == RetryClass.RETRY_CLASS_NEVER) stopped(Codes.name(away.getCode(), away.getCodeValue()), false);
  }

  /** The session ends here (ERR-6); a class that is not known comes back (ERR-4). */
  private void ended(ErrorFrame error) {
    String name = Codes.name(error.getCode(), error.getCodeValue());
    switch (error.getRetry()) {
      case RETRY_CLASS_NEVER -> stopped(name, false);
      case RETRY_CLASS_REAUTH -> wantToken(name);
      default -> gone(Integer.toUnsignedLong(error.getRetryAfterMs()), name);
    }
  }

  /** No connection with this token any more (AUTH-2). */
  private void wantToken(String code) {
    leave();
    failures++;
    phase = Phase.RESTING;
    application.connection("waiting", code, false);
    tokens.rejected(code);
  }

  private void violation(Frame frame) {
    refuse(ErrorCode.ERROR_CODE_PROTOCOL_VIOLATION, frame.getBodyCase().getNumber());
  }

  /** Tells the peer what ends the session, and ends it (ERR-6). `kind` is 0 where the bytes were no frame (ERR-7). */
  void refuse(ErrorCode code, int kind) {
    wire.send(Frame.newBuilder().setError(ErrorFrame.newBuilder().setCode(code).setScope(ErrorScope.ERROR_SCOPE_SESSION)
        .setRetry(RetryClass.RETRY_CLASS_RECONNECT).setFrameKind(kind)).build());
    gone(0, null);
  }

  /** The connection is lost or given up; the next one comes by itself (RECON-3). */
  void gone(long notBeforeMs, String code) {
    GoAway away = goAway;
    if (away != null && away.getRetry() == RetryClass.RETRY_CLASS_REAUTH) {
      wantToken(Codes.name(away.getCode(), away.getCodeValue()));
      return;
    }
    leave();
    failures++;
    long windowMs = away == null ? 0 : Integer.toUnsignedLong(away.getReconnectWindowMs());
    // A window spreads the herd in place of the backoff (AWAY-6); a window of 0 spreads nothing.
    long delayMs = windowMs > 0 ? Backoff.part(windowMs, random) : Math.max(notBeforeMs, Backoff.reconnectMs(timers, failures, random));
    rest(delayMs, away == null ? code : Codes.name(away.getCode(), away.getCodeValue()));
  }

  private void rest(long delayMs, String code) {
    phase = Phase.RESTING;
    application.connection("waiting", code, false);
    deadline = loop.after(delayMs, () -> {
      if (phase == Phase.RESTING && wire == null) connect();
    });
  }

  private void stopped(String code, boolean loginNeeded) {
    if (phase == Phase.STOPPED) return;
    leave();
    phase = Phase.STOPPED;
    application.connection("stopped", code, loginNeeded);
  }

  private void leave() {
    if (deadline != null) deadline.cancel();
    if (healthy != null) healthy.cancel();
    tokens.closed();
    allAnswered();
    goAway = null;
    if (wire == null) return;
    Wire left = wire;
    wire = null;
    left.close();
    listener.lost();
  }
}
