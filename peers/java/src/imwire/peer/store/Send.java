package imwire.peer.store;

import com.google.protobuf.ByteString;
import imwire.v1.EntryOuterClass.Conversation;

/** A send in the outbox. Its first fields are durable, the others belong to this run of the program. */
public final class Send {
  /** OPEN is repeated by itself; UNKNOWN and FAILED are given up, until the application says otherwise. */
  public enum State { OPEN, UNKNOWN, FAILED }

  public final ByteString id;
  public final Conversation conversation;
  public final String contentType;
  public final ByteString body;
  public final long clientTimeMs;

  State state = State.OPEN;
  String code = "";
  long firstSentMs;
  boolean byHand;

  /** Transmitted in this session, and without an answer since. */
  public boolean inFlight;

  /** How often it was transmitted in this run (SEND-9). */
  public int attempts;

  /** Monotonic: not before this; in flight, when it is repeated. */
  public long dueMs;

  /** The send that was refused together with this one, and has to go first (OUT_OF_ORDER). */
  public Send waitsFor;

  /** `waitsFor.attempts` when this one was refused. */
  public int waitsForAttempts;

  /** What the application was told last. */
  public String told = "";

  public boolean asked;

  Send(ByteString id, Conversation conversation, String contentType, ByteString body, long clientTimeMs) {
    this.id = id;
    this.conversation = conversation;
    this.contentType = contentType;
    this.body = body;
    this.clientTimeMs = clientTimeMs;
  }

  public State state() {
    return state;
  }

  public boolean isOpen() {
    return state == State.OPEN;
  }

  /** Of a FAILED send: the code of its definite refusal. */
  public String code() {
    return code;
  }

  /** Wall clock, milliseconds; 0: never transmitted. The dedup window is counted from here (SEND-12). */
  public long firstSentMs() {
    return firstSentMs;
  }

  /** The application asked for this transmission itself: the window does not bind it (SEND-12, SEND-20). */
  public boolean byHand() {
    return byHand;
  }
}
