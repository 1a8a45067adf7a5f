package imwire.peer.store;

import imwire.v1.EntryOuterClass.Conversation;
import imwire.v1.EntryOuterClass.Entry;
import imwire.v1.Sync.Watermark;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.NavigableMap;
import java.util.TreeMap;

/** A conversation on this device. A seq is an unsigned 64-bit number (FRAME-16): compare it with {@link #above}. */
public final class Conv {
  public final Conversation name;

  /** Durable: entries by seq. Above the cursor stand only own sends whose SendAck came first. */
  final NavigableMap<Long, Slot> entries = new TreeMap<>(Long::compareUnsigned);

  /** Durable: between a change of epoch and the sync behind it, the entries whose seqs may mean nothing any more. */
  final NavigableMap<Long, Slot> limbo = new TreeMap<>(Long::compareUnsigned);

  /** Durable: entries that the server no longer confirms (RECON-7), in their old order. */
  final List<Slot> unconfirmed = new ArrayList<>();

  final Map<String, Watermark> watermarks = new HashMap<>();
  long cursor;
  long head;
  long read;
  boolean readConfirmed = true;

  /** After a change of epoch and before the sync: the cursor means nothing, and this was the old one. */
  boolean inLimbo;

  long cursorBefore;

  // What follows belongs to this run.

  /** Entries that wait behind a hole (GAP-1). */
  public final NavigableMap<Long, Entry> buffer = new TreeMap<>(Long::compareUnsigned);

  /** The highest entry that had no room in the buffer (GAP-7): there is at least so much to pull behind the hole. */
  public long dropped;

  /** How often a page with `after` just below has brought the seq damaged (GAP-13). */
  public final Map<Long, Integer> damage = new HashMap<>();

  /** This device's cursor as the server has it, as far as this device knows. */
  public long cursorAtServer;

  public boolean lookedAt;

  /** A pull of this conversation is on its way (GAP-3). */
  public boolean pulling;

  /** The last page said has_more (PULL-12). */
  public boolean more;

  /** The grace of a hole is over (GAP-2). */
  public boolean holeDue;

  public boolean graceRuns;

  /** The entry behind the cursor came damaged and is pulled again (GAP-13). */
  public boolean mending;

  /** The last page wants to be acknowledged by another pull (PULL-20). */
  public boolean ackDue;

  public boolean ackTimerRuns;

  /** Pulls in a row that brought nothing new (GAP-6). */
  public int emptyPulls;

  /** Monotonic: no pull before this. */
  public long notBeforeMs;

  /** The server has said that this cannot be pulled; until a sync names it again. */
  public boolean refused;

  /** Head that the server named with CURSOR_AHEAD, or null (GAP-11). */
  public Long aheadOf;

  public boolean unconfirmedTold;

  Conv(Conversation name) {
    this.name = name;
  }

  public static boolean above(long seq, long other) {
    return Long.compareUnsigned(seq, other) > 0;
  }

  public static long max(long a, long b) {
    return above(a, b) ? a : b;
  }

  public static long min(long a, long b) {
    return above(a, b) ? b : a;
  }

  public long cursor() {
    return cursor;
  }

  /** The highest seq that the server has named. */
  public long head() {
    return head;
  }

  public void headAtLeast(long seq) {
    head = max(head, seq);
  }

  public long read() {
    return read;
  }

  public boolean readConfirmed() {
    return readConfirmed;
  }

  public boolean inLimbo() {
    return inLimbo;
  }

  public Slot entry(long seq) {
    return entries.get(seq);
  }

  public List<Slot> unconfirmed() {
    return unconfirmed;
  }

  public Watermark watermark(String user) {
    return watermarks.getOrDefault(user, Watermark.newBuilder().setUserId(user).build());
  }

  /** Whether something is there that a hole keeps from the application. */
  public boolean waitsBehindHole() {
    return !buffer.isEmpty() || entries.higherKey(cursor) != null;
  }

  /** What the application shows, top to bottom, but for the open sends: the unconfirmed stand where they once were said. */
  public List<Slot> shown() {
    if (inLimbo) {
      List<Slot> old = new ArrayList<>(limbo.values());
      old.addAll(unconfirmed);
      old.addAll(entries.values());
      return old;
    }
    List<Slot> shown = new ArrayList<>(entries.values());
    if (unconfirmed.isEmpty()) return shown;
    shown.addAll(entries.headMap(unconfirmed.get(0).entry().getSeq()).size(), unconfirmed);
    return shown;
  }
}
