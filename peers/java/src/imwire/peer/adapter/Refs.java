package imwire.peer.adapter;

import com.google.gson.JsonObject;
import com.google.protobuf.ByteString;
import java.util.HashMap;
import java.util.Map;

/** The suite's names for sends, as long as this process lives. */
final class Refs {
  private final Map<ByteString, String> names = new HashMap<>();

  void remember(ByteString id, String ref) {
    names.put(id, ref);
  }

  void put(JsonObject into, ByteString id) {
    into.addProperty("clientMsgId", Lines.base64(id));
    complete(into);
  }

  /** A send's first events are written before its `send` has returned the id to name. */
  void complete(JsonObject line) {
    if (!line.has("clientMsgId") || line.has("ref")) return;
    String ref = names.get(Lines.bytes(line, "clientMsgId"));
    if (ref != null) line.addProperty("ref", ref);
  }
}
