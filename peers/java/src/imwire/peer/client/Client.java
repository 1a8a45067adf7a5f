package imwire.peer.client;

import com.google.protobuf.ByteString;
import imwire.peer.store.Conv;
import imwire.peer.store.Send;
import imwire.peer.store.Slot;
import imwire.peer.store.Store;
import imwire.peer.store.pb.Change;
import imwire.peer.store.pb.Started;
import imwire.v1.EntryOuterClass.Conversation;
import imwire.v1.Error.ErrorFrame;
import imwire.v1.Error.RetryClass;
import imwire.v1.FrameOuterClass.Frame;
import imwire.v1.Handshake.Welcome;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Random;
import java.util.function.LongSupplier;

/**
 * An imwire client of one device. It connects by itself and comes back by itself. All its functions are called on the
 * loop's thread; what it tells goes to the {@link Application}.
 */
public final class Client implements Session.Listener {
  public static final String CLIENT_VERSION = "1.0.0";
  private static final int ID_BYTES_MAX = 64;

  private final Loop loop;
  private final Random random;
  private final LongSupplier wallMs;
  private final Store store;
  private final Session session;
  private final Outbox outbox;
  private final Inbox inbox;
  private final CatchUp catchUp;
  private final Marks marks;
  private final History history;
  private long dedupWindowMs = Long.MAX_VALUE;

  /** Where a client connects and what it keeps. `receiveWindow` null: the server's default. */
  public record Settings(URI url, String device, String token, Path data, Integer receiveWindow, boolean pullEverything) {}

  /**
   * Opens what is stored and begins to connect.
   *
   * @param wallMs the wall clock, for display and for the dedup window, which outlives the program
   * @throws IOException when the folder is in use or what is in it cannot be read
   * @throws IllegalArgumentException when a setting is out of its range (LIM-12)
   */
  public Client(Settings settings, Loop loop, Random random, LongSupplier wallMs, Application application) throws IOException {
    within("the device id", settings.device, 1);
    if (!Tokens.fits(settings.token)) throw new IllegalArgumentException("the token has more than " + Tokens.BYTES_MAX + " bytes");
    this.loop = loop;
    this.random = random;
    this.wallMs = wallMs;
    store = new Store(settings.data);
    session = new Session(loop, random, store, application, this, settings.url, settings.device, settings.token, settings.receiveWindow);
    catchUp = new CatchUp(session, store, application, settings.pullEverything);
    outbox = new Outbox(session, store, application, wallMs, () -> dedupWindowMs, this::slotFilled);
    inbox = new Inbox(session, store, application, outbox, catchUp);
    marks = new Marks(session, store, application);
    history = new History(session);
    catchUp.join(inbox, marks);
    store.change(Change.newBuilder().setStarted(Started.newBuilder().setRun(store.run() + 1)));
    session.start();
  }

  /** Behind each turn: first durable, then said. */
  public void endOfTurn() {
    try {
      store.commit();
    } catch (IOException e) {
      // Nothing of this turn may be said: the application decides whether to start again.
      throw new UncheckedIOException("the store takes nothing any more", e);
    }
    session.flush();
  }

  /** Ends in good order; the data may be opened again when this has returned. */
  public void stop() throws IOException {
    inbox.sendAck();
    endOfTurn();
    session.stop();
    history.stopped();
    store.commit();
    store.close();
  }

  /** @throws IllegalArgumentException when it could never be sent (LIM-12) */
  public Send send(Conversation conversation, String contentType, ByteString body) {
    name(conversation);
    within("the content type", contentType, 1);
    int most = session.limits().getBodyBytesMax();
    if (most != 0 && Integer.compareUnsigned(body.size(), most) > 0) {
      throw new IllegalArgumentException("the body has " + body.size() + " bytes, and the server takes " + Integer.toUnsignedString(most));
    }
    return outbox.queue(Uuid.v7(wallMs.getAsLong(), random), conversation, contentType, body);
  }

  public void resend(ByteString id) {
    outbox.resend(sendOf(id));
  }

  public void withdraw(ByteString id) {
    outbox.withdraw(sendOf(id));
  }

  public void look(Conversation conversation) {
    catchUp.look(store.conversation(name(conversation)));
  }

  public void sync() {
    catchUp.sync();
  }

