package imwire.peer.client;

import com.google.protobuf.ByteString;
import java.nio.ByteBuffer;
import java.util.Random;

/** Ids of messages: 16 bytes, a UUIDv7, as SendReq.client_msg_id has it "for choice". */
final class Uuid {
  private Uuid() {}

  static ByteString v7(long wallMs, Random random) {
    byte[] chance = new byte[10];
    random.nextBytes(chance);
    ByteBuffer id = ByteBuffer.allocate(16);
    id.putLong(wallMs << 16);
    id.position(6);
    id.put(chance);
    byte[] bytes = id.array();
    bytes[6] = (byte) (0x70 | bytes[6] & 0x0f);
    bytes[8] = (byte) (0x80 | bytes[8] & 0x3f);
    return ByteString.copyFrom(bytes);
  }
}
