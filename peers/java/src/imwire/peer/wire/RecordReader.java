package imwire.peer.wire;

import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.InvalidProtocolBufferException;
import imwire.v1.Codes.ErrorCode;
import imwire.v1.FrameOuterClass.Frame;

/**
 * Takes records off the front of a byte stream (chapter 2). Bytes may come in pieces of any size (FRAME-3); behind a
 * fault nothing counts (FRAME-22).
 */
public final class RecordReader {
  /** The largest Frame before Welcome, bytes (chapter 3). */
  public static final int LIMIT_BEFORE_WELCOME = 65536;

  /** What a reader finds, in order. */
  public interface Sink {
    /** A frame of a kind that this client knows. */
    void frame(Frame frame);

    /** A frame that is answered with UNSUPPORTED_FRAME (FRAME-15). */
    void unsupported(int kind);

    /** The end of sense: MALFORMED or FRAME_TOO_LARGE, with the clause that was broken. */
    void fault(ErrorCode code, String clause);
  }

  private enum State { TAG, LENGTH, BODY, BROKEN }

  private final Sink sink;
  private State state = State.TAG;
  private long limit = LIMIT_BEFORE_WELCOME;
  private long length;
  private int lengthBytes;
  private byte[] body = {};
  private int filled;
  private boolean recordInMessage;

  public RecordReader(Sink sink) {
    this.sink = sink;
  }

  /** The frame limit from the next record on, bytes: a uint32 of Welcome. */
  public void limit(int frameBytesMax) {
    limit = Integer.toUnsignedLong(frameBytesMax);
  }

  /** Nothing that comes from here on counts. */
  public void stop() {
    state = State.BROKEN;
  }

  public void feed(byte[] bytes) {
    int at = 0;
    while (at < bytes.length) {
      switch (state) {
        case TAG -> {
          if (bytes[at++] != 0x0a) {
            fault(ErrorCode.ERROR_CODE_MALFORMED, "FRAME-4");
            return;
          }
          length = 0;
          lengthBytes = 0;
          state = State.LENGTH;
        }
        case LENGTH -> length(bytes[at++]);
        case BODY -> {
          int count = Math.min(bytes.length - at, body.length - filled);
          System.arraycopy(bytes, at, body, filled, count);
          at += count;
          filled += count;
          if (filled == body.length) record();
        }
        case BROKEN -> {
          return;
        }
      }
    }
  }

  /** The end of a WebSocket message: it must have held whole records, at least one (FRAME-2). */
  public void endOfMessage() {
    if (state == State.BROKEN) return;
    if (state != State.TAG || !recordInMessage) fault(ErrorCode.ERROR_CODE_MALFORMED, "FRAME-2");
    recordInMessage = false;
  }

  /** What came is no bytes at all, as a WebSocket text message (FRAME-17). */
  public void fault(ErrorCode code, String clause) {
    if (state == State.BROKEN) return;
    state = State.BROKEN;
    body = new byte[0];
    sink.fault(code, clause);
  }

  private void length(byte next) {
    length |= (long) (next & 0x7f) << (7 * lengthBytes);
    lengthBytes++;
    if (next < 0) {
      // A sixth byte would follow; whatever it is, the length is refused (FRAME-7).
      if (lengthBytes == 5) fault(ErrorCode.ERROR_CODE_MALFORMED, "FRAME-7");
      return;
    }
    if (length > limit) {
      fault(ErrorCode.ERROR_CODE_FRAME_TOO_LARGE, "FRAME-5");
      return;
    }
    body = new byte[(int) length];
    filled = 0;
    state = State.BODY;
    if (length == 0) record();
  }

  private void record() {
    byte[] frame = body;
    body = new byte[0];
    state = State.TAG;
    recordInMessage = true;
    try {
      decode(frame);
    } catch (MalformedException e) {
      fault(ErrorCode.ERROR_CODE_MALFORMED, e.getMessage());
    } catch (InvalidProtocolBufferException e) {
      // The structure was checked before: what is left is text that is not UTF-8.
      fault(ErrorCode.ERROR_CODE_MALFORMED, "FRAME-11");
    }
  }

  private void decode(byte[] bytes) throws MalformedException, InvalidProtocolBufferException {
    if (bytes.length == 0) throw new MalformedException("FRAME-9");
    StrictScan scan = new StrictScan(bytes);
    int tag = scan.tag(bytes.length);
    int kind = tag >>> 3;
    // One field, length-delimited, that reaches to the end (FRAME-8, FRAME-9).
    if ((tag & 7) != 2) throw new MalformedException("FRAME-9");
    int length = scan.length(bytes.length);
    if (scan.at() + length != bytes.length) throw new MalformedException("FRAME-9");
    FieldDescriptor field = Frame.getDescriptor().findFieldByNumber(kind);
    if (field == null) {
      if (kind < 1000 || kind > 1999) sink.unsupported(kind);
      return;
    }
    scan.message(bytes.length, field.getMessageType());
    sink.frame(Frame.parseFrom(bytes));
  }
}