  public void history(Conversation conversation, long before, int limit, HistoryReader reader) {
    history.ask(store.conversation(name(conversation)), before, limit, reader);
  }

  public void markRead(Conversation conversation, long upTo) {
    Conv conv = store.conversation(name(conversation));
    if (Conv.above(upTo, Conv.max(conv.head(), conv.cursor()))) {
      throw new IllegalArgumentException("nobody has read " + Long.toUnsignedString(upTo) + ": the conversation ends with " + Long.toUnsignedString(conv.head()));
    }
    marks.read(conv, upTo);
  }

  public void token(String token) {
    if (token != null && !Tokens.fits(token)) throw new IllegalArgumentException("the token has more than " + Tokens.BYTES_MAX + " bytes");
    session.tokens().given(token);
  }

  /** What the application shows: the confirmed by seq, then the open sends (ORDER-11). */
  public List<Slot> shown(Conversation conversation) {
    return store.conversation(name(conversation)).shown();
  }

  public List<Send> outbox(Conversation conversation) {
    Conversation name = store.conversation(name(conversation)).name;
    return store.sends().stream().filter(send -> send.conversation.equals(name)).toList();
  }

  public String user() {
    return store.user();
  }

  @Override
  public void opened(Welcome welcome, boolean newEpoch) {
    // More than a thousand years is for ever: no sum with a clock may run over.
    dedupWindowMs = Long.compareUnsigned(welcome.getDedupWindowMs(), 1L << 45) > 0 ? Long.MAX_VALUE : welcome.getDedupWindowMs();
    catchUp.opened();
    outbox.opened();
    history.pump();
  }

  @Override
  public void lost() {
    outbox.lost();
    inbox.lost();
    catchUp.lost();
    marks.lost();
    history.lost();
  }

  @Override
  public void frame(Frame frame) {
    switch (frame.getBodyCase()) {
      case SEND_ACK -> outbox.acknowledged(frame.getSendAck());
      case PUSH -> inbox.pushed(frame.getPush());
      case HEAD_NOTIFY -> catchUp.notified(frame.getHeadNotify());
      case OFFLINE_PAGE -> {
        marks.answered(frame.getOfflinePage().getRequestId());
        catchUp.page(frame.getOfflinePage());
      }
      case SYNC_PAGE -> {
        marks.answered(frame.getSyncPage().getRequestId());
        catchUp.synced(frame.getSyncPage());
      }
      case HISTORY_PAGE -> history.page(frame.getHistoryPage());
      case QUERY_SEND_RESULT -> outbox.queried(frame.getQuerySendResult());
      case READ_MARK -> marks.readElsewhere(frame.getReadMark());
      case RECEIPT -> marks.receipt(frame.getReceipt());
      case TOKEN_REFRESHED -> session.tokens().refreshed(frame.getTokenRefreshed());
      case PING -> inbox.named(frame.getPing().getPushSeq());
      case PONG -> inbox.named(frame.getPong().getPushSeq());
      case ERROR -> refused(frame.getError());
      default -> { }
    }
  }

  /** An Error is never answered with an Error (ERR-12), and of request scope ends nothing (ERR-5). */
  private void refused(ErrorFrame error) {
    if (catchUp.refused(error) || history.refused(error)) return;
    session.tokens().refused(error.getRequestId());
    // A ReadMark above the head, for one (READ-3).
    if (error.getRetry() == RetryClass.RETRY_CLASS_AFTER_RESYNC) catchUp.sync();
  }

  private void slotFilled(Conversation conversation) {
    inbox.advance(store.conversation(conversation), List.of(), null);
    inbox.acknowledge();
  }

  private Send sendOf(ByteString id) {
    Send send = store.send(id);
    if (send == null) throw new IllegalArgumentException("there is no open or given-up send with this id");
    return send;
  }

  private static Conversation name(Conversation conversation) {
    within("the name of a conversation", conversation.hasGroupId() ? conversation.getGroupId() : conversation.getUserId(), 1);
    return conversation;
  }

  private static void within(String what, String text, int least) {
    int bytes = text.getBytes(StandardCharsets.UTF_8).length;
    if (bytes < least || bytes > ID_BYTES_MAX) throw new IllegalArgumentException(what + " has " + bytes + " bytes: " + least + " to " + ID_BYTES_MAX + " are allowed");
  }
}
