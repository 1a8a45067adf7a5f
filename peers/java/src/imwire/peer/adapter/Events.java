package imwire.peer.adapter;

import com.google.gson.JsonObject;
import imwire.peer.client.Application;
import imwire.peer.store.Conv;
import imwire.peer.store.Send;
import imwire.peer.store.Slot;
import imwire.v1.Pull.SkipReason;
import imwire.v1.Pull.SkippedRange;
import imwire.v1.Sync.Watermark;
import java.util.List;
import java.util.function.Supplier;

/** What the client tells, as lines. */
final class Events implements Application {
  private final List<JsonObject> lines;
  private final Refs refs;
  private final Supplier<String> user;

  Events(List<JsonObject> lines, Refs refs, Supplier<String> user) {
    this.lines = lines;
    this.refs = refs;
    this.user = user;
  }

  @Override
  public void state(Send send, String state, Long seq, String code) {
    JsonObject line = event("state");
    refs.put(line, send.id);
    line.addProperty("state", state);
    if (seq != null) line.addProperty("seq", Long.toUnsignedString(seq));
    if (code != null) line.addProperty("code", code);
  }

  @Override
  public void message(Conv conversation, Slot slot) {
    Lines.entry(event("message"), conversation.name, slot, user.get());
  }

  @Override
  public void gap(Conv conversation, SkippedRange range) {
    JsonObject line = event("gap");
    line.add("conversation", Lines.json(conversation.name));
    line.addProperty("from", Long.toUnsignedString(range.getFrom()));
    line.addProperty("upTo", Long.toUnsignedString(range.getUpTo()));
    SkipReason reason = range.getReason() == SkipReason.UNRECOGNIZED ? SkipReason.SKIP_REASON_UNSPECIFIED : range.getReason();
    line.addProperty("reason", reason.name().substring("SKIP_REASON_".length()));
  }

  @Override
  public void connection(String state, String code, boolean loginNeeded) {
    JsonObject line = event("connection");
    line.addProperty("state", state);
    if (code != null) line.addProperty("code", code);
    if (loginNeeded) line.addProperty("loginNeeded", true);
  }

  @Override
  public void needToken() {
    event("needToken");
  }

  @Override
  public void receipt(Conv conversation, Watermark watermark) {
    JsonObject line = event("receipt");
    line.add("conversation", Lines.json(conversation.name));
    line.addProperty("user", watermark.getUserId());
    line.addProperty("delivered", Long.toUnsignedString(watermark.getDeliveredSeq()));
    line.addProperty("read", Long.toUnsignedString(watermark.getReadSeq()));
  }

  @Override
  public void read(Conv conversation, long upTo) {
    JsonObject line = event("read");
    line.add("conversation", Lines.json(conversation.name));
    line.addProperty("upTo", Long.toUnsignedString(upTo));
  }

  @Override
  public void unconfirmed(Conv conversation, long above) {
    JsonObject line = event("unconfirmed");
    line.add("conversation", Lines.json(conversation.name));
    line.addProperty("above", Long.toUnsignedString(above));
  }

  @Override
  public void synced() {
    event("synced");
  }

  private JsonObject event(String name) {
    JsonObject line = new JsonObject();
    line.addProperty("event", name);
    lines.add(line);
    return line;
  }
}
