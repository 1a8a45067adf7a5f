package imwire.peer.client;

import com.google.protobuf.Descriptors.FieldDescriptor;
import imwire.v1.Handshake.Limits;
import imwire.v1.Handshake.Timers;

/** What a Welcome may say. */
final class Lawful {
  /** The defaults of chapter 3, in force before the first Welcome. */
  static final Timers DEFAULTS = Timers.newBuilder().setHeartbeatMs(25000).setSendTimeoutMs(10000)
      .setSendRetryMsMin(200).setSendRetryMsBase(1000).setSendRetryMsMax(30000)
      .setReconnectMsMin(500).setReconnectMsBase(500).setReconnectMsMax(20000).setHealthyMs(10000)
      .setAckDelayMsMax(500).setGapGraceMs(500).setAuditMs(300000).setStalledMs(60000).setTokenGraceMs(30000).build();

  private static final long DAY_MS = 86_400_000;

  private Lawful() {}

  /** Each is 1 ms to a day (CONN-15). */
  static boolean timers(Timers timers) {
    for (FieldDescriptor field : Timers.getDescriptor().getFields()) {
      long ms = Integer.toUnsignedLong((Integer) timers.getField(field));
      if (ms == 0 || ms > DAY_MS) return false;
    }
    return true;
  }

  /** Only the receive window may be 0 (CONN-21). */
  static boolean limits(Limits limits) {
    for (FieldDescriptor field : Limits.getDescriptor().getFields()) {
      if (field.getNumber() != Limits.RECEIVE_WINDOW_FIELD_NUMBER && (Integer) limits.getField(field) == 0) return false;
    }
    return true;
  }
}
