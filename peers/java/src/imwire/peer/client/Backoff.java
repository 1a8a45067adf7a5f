package imwire.peer.client;

import imwire.v1.Handshake.Timers;
import java.util.Random;

/** The two random delays of the protocol. A timer is a uint32 of at most a day, so that an int holds it. */
final class Backoff {
  private Backoff() {}

  /** Before connection attempt n+1 in a row (RECON-1), milliseconds. */
  static long reconnectMs(Timers timers, int n, Random random) {
    return timers.getReconnectMsMin() + part(scale(timers.getReconnectMsMax(), timers.getReconnectMsBase(), n), random);
  }

  /** Before attempt n+1 of a send (SEND-9), milliseconds. */
  static long sendMs(Timers timers, int n, Random random) {
    long most = Math.max(timers.getSendRetryMsMin(), scale(timers.getSendRetryMsMax(), timers.getSendRetryMsBase(), n));
    return timers.getSendRetryMsMin() + part(most - timers.getSendRetryMsMin(), random);
  }

  /** A random time between 0 and `most`. */
  static long part(long most, Random random) {
    return (long) (random.nextDouble() * most);
  }

  private static long scale(long max, long base, int n) {
    return Math.min(max, base << Math.min(n, 30));
  }
}
