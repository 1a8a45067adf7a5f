package imwire.peer.store;

import com.google.protobuf.ByteString;
import imwire.v1.EntryOuterClass.Entry;
import java.util.zip.CRC32;

/** An entry as this device keeps it. `damaged`: three pulls brought a body that does not match its CRC (GAP-14). */
public record Slot(Entry entry, boolean damaged) {
  /** Whether two entries are the same message of the same sender. */
  public boolean isSameMessage(Entry other) {
    return entry.hasMessage() == other.hasMessage()
        && entry.getMessage().getClientMsgId().equals(other.getMessage().getClientMsgId())
        && entry.getMessage().getSenderId().equals(other.getMessage().getSenderId());
  }

  /** Whether a message's body is what its sender wrote (GAP-9). */
  public static boolean isIntact(Entry entry) {
    return !entry.hasMessage() || crc(entry.getMessage().getBody()) == entry.getMessage().getBodyCrc32();
  }

  /** CRC-32 as in zlib and PNG; the proto's fixed32 is a signed int in Java. */
  public static int crc(ByteString body) {
    CRC32 crc = new CRC32();
    crc.update(body.asReadOnlyByteBuffer());
    return (int) crc.getValue();
  }
}
