package imwire.peer.client;

import com.google.protobuf.ByteString;
import imwire.peer.store.Conv;
import imwire.peer.store.Store;
import imwire.peer.store.pb.Change;
import imwire.peer.store.pb.HeadLowered;
import imwire.peer.store.pb.SyncDone;
import imwire.v1.Error.ErrorFrame;
import imwire.v1.Error.RetryClass;
import imwire.v1.FrameOuterClass.Frame;
import imwire.v1.Pull.OfflinePage;
import imwire.v1.Pull.PullOffline;
import imwire.v1.PushOuterClass.HeadNotify;
import imwire.v1.Sync.ConversationState;
import imwire.v1.Sync.SyncPage;
import imwire.v1.Sync.SyncReq;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;

/** What changed while the device was away (sync), and the entries of it (pull): chapter 6, and the holes of chapter 5. */
final class CatchUp {
  /** Conversations that are pulled at a time: enough to hide a round trip, few enough that what is looked at comes first. */
  private static final int PULLS_MAX = 4;
  /** Pulls without anything new before the picture itself is in doubt (GAP-6). */
  private static final int EMPTY_PULLS_MAX = 3;
  /** Of audit_ms: a sync is in time although its timer is late (SYNC-9). */
  private static final double IN_TIME = 0.8;

  private record Pull(Conv conv, long after) {}

  private final Session session;
  private final Store store;
  private final Application application;
  private final boolean everything;
  private final Map<Integer, Pull> pulls = new HashMap<>();
  private final List<ConversationState> chain = new ArrayList<>();
  /** The latest looked at stands first. */
  private final ArrayDeque<Conv> looked = new ArrayDeque<>();
  private Inbox inbox;
  private Marks marks;
  private int syncId;
  private boolean syncAgain;
  private Loop.Timer audit;
  private Loop.Timer later;

  CatchUp(Session session, Store store, Application application, boolean everything) {
    this.session = session;
    this.store = store;
    this.application = application;
    this.everything = everything;
  }

  void join(Inbox inbox, Marks marks) {
    this.inbox = inbox;
    this.marks = marks;
  }

  void opened() {
    for (Conv conv : store.conversations()) conv.cursorAtServer = conv.cursor();
    sync();
  }

  void lost() {
    pulls.clear();
    chain.clear();
    syncId = 0;
    syncAgain = false;
    if (audit != null) audit.cancel();
    if (later != null) later.cancel();
    for (Conv conv : store.conversations()) {
      conv.pulling = false;
      conv.more = false;
      conv.ackDue = false;
    }
  }

  /** Asks what changed; one chain at a time, and once more behind it where a new doubt has come up. */
  void sync() {
    if (!session.isOpen()) return;
    if (syncId != 0) {
      syncAgain = true;
      return;
    }
    syncAgain = false;
    chain.clear();
    ask(ByteString.EMPTY);
    if (audit != null) audit.cancel();
    audit = session.loop.after((long) (session.timers().getAuditMs() * IN_TIME), this::sync);
  }

  private void ask(ByteString page) {
    syncId = session.nextRequestId();
    session.send(Frame.newBuilder().setSyncReq(SyncReq.newBuilder().setRequestId(syncId).setToken(store.syncToken()).setPage(page)));
  }

