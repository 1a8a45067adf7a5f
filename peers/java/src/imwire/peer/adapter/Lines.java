package imwire.peer.adapter;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.protobuf.ByteString;
import imwire.peer.client.Client;
import imwire.peer.client.HistoryReader;
import imwire.peer.store.Send;
import imwire.peer.store.Slot;
import imwire.v1.EntryOuterClass.Conversation;
import imwire.v1.EntryOuterClass.Message;
import java.util.Base64;
import java.util.List;

/** The shapes of conformance/schema/adapter.schema.json, read and written. */
final class Lines {
  private Lines() {}

  static String text(JsonObject from, String field) {
    JsonElement value = from.get(field);
    if (value == null || !value.isJsonPrimitive()) throw new IllegalArgumentException("`" + field + "` is missing");
    return value.getAsString();
  }

  static long seq(JsonObject from, String field) {
    return Long.parseUnsignedLong(text(from, field));
  }

  static ByteString bytes(JsonObject from, String field) {
    return ByteString.copyFrom(Base64.getDecoder().decode(text(from, field)));
  }

  static String base64(ByteString bytes) {
    return Base64.getEncoder().encodeToString(bytes.toByteArray());
  }

  static JsonArray texts(String... items) {
    JsonArray array = new JsonArray();
    for (String item : items) array.add(item);
    return array;
  }

  static Conversation conversation(JsonObject from) {
    JsonObject name = from.getAsJsonObject("conversation");
    if (name == null) throw new IllegalArgumentException("`conversation` is missing");
    return name.has("group")
        ? Conversation.newBuilder().setGroupId(text(name, "group")).build()
        : Conversation.newBuilder().setUserId(text(name, "user")).build();
  }

  static JsonObject json(Conversation conversation) {
    JsonObject name = new JsonObject();
    if (conversation.hasGroupId()) name.addProperty("group", conversation.getGroupId());
    else name.addProperty("user", conversation.getUserId());
    return name;
  }

  static JsonObject entry(JsonObject into, Conversation conversation, Slot slot, String user) {
    into.add("conversation", json(conversation));
    into.addProperty("seq", Long.toUnsignedString(slot.entry().getSeq()));
    Message message = slot.entry().getMessage();
    if (slot.entry().hasMessage()) {
      into.addProperty("sender", message.getSenderId());
      into.addProperty("clientMsgId", base64(message.getClientMsgId()));
      into.addProperty("contentType", message.getContentType());
      into.addProperty("body", base64(message.getBody()));
    }
    into.addProperty("own", slot.entry().hasMessage() && message.getSenderId().equals(user));
    into.addProperty("condition", condition(slot));
    return into;
  }

  private static String condition(Slot slot) {
    return switch (slot.entry().getSlotCase()) {
      case MESSAGE -> slot.damaged() ? "damaged" : "intact";
      case TOMBSTONE -> "gone";
      // A slot from the future takes its seq all the same (EVO-5).
      case SLOT_NOT_SET -> "unknown";
    };
  }

  static JsonArray messages(Client client, Conversation conversation, Refs refs) {
    JsonArray all = new JsonArray();
    for (Slot slot : client.shown(conversation)) all.add(entry(new JsonObject(), conversation, slot, client.user()));
    for (Send send : client.outbox(conversation)) {
      JsonObject open = new JsonObject();
      open.add("conversation", json(conversation));
      refs.put(open, send.id);
      open.addProperty("contentType", send.contentType);
      open.addProperty("body", base64(send.body));
      open.addProperty("own", true);
      open.addProperty("state", switch (send.state()) {
        case OPEN -> send.firstSentMs() == 0 ? "queued" : "sending";
        case UNKNOWN -> "unknown";
        case FAILED -> "failed";
      });
      if (send.state() == Send.State.FAILED) open.addProperty("code", send.code());
      all.add(open);
    }
    return all;
  }

  /** The answer to `history`, which comes when its entries do. */
  record HistoryAnswer(JsonObject answer, Conversation conversation, Client client, List<JsonObject> lines) implements HistoryReader {
    @Override
    public void page(List<Slot> entries, boolean hasMore) {
      JsonArray array = new JsonArray();
      for (Slot slot : entries) array.add(entry(new JsonObject(), conversation, slot, client.user()));
      answer.addProperty("ok", true);
      answer.add("entries", array);
      answer.addProperty("hasMore", hasMore);
      lines.add(answer);
    }

    @Override
    public void refused(String why) {
      answer.addProperty("error", why);
      lines.add(answer);
    }
  }
}
