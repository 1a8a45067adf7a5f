package imwire.peer.client;

import java.util.ArrayDeque;
import java.util.PriorityQueue;
import java.util.concurrent.Executor;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.LongSupplier;

/**
 * The one thread on which everything of a client happens, in turns. A turn takes all that is waiting; behind it comes
 * `endOfTurn`, which makes the turn durable and only then lets out what the turn has to say. So no frame and no word to
 * the application speaks of something that a crash could take back (SEND-1, ACK-1, ACK-10, PULL-11, SEND-24).
 */
public final class Loop implements Executor, Runnable {
  /** Something that happens at a time, once, unless it is cancelled. */
  public static final class Timer {
    private final long atMs;
    private Runnable task;

    private Timer(long atMs, Runnable task) {
      this.atMs = atMs;
      this.task = task;
    }

    public void cancel() {
      task = null;
    }
  }

  private final LongSupplier clockMs;
  private final LinkedBlockingQueue<Runnable> waiting = new LinkedBlockingQueue<>();
  private final PriorityQueue<Timer> timers = new PriorityQueue<>((a, b) -> Long.compare(a.atMs, b.atMs));
  private Runnable endOfTurn = () -> {};
  private boolean ended;

  /** `clockMs` is monotonic. */
  public Loop(LongSupplier clockMs) {
    this.clockMs = clockMs;
  }

  public long nowMs() {
    return clockMs.getAsLong();
  }

  /** From any thread. */
  @Override
  public void execute(Runnable task) {
    waiting.add(task);
  }

  /** On the loop's thread only. */
  public Timer after(long delayMs, Runnable task) {
    Timer timer = new Timer(nowMs() + Math.max(0, delayMs), task);
    timers.add(timer);
    return timer;
  }

  public void endOfTurn(Runnable act) {
    endOfTurn = act;
  }

  public void end() {
    ended = true;
  }

  @Override
  public void run() {
    ArrayDeque<Runnable> turn = new ArrayDeque<>();
    while (!ended) {
      try {
        Runnable first = waiting.poll(untilNextMs(), TimeUnit.MILLISECONDS);
        if (first != null) turn.add(first);
      } catch (InterruptedException e) {
        return;
      }
      waiting.drainTo(turn);
      while (!turn.isEmpty()) turn.poll().run();
      // Only what is due by now: a timer that sets another one does not keep the turn from its end.
      for (long due = nowMs(); !timers.isEmpty() && timers.peek().atMs <= due; ) {
        Timer next = timers.poll();
        if (next.task != null) next.task.run();
      }
      endOfTurn.run();
    }
  }

  private long untilNextMs() {
    while (!timers.isEmpty() && timers.peek().task == null) timers.poll();
    return timers.isEmpty() ? 60000 : Math.max(0, timers.peek().atMs - nowMs());
  }
}
