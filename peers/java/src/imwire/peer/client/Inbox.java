package imwire.peer.client;

import com.google.protobuf.ByteString;
import imwire.peer.store.Conv;
import imwire.peer.store.Send;
import imwire.peer.store.Slot;
import imwire.peer.store.Store;
import imwire.peer.store.pb.Change;
import imwire.peer.store.pb.EntriesTaken;
import imwire.peer.store.pb.TakenEntry;
import imwire.v1.Codes.ErrorCode;
import imwire.v1.EntryOuterClass.Entry;
import imwire.v1.Error.ErrorFrame;
import imwire.v1.Error.ErrorScope;
import imwire.v1.Error.RetryClass;
import imwire.v1.FrameOuterClass.Frame;
import imwire.v1.Pull.OfflinePage;
import imwire.v1.Pull.SkippedRange;
import imwire.v1.PushOuterClass.DeliverAck;
import imwire.v1.PushOuterClass.Push;
import imwire.v1.Send.Accepted;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;

/** The client's states for a conversation (chapter 5): what joins is stored, handed up and acknowledged; the rest waits. */
final class Inbox {
  /** Entries that a conversation holds behind a hole; beyond it the newest go, and are pulled later (GAP-7). */
  private static final int BUFFERED_MAX = 256;
  /** Pulls that a damaged entry is worth (GAP-13). */
  private static final int DAMAGED_PULLS = 3;

  private record Pushed(int pushSeq, Conv conversation, long seq) {}

  private final Session session;
  private final Store store;
  private final Application application;
  private final Outbox outbox;
  private final CatchUp catchUp;
  private final ArrayDeque<Pushed> unacknowledged = new ArrayDeque<>();
  private int received;
  private int stored;
  private int acknowledged;
  private Loop.Timer ackTimer;

  Inbox(Session session, Store store, Application application, Outbox outbox, CatchUp catchUp) {
    this.session = session;
    this.store = store;
    this.application = application;
    this.outbox = outbox;
    this.catchUp = catchUp;
  }

  /** A push_seq means nothing in another session (RECON-4). */
  void lost() {
    unacknowledged.clear();
    received = 0;
    stored = 0;
    acknowledged = 0;
    if (ackTimer != null) ackTimer.cancel();
    ackTimer = null;
  }

  void pushed(Push push) {
    if (push.getPushSeq() != received + 1) {
      // No later ack may hide what was lost (ACK-13), so that this session's window would never empty again.
      session.startAnew("push " + Integer.toUnsignedString(push.getPushSeq()) + " came behind " + Integer.toUnsignedString(received));
      return;
    }
    received = push.getPushSeq();
    Entry entry = push.getEntry();
    Conv conv = store.conversation(push.getConversation());
    unacknowledged.add(new Pushed(received, conv, entry.getSeq()));
    if (conv.inLimbo() || Conv.above(entry.getSeq(), conv.cursor())) arrived(conv, entry);
    acknowledge();
  }

  private void arrived(Conv conv, Entry entry) {
    boolean next = entry.getSeq() == conv.cursor() + 1 && !conv.inLimbo();
    if (!Slot.isIntact(entry)) {
      // As good as missing: it is pulled (GAP-9). Behind a hole the hole's pull brings it.
      if (next) {
        conv.mending = true;
        catchUp.pump();
        return;
      }
    } else {
      conv.buffer.put(entry.getSeq(), entry);
      if (conv.buffer.size() > BUFFERED_MAX) conv.dropped = Conv.max(conv.dropped, conv.buffer.pollLastEntry().getKey());
    }
    advance(conv, List.of(), null);
  }

  /** Ping or Pong names a push that never came (GAP-10). */
  void named(int pushSeq) {
    if (Integer.compareUnsigned(pushSeq, received) > 0) session.startAnew("push " + Integer.toUnsignedString(pushSeq) + " is missing");
  }

  /**
   * Takes what a page holds, as far as it joins to the cursor (GAP-1).
   *
   * @return whether the cursor has moved, or the page has told something about a damaged entry
   */
  boolean took(Conv conv, OfflinePage page, long after) {
    long before = conv.cursor();
    boolean wasMending = conv.mending;
    SkippedRange skipped = page.hasSkipped() && page.getSkipped().getFrom() == before + 1
        && !Conv.above(page.getSkipped().getFrom(), page.getSkipped().getUpTo()) ? page.getSkipped() : null;
    long joins = skipped == null ? before : skipped.getUpTo();
    List<TakenEntry> taken = new ArrayList<>();
    conv.mending = false;
    for (Entry entry : page.getEntriesList()) {
      long seq = entry.getSeq();
      if (!Conv.above(seq, joins) || seq != joins + 1) continue;
      boolean damaged = !Slot.isIntact(entry);
      if (damaged) {
        int pulls = conv.damage.merge(seq, seq == after + 1 ? 1 : 0, Integer::sum);
        if (pulls < DAMAGED_PULLS) {
          conv.mending = true;
          break;
        }
        // One bad entry does not block what is behind it (GAP-14); its operator hears of it (GAP-15).
        report(conv, seq);
      }
      conv.damage.remove(seq);
      taken.add(TakenEntry.newBuilder().setEntry(entry).setDamaged(damaged).build());
      joins = seq;
    }
    advance(conv, taken, skipped);
    acknowledge();
    return conv.cursor() != before || wasMending || conv.mending;
  }

