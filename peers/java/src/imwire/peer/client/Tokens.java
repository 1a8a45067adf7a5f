package imwire.peer.client;

import imwire.v1.FrameOuterClass.Frame;
import imwire.v1.Handshake.TokenRefresh;
import imwire.v1.Handshake.TokenRefreshed;
import imwire.v1.Handshake.Welcome;
import java.nio.charset.StandardCharsets;

/** The credential: when a newer one is asked for, and what its answer means (chapter 3, Tokens). */
final class Tokens {
  static final int BYTES_MAX = 8192;
  /** A newer token is asked for when this part of the older one's time has passed (AUTH-6). */
  private static final double REFRESH_AT = 0.7;

  private final Session session;
  private final Application application;
  private String current;
  /** Of a running TokenRefresh: its request_id, and the token that stays in force if it is refused (AUTH-4). */
  private int refreshId;
  private String before;
  private String rejected;
  private String rejection;
  private long clockOffsetMs;
  private Loop.Timer refresh;

  Tokens(Session session, Application application, String token) {
    this.session = session;
    this.application = application;
    this.current = token;
  }

  String current() {
    return current;
  }

  boolean isUsable() {
    return !current.isEmpty();
  }

  void ask() {
    application.needToken();
  }

  /** The server does not take the token: no Hello with it again (AUTH-2). */
  void rejected(String code) {
    rejected = current;
    rejection = code;
    ask();
  }

  void opened(Welcome welcome) {
    rejected = null;
    // Durations need no common clock: the server says its time and the token's end.
    clockOffsetMs = welcome.getServerTimeMs() - session.loop.nowMs();
    if (welcome.hasTokenExpiresAtMs()) askBefore(welcome.getTokenExpiresAtMs());
  }

  void refreshed(TokenRefreshed answer) {
    if (answer.hasTokenExpiresAtMs()) askBefore(answer.getTokenExpiresAtMs());
  }

  void refused(int requestId) {
    if (requestId == refreshId && before != null) current = before;
  }

  void closed() {
    before = null;
    cancel();
  }

  private void cancel() {
    if (refresh != null) refresh.cancel();
  }

  /** The application's answer, or a token that it has by itself; null: there is none. */
  void given(String token) {
    boolean none = token == null || token.isEmpty() || token.equals(rejected);
    if (session.isOpen()) {
      if (none || token.equals(current)) return;
      before = current;
      current = token;
      refreshId = session.nextRequestId();
      session.send(Frame.newBuilder().setTokenRefresh(TokenRefresh.newBuilder().setRequestId(refreshId).setToken(token)));
      return;
    }
    boolean wanted = rejected != null || current.isEmpty();
    if (none) {
      // A loop of rejected tokens helps nobody (AUTH-7).
      if (wanted) session.loginNeeded(rejection);
      return;
    }
    current = token;
    rejected = null;
    if (session.isStopped()) session.connectAgain();
    else if (wanted) session.connectAfterToken();
  }

  private void askBefore(long expiresAtMs) {
    cancel();
    long leftMs = expiresAtMs - clockOffsetMs - session.loop.nowMs();
    refresh = session.loop.after((long) (leftMs * REFRESH_AT), this::ask);
  }

  static boolean fits(String token) {
    return token.getBytes(StandardCharsets.UTF_8).length <= BYTES_MAX;
  }
}