  void synced(SyncPage page) {
    if (page.getRequestId() != syncId) return;
    for (ConversationState state : page.getConversationsList()) chain.add(state.toBuilder().clearPreview().build());
    if (!session.isOpen()) return;
    if (!page.getNextPage().isEmpty()) {
      // Also behind a page without conversations (SYNC-14).
      ask(page.getNextPage());
      return;
    }
    syncId = 0;
    // Heads and token are one act (SYNC-7). A conversation may have been named twice: the later word holds.
    store.change(Change.newBuilder().setSyncDone(SyncDone.newBuilder().addAllConversations(chain).setToken(page.getToken())));
    List<ConversationState> named = new ArrayList<>(chain);
    chain.clear();
    for (ConversationState state : named) {
      Conv conv = store.conversation(state.getConversation());
      conv.cursorAtServer = state.getCursor();
      conv.refused = false;
      conv.aheadOf = conv.aheadOf == null ? null : Long.valueOf(state.getHead());
      marks.shown(conv, state);
    }
    for (Conv conv : new ArrayList<>(store.conversations())) {
      trustHead(conv);
      inbox.advance(conv, List.of(), null);
      tellUnconfirmed(conv);
      // A cursor that the server has too low keeps it from pushing: an empty pull raises it (PUSH-2, PULL-20).
      if (Conv.above(conv.cursor(), conv.cursorAtServer)) acknowledgeSoon(conv);
    }
    inbox.acknowledge();
    marks.repeat();
    application.synced();
    pump();
    if (syncAgain) sync();
  }

  /** Behind CURSOR_AHEAD the sync has been asked; now the server's head holds (GAP-11). */
  private void trustHead(Conv conv) {
    if (conv.aheadOf == null) return;
    long head = conv.aheadOf;
    conv.aheadOf = null;
    if (Conv.above(conv.cursor(), head)) {
      store.change(Change.newBuilder().setHeadLowered(HeadLowered.newBuilder().setConversation(conv.name).setHead(head)));
    }
  }

  void notified(HeadNotify notify) {
    Conv conv = store.conversation(notify.getConversation());
    if (conv.inLimbo()) {
      // Its cursor is not known yet; the sync will say.
      syncAgain = true;
      return;
    }
    conv.headAtLeast(notify.getHead());
    pump();
  }

  /** The user looks at this one: it is pulled first (PULL-13). */
  void look(Conv conv) {
    conv.lookedAt = true;
    looked.remove(conv);
    looked.addFirst(conv);
    pump();
  }

  /** Something waits behind a hole: it may close by itself for a while (GAP-2, GAP-4). */
  void hole(Conv conv) {
    if (conv.graceRuns || !session.isOpen()) return;
    conv.graceRuns = true;
    session.loop.after(session.timers().getGapGraceMs(), () -> {
      conv.graceRuns = false;
      if (!conv.waitsBehindHole()) return;
      conv.holeDue = true;
      pump();
    });
  }

  /** Sends the pulls that are due, what is looked at first. */
  void pump() {
    if (later != null) later.cancel();
    if (!session.isOpen()) return;
    long now = session.loop.nowMs();
    long next = Long.MAX_VALUE;
    LinkedHashSet<Conv> order = new LinkedHashSet<>(looked);
    order.addAll(store.conversations());
    for (Conv conv : order) {
      if (conv.pulling || !isDue(conv)) continue;
      if (conv.notBeforeMs > now) next = Math.min(next, conv.notBeforeMs);
      else if (pulls.size() < PULLS_MAX) pull(conv);
    }
    if (next != Long.MAX_VALUE) later = session.loop.after(next - now, this::pump);
  }

  private boolean isDue(Conv conv) {
    if (conv.inLimbo() || conv.refused || conv.aheadOf != null) return false;
    if (conv.more || conv.ackDue || conv.mending) return true;
    if (conv.holeDue && !conv.buffer.isEmpty()) return true;
    boolean behind = conv.holeDue || Conv.above(conv.head(), conv.cursor());
    return behind && (everything || conv.lookedAt);
  }

  private void pull(Conv conv) {
    int id = session.nextRequestId();
    PullOffline.Builder pull = PullOffline.newBuilder().setRequestId(id).setConversation(conv.name).setAfter(conv.cursor())
        .setEntriesMax(wanted(conv));
    pulls.put(id, new Pull(conv, conv.cursor()));
    conv.pulling = true;
    conv.ackDue = false;
    conv.more = false;
    conv.holeDue = false;
    conv.cursorAtServer = Conv.max(conv.cursorAtServer, conv.cursor());
    session.send(Frame.newBuilder().setPullOffline(pull));
  }