  /** Moves the cursor over all that joins: what a page brought, what waited behind a hole, own sends. In one act (ACK-10). */
  void advance(Conv conv, List<TakenEntry> fromPage, SkippedRange skipped) {
    if (conv.inLimbo()) return;
    long before = conv.cursor();
    List<TakenEntry> taken = new ArrayList<>(fromPage);
    long to = skipped == null ? before : skipped.getUpTo();
    if (!taken.isEmpty()) to = taken.get(taken.size() - 1).getEntry().getSeq();
    for (;;) {
      Slot own = conv.entry(to + 1);
      Entry waiting = conv.buffer.get(to + 1);
      if (own == null && waiting == null) break;
      taken.add(TakenEntry.newBuilder().setEntry(own == null ? waiting : own.entry()).build());
      to++;
    }
    if (to == before) {
      if (conv.waitsBehindHole()) catchUp.hole(conv);
      return;
    }
    // Silent: the application has had it before the server's log was replaced (RECON-7).
    List<TakenEntry> handed = new ArrayList<>();
    for (TakenEntry entry : taken) {
      boolean known = conv.unconfirmed().stream()
          .anyMatch(slot -> slot.entry().getSeq() == entry.getEntry().getSeq() && slot.isSameMessage(entry.getEntry()));
      if (!known) handed.add(entry);
    }
    EntriesTaken.Builder act = EntriesTaken.newBuilder().setConversation(conv.name).addAllEntries(taken).setCursor(to);
    if (skipped != null) act.setSkipped(skipped);
    store.change(Change.newBuilder().setEntriesTaken(act));
    conv.emptyPulls = 0;
    conv.holeDue = false;
    if (conv.buffer.isEmpty() && Conv.above(conv.dropped, to)) {
      conv.headAtLeast(conv.dropped);
      session.loop.execute(catchUp::pump);
    }
    if (skipped != null) application.gap(conv, skipped);
    for (TakenEntry entry : handed) {
      application.message(conv, new Slot(entry.getEntry(), entry.getDamaged()));
    }
    for (TakenEntry entry : taken) recognise(conv, entry.getEntry());
    if (conv.waitsBehindHole()) catchUp.hole(conv);
  }

  /** An own entry settles its send, whichever of entry and SendAck comes first (ACK-11). */
  private void recognise(Conv conv, Entry entry) {
    if (!entry.hasMessage() || !entry.getMessage().getSenderId().equals(store.user())) return;
    Send send = store.send(entry.getMessage().getClientMsgId());
    if (send == null || !send.conversation.equals(conv.name)) return;
    outbox.settle(send, Accepted.newBuilder().setSeq(entry.getSeq()).setServerTimeMs(entry.getServerTimeMs()).build());
    outbox.pump();
  }

  /** Acknowledges pushes that are stored, in order, none behind one that is not (ACK-1, ACK-2). */
  void acknowledge() {
    while (!unacknowledged.isEmpty()) {
      Pushed first = unacknowledged.peek();
      if (first.conversation.inLimbo() || Conv.above(first.seq, first.conversation.cursor())) break;
      stored = unacknowledged.poll().pushSeq;
      first.conversation.cursorAtServer = Conv.max(first.conversation.cursorAtServer, first.seq);
    }
    if (stored == acknowledged || !session.mayAcknowledge()) return;
    if (Integer.compareUnsigned(stored - acknowledged, session.limits().getAckBatchMax()) >= 0) sendAck();
    // Well within the time that the server gives (ACK-3).
    else if (ackTimer == null) ackTimer = session.loop.after(session.timers().getAckDelayMsMax() / 3, this::sendAck);
  }

  /** Also before the application closes in good order. */
  void sendAck() {
    if (ackTimer != null) ackTimer.cancel();
    ackTimer = null;
    if (stored == acknowledged || !session.mayAcknowledge()) return;
    acknowledged = stored;
    session.send(Frame.newBuilder().setDeliverAck(DeliverAck.newBuilder().setUpTo(acknowledged)));
  }

  private void report(Conv conv, long seq) {
    session.send(Frame.newBuilder().setError(ErrorFrame.newBuilder().setCode(ErrorCode.ERROR_CODE_BODY_DAMAGED)
        .setScope(ErrorScope.ERROR_SCOPE_REQUEST).setRetry(RetryClass.RETRY_CLASS_NEVER)
        .setFrameKind(Frame.OFFLINE_PAGE_FIELD_NUMBER).setConversation(conv.name).setSeq(seq)));
  }

  /** Whose message an entry is: own ones are shown as such. */
  boolean isOwn(Entry entry) {
    return entry.hasMessage() && entry.getMessage().getSenderId().equals(store.user());
  }

  static ByteString idOf(Entry entry) {
    return entry.getMessage().getClientMsgId();
  }
}
