package imwire.peer.store;

import com.google.protobuf.ByteString;
import imwire.peer.store.pb.Act;
import imwire.peer.store.pb.Change;
import imwire.peer.store.pb.EntriesTaken;
import imwire.peer.store.pb.SendAccepted;
import imwire.peer.store.pb.SendQueued;
import imwire.peer.store.pb.SyncDone;
import imwire.peer.store.pb.TakenEntry;
import imwire.peer.store.pb.Welcomed;
import imwire.v1.EntryOuterClass.Conversation;
import imwire.v1.EntryOuterClass.Entry;
import imwire.v1.EntryOuterClass.Message;
import imwire.v1.Sync.ConversationState;
import java.io.Closeable;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * What a device knows. It lives in memory; every change goes through {@link #change}, which applies it at once and
 * keeps it for {@link #commit}: all changes of a turn are one durable act. A start applies the same changes again.
 */
public final class Store implements Closeable {
  private final Map<Conversation, Conv> conversations = new LinkedHashMap<>();
  private final Map<ByteString, Send> sends = new LinkedHashMap<>();
  private final Journal journal;
  private Act.Builder turn = Act.newBuilder();
  private long run;
  private String user = "";
  private String epoch = "";
  private ByteString syncToken = ByteString.EMPTY;

  public Store(Path folder) throws IOException {
    journal = new Journal(folder, act -> act.getChangesList().forEach(this::apply));
  }

  public void change(Change.Builder change) {
    Change built = change.build();
    turn.addChanges(built);
    apply(built);
  }

  /** Makes what has changed durable. */
  public void commit() throws IOException {
    if (turn.getChangesCount() == 0) return;
    journal.append(turn.build());
    turn = Act.newBuilder();
  }

  @Override
  public void close() throws IOException {
    journal.close();
  }

  /** Rises with every start (DEV-10). */
  public long run() {
    return run;
  }

  /** Of the last session; empty before the first. */
  public String user() {
    return user;
  }

  public String epoch() {
    return epoch;
  }

  public ByteString syncToken() {
    return syncToken;
  }

  public void forgetSyncToken() {
    syncToken = ByteString.EMPTY;
  }

  /** In the order in which they are to be sent. Given-up sends are among them. */
  public Collection<Send> sends() {
    return sends.values();
  }

  public Send send(ByteString id) {
    return sends.get(id);
  }

  public Collection<Conv> conversations() {
    return conversations.values();
  }

  public Conv conversation(Conversation name) {
    // A name with fields from the future is still the same conversation.
    Conversation plain = name.hasGroupId()
        ? Conversation.newBuilder().setGroupId(name.getGroupId()).build()
        : Conversation.newBuilder().setUserId(name.getUserId()).build();
    return conversations.computeIfAbsent(plain, Conv::new);
  }

  private void apply(Change change) {
    switch (change.getKindCase()) {
      case STARTED -> run = change.getStarted().getRun();
      case WELCOMED -> welcomed(change.getWelcomed());
      case SEND_QUEUED -> queued(change.getSendQueued());
      case SEND_TRANSMITTED -> {
        Send send = sends.get(change.getSendTransmitted().getClientMsgId());
        if (send.firstSentMs == 0) send.firstSentMs = change.getSendTransmitted().getAtMs();
        send.byHand = false;
      }
      case SEND_ACCEPTED -> accepted(change.getSendAccepted());
      case SEND_GIVEN_UP -> {
        Send send = sends.get(change.getSendGivenUp().getClientMsgId());
        send.code = change.getSendGivenUp().getCode();
        send.state = send.code.isEmpty() ? Send.State.UNKNOWN : Send.State.FAILED;
      }
      case SEND_RESENT -> {
        // The last place among the open ones (ORDER-9).
        Send send = sends.remove(change.getSendResent().getClientMsgId());
        send.state = Send.State.OPEN;
        send.byHand = true;
        sends.put(send.id, send);
      }
      case SEND_WITHDRAWN -> sends.remove(change.getSendWithdrawn().getClientMsgId());
      case ENTRIES_TAKEN -> taken(change.getEntriesTaken());
      case SYNC_DONE -> synced(change.getSyncDone());
      case HEAD_LOWERED -> lower(conversation(change.getHeadLowered().getConversation()), change.getHeadLowered().getHead());
      case MARK_MOVED -> {
        Conv conv = conversation(change.getMarkMoved().getConversation());
        conv.read = change.getMarkMoved().getUpTo();
        conv.readConfirmed = change.getMarkMoved().getConfirmed();
      }
      case RECEIPT_MOVED -> conversation(change.getReceiptMoved().getConversation())
          .watermarks.put(change.getReceiptMoved().getWatermark().getUserId(), change.getReceiptMoved().getWatermark());
      default -> throw new IllegalStateException("the journal holds a change of a later version: update this client");
    }
  }

  /** A new epoch sets every cursor aside until its sync (RECON-6); the entries stay (RECON-7). */
  private void welcomed(Welcomed welcomed) {
    boolean sameLog = epoch.isEmpty() || epoch.equals(welcomed.getEpoch());
    user = welcomed.getUserId();
    epoch = welcomed.getEpoch();
    if (sameLog) return;
    syncToken = ByteString.EMPTY;
    for (Conv conv : conversations.values()) {
      // In limbo twice: what was confirmed last is still what was confirmed last.
      if (!conv.inLimbo) conv.cursorBefore = conv.cursor;
      conv.inLimbo = true;
      conv.entries.forEach(conv.limbo::putIfAbsent);
      conv.entries.clear();
      conv.buffer.clear();
      conv.dropped = 0;
      conv.watermarks.clear();
      conv.cursor = 0;
      conv.head = 0;
      conv.read = 0;
      conv.readConfirmed = true;
      conv.unconfirmedTold = false;
    }
  }

  private void queued(SendQueued queued) {
    Conversation name = conversation(queued.getConversation()).name;
    sends.put(queued.getClientMsgId(), new Send(queued.getClientMsgId(), name, queued.getContentType(), queued.getBody(), queued.getClientTimeMs()));
  }

  /** The seq is noted and the send leaves the outbox, in one (SEND-24). */
  private void accepted(SendAccepted accepted) {
    Send send = sends.remove(accepted.getClientMsgId());
    Conv conv = conversation(send.conversation);
    if (!Conv.above(accepted.getSeq(), conv.cursor)) return;
    Message message = Message.newBuilder()
        .setSenderId(user)
        .setClientMsgId(send.id)
        .setContentType(send.contentType)
        .setBody(send.body)
        .setBodyCrc32(Slot.crc(send.body))
        .setClientTimeMs(send.clientTimeMs)
        .build();
    Entry entry = Entry.newBuilder().setSeq(accepted.getSeq()).setServerTimeMs(accepted.getServerTimeMs()).setMessage(message).build();
    conv.entries.put(accepted.getSeq(), new Slot(entry, false));
  }

  private void taken(EntriesTaken taken) {
    Conv conv = conversation(taken.getConversation());
    for (TakenEntry entry : taken.getEntriesList()) {
      conv.entries.put(entry.getEntry().getSeq(), new Slot(entry.getEntry(), entry.getDamaged()));
      // The new log has it as well: it is confirmed.
      conv.unconfirmed.removeIf(slot -> slot.isSameMessage(entry.getEntry())
          && (entry.getEntry().hasMessage() || slot.entry().getSeq() == entry.getEntry().getSeq()));
    }
    conv.cursor = taken.getCursor();
    conv.headAtLeast(conv.cursor);
    conv.buffer.headMap(conv.cursor, true).clear();
  }

  private void synced(SyncDone done) {
    syncToken = done.getToken();
    for (ConversationState state : done.getConversationsList()) {
      Conv conv = conversation(state.getConversation());
      conv.head = Conv.max(state.getHead(), conv.cursor);
      if (conv.inLimbo) leaveLimbo(conv, Conv.min(state.getCursor(), conv.cursorBefore), state.getHead());
    }
    // A conversation that the new log does not name has no entry there.
    for (Conv conv : conversations.values()) if (conv.inLimbo) leaveLimbo(conv, 0, 0);
  }

  private void leaveLimbo(Conv conv, long cursor, long head) {
    conv.inLimbo = false;
    conv.cursor = cursor;
    conv.head = Conv.max(head, cursor);
    conv.limbo.forEach((seq, slot) -> {
      boolean kept = !Conv.above(seq, cursor) && conv.entries.putIfAbsent(seq, slot) == null;
      if (!kept) conv.unconfirmed.add(slot);
    });
    conv.limbo.clear();
  }

  /** In the same epoch the server turns out to have less: what is above is unconfirmed, and can be confirmed again. */
  private void lower(Conv conv, long head) {
    conv.head = head;
    if (!Conv.above(conv.cursor, head)) return;
    Map<Long, Slot> lost = conv.entries.tailMap(head, false);
    conv.unconfirmed.addAll(lost.values());
    lost.clear();
    conv.cursor = head;
    conv.unconfirmedTold = false;
  }
}
