package imwire.peer.client;

import imwire.peer.store.Conv;
import imwire.peer.store.Slot;
import imwire.v1.EntryOuterClass.Entry;
import imwire.v1.Error.ErrorFrame;
import imwire.v1.Error.RetryClass;
import imwire.v1.FrameOuterClass.Frame;
import imwire.v1.Pull.HistoryPage;
import imwire.v1.Pull.PullHistory;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Looking back: entries before a seq, asked of the server, moving no cursor and kept nowhere (HIST-2). */
final class History {
  private record Ask(Conv conv, long before, int limit, HistoryReader reader) {}

  private final Session session;
  private final Map<Integer, Ask> asked = new HashMap<>();
  private final List<Ask> waiting = new ArrayList<>();

  History(Session session) {
    this.session = session;
  }

  /** `before` 0: from the end. Without a session the answer waits for one. */
  void ask(Conv conv, long before, int limit, HistoryReader reader) {
    waiting.add(new Ask(conv, before, limit, reader));
    pump();
  }

  void pump() {
    if (!session.isOpen()) return;
    for (Ask ask : waiting) {
      int id = session.nextRequestId();
      asked.put(id, ask);
      session.send(Frame.newBuilder().setPullHistory(PullHistory.newBuilder().setRequestId(id).setConversation(ask.conv.name)
          .setBefore(ask.before).setEntriesMax(ask.limit)));
    }
    waiting.clear();
  }

  /** A page has no effect: it is asked for again in the next session. */
  void lost() {
    waiting.addAll(asked.values());
    asked.clear();
  }

  void stopped() {
    lost();
    for (Ask ask : waiting) ask.reader.refused("the client was stopped");
    waiting.clear();
  }

  void page(HistoryPage page) {
    Ask ask = asked.remove(page.getRequestId());
    if (ask == null) return;
    List<Slot> slots = new ArrayList<>();
    for (Entry entry : page.getEntriesList()) slots.add(new Slot(entry, !Slot.isIntact(entry)));
    ask.reader.page(slots, page.getHasMore());
  }

  /** True when the refused request was one of these. */
  boolean refused(ErrorFrame error) {
    Ask ask = asked.remove(error.getRequestId());
    if (ask == null) return false;
    if (error.getRetry() == RetryClass.RETRY_CLASS_NEVER) {
      ask.reader.refused("the server refused: " + Codes.name(error.getCode(), error.getCodeValue()));
      return true;
    }
    long delayMs = Math.max(Integer.toUnsignedLong(error.getRetryAfterMs()), Backoff.sendMs(session.timers(), 1, session.random));
    session.loop.after(delayMs, () -> ask(ask.conv, ask.before, ask.limit, ask.reader));
    return true;
  }
}
