package imwire.peer.wire;

import com.google.protobuf.Descriptors.Descriptor;
import com.google.protobuf.Descriptors.FieldDescriptor;

/**
 * Reads the structure of a message before protobuf-java does, because that library is kinder than FRAME-10 allows: it
 * cuts a length of more than 32 bits down, and takes a tag of six bytes.
 */
final class StrictScan {
  private static final int VARINT = 0;
  private static final int FIXED64 = 1;
  private static final int BYTES = 2;
  private static final int FIXED32 = 5;

  private final byte[] bytes;
  private int at;

  StrictScan(byte[] bytes) {
    this.bytes = bytes;
  }

  int at() {
    return at;
  }

  /** Walks the fields from where the scan stands to `end`, and into those that `type` knows as messages. */
  void message(int end, Descriptor type) throws MalformedException {
    while (at < end) {
      int tag = tag(end);
      FieldDescriptor field = type.findFieldByNumber(tag >>> 3);
      switch (tag & 7) {
        case VARINT -> varint(end, 10);
        case FIXED64 -> skip(8, end);
        case FIXED32 -> skip(4, end);
        case BYTES -> {
          int to = at(length(end));
          if (field != null && field.getJavaType() == FieldDescriptor.JavaType.MESSAGE) message(to, field.getMessageType());
          at = to;
        }
        // Groups may be refused where they are well formed as well (FRAME-19); 6 and 7 are no wire types.
        default -> throw new MalformedException("FRAME-10");
      }
    }
  }

  /** A field's tag: its number is 1 to 2^29-1, in at most five bytes. */
  int tag(int end) throws MalformedException {
    long tag = varint(end, 5);
    if (tag > 0xffffffffL || tag >>> 3 == 0) throw new MalformedException("FRAME-10");
    return (int) tag;
  }

  /** A length that stays within the message around it. */
  int length(int end) throws MalformedException {
    long length = varint(end, 10);
    if (length < 0 || length > end - at) throw new MalformedException("FRAME-10");
    return (int) length;
  }

  private int at(int length) {
    return at + length;
  }

  private void skip(int count, int end) throws MalformedException {
    if (end - at < count) throw new MalformedException("FRAME-10");
    at += count;
  }

  private long varint(int end, int bytesMax) throws MalformedException {
    long value = 0;
    for (int i = 0; i < bytesMax; i++) {
      if (at >= end) throw new MalformedException("FRAME-10");
      byte next = bytes[at++];
      value |= (long) (next & 0x7f) << (7 * i);
      if (next >= 0) return value;
    }
    throw new MalformedException("FRAME-10");
  }
}