  /** 0 is the server's limit. A repair asks for no more than what is missing and what waits behind it (GAP-2). */
  private static int wanted(Conv conv) {
    if (conv.mending) return 1;
    if (conv.buffer.isEmpty() || Conv.above(conv.head(), conv.buffer.lastKey())) return 0;
    long missing = conv.buffer.firstKey() - conv.cursor() - 1;
    return (int) Math.min(Integer.MAX_VALUE, missing + conv.buffer.size());
  }

  void page(OfflinePage page) {
    Pull pull = pulls.remove(page.getRequestId());
    if (pull == null) return;
    Conv conv = pull.conv;
    conv.pulling = false;
    conv.more = page.getHasMore();
    conv.headAtLeast(page.getHead());
    if (inbox.took(conv, page, pull.after)) conv.emptyPulls = 0;
    else if (isDue(conv)) nothingNew(conv);
    if (!conv.more && Conv.above(conv.cursor(), conv.cursorAtServer)) acknowledgeSoon(conv);
    pump();
  }

  /** A page that brought nothing is not asked for again at full speed (GAP-6). */
  private void nothingNew(Conv conv) {
    conv.emptyPulls++;
    conv.notBeforeMs = session.loop.nowMs() + Backoff.sendMs(session.timers(), conv.emptyPulls, session.random);
    if (conv.emptyPulls % EMPTY_PULLS_MAX == 0) sync();
  }

  /** The end of a chain is acknowledged by another pull, unless a DeliverAck does it (PULL-20). */
  private void acknowledgeSoon(Conv conv) {
    if (conv.ackTimerRuns) return;
    conv.ackTimerRuns = true;
    session.loop.after(session.timers().getAckDelayMsMax() / 3, () -> {
      conv.ackTimerRuns = false;
      if (!session.isOpen() || !Conv.above(conv.cursor(), conv.cursorAtServer)) return;
      conv.ackDue = true;
      pump();
    });
  }

  /** As soon as the cursor has moved back: a pull may take long, or confirm nothing (RECON-7). */
  private void tellUnconfirmed(Conv conv) {
    if (conv.inLimbo() || conv.unconfirmedTold || conv.unconfirmed().isEmpty()) return;
    conv.unconfirmedTold = true;
    application.unconfirmed(conv, conv.unconfirmed().get(0).entry().getSeq() - 1);
  }

  /** A request was refused; true when it was one of these. */
  boolean refused(ErrorFrame error) {
    if (error.getRequestId() != 0 && error.getRequestId() == syncId) {
      syncRefused(error);
      return true;
    }
    Pull pull = pulls.remove(error.getRequestId());
    if (pull == null) return false;
    Conv conv = pull.conv;
    conv.pulling = false;
    switch (error.getRetry()) {
      case RETRY_CLASS_NEVER -> conv.refused = true;
      case RETRY_CLASS_AFTER_RESYNC -> {
        conv.aheadOf = error.hasSeq() ? error.getSeq() : conv.cursor();
        sync();
      }
      default -> {
        conv.holeDue = conv.waitsBehindHole();
        conv.emptyPulls++;
        conv.notBeforeMs = session.loop.nowMs() + Math.max(Integer.toUnsignedLong(error.getRetryAfterMs()),
            Backoff.sendMs(session.timers(), conv.emptyPulls, session.random));
      }
    }
    pump();
    return true;
  }

  private void syncRefused(ErrorFrame error) {
    syncId = 0;
    chain.clear();
    if (error.getRetry() == RetryClass.RETRY_CLASS_AFTER_RESYNC && !store.syncToken().isEmpty()) {
      // From the beginning; what is there is there (SYNC-16).
      store.forgetSyncToken();
      sync();
      return;
    }
    long delayMs = Math.max(Integer.toUnsignedLong(error.getRetryAfterMs()), Backoff.sendMs(session.timers(), 1, session.random));
    audit.cancel();
    audit = session.loop.after(delayMs, this::sync);
  }
}
