package imwire.peer.client;

import com.google.protobuf.ByteString;
import imwire.peer.store.Send;
import imwire.peer.store.Slot;
import imwire.peer.store.Store;
import imwire.peer.store.pb.Change;
import imwire.peer.store.pb.SendAccepted;
import imwire.peer.store.pb.SendGivenUp;
import imwire.peer.store.pb.SendQueued;
import imwire.peer.store.pb.SendResent;
import imwire.peer.store.pb.SendTransmitted;
import imwire.peer.store.pb.SendWithdrawn;
import imwire.v1.EntryOuterClass.Conversation;
import imwire.v1.Error.Fate;
import imwire.v1.Error.RetryClass;
import imwire.v1.FrameOuterClass.Frame;
import imwire.v1.Send.Accepted;
import imwire.v1.Send.QuerySend;
import imwire.v1.Send.QuerySendResult;
import imwire.v1.Send.Refused;
import imwire.v1.Send.SendAck;
import imwire.v1.Send.SendQuery;
import imwire.v1.Send.SendReq;
import imwire.v1.Send.SendResult;
import imwire.v1.Send.SendState;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.LongSupplier;

/** The client's states for a send (chapter 4): queued, sending, then sent, failed or unknown. */
final class Outbox {
  private final Session session;
  private final Store store;
  private final Application application;
  private final LongSupplier wallMs;
  private final LongSupplier dedupWindowMs;
  private final java.util.function.Consumer<Conversation> slotFilled;
  private final Set<Integer> queries = new HashSet<>();
  private Loop.Timer timer;

  /** `slotFilled` hears of a conversation in which an own entry has got its seq. */
  Outbox(Session session, Store store, Application application, LongSupplier wallMs, LongSupplier dedupWindowMs,
      java.util.function.Consumer<Conversation> slotFilled) {
    this.session = session;
    this.store = store;
    this.application = application;
    this.wallMs = wallMs;
    this.dedupWindowMs = dedupWindowMs;
    this.slotFilled = slotFilled;
  }

  /** Takes a send; it is durable, and may leave, behind this turn (SEND-1). */
  Send queue(ByteString id, Conversation conversation, String contentType, ByteString body) {
    store.change(Change.newBuilder().setSendQueued(SendQueued.newBuilder().setClientMsgId(id).setConversation(conversation)
        .setContentType(contentType).setBody(body).setClientTimeMs(wallMs.getAsLong())));
    Send send = store.send(id);
    tell(send, "queued");
    pump();
    return send;
  }

  /** By hand, under the old id (SEND-20). A send that is open already is repeated by itself. */
  void resend(Send send) {
    if (send.isOpen()) return;
    store.change(Change.newBuilder().setSendResent(SendResent.newBuilder().setClientMsgId(send.id)));
    forgetAttempt(send);
    tell(send, "queued");
    pump();
  }

  void withdraw(Send send) {
    store.change(Change.newBuilder().setSendWithdrawn(SendWithdrawn.newBuilder().setClientMsgId(send.id)));
    pump();
  }

  void opened() {
    for (Send send : store.sends()) {
      send.asked = false;
      if (tooLarge(send)) {
        if (!send.isOpen()) continue;
        // What was never transmitted is in no conversation: it may be called failed (SEND-14).
        if (send.firstSentMs() == 0) giveUp(send, "BODY_TOO_LARGE");
        else giveUp(send, "");
      }
    }
    pump();
    query();
  }

  /** Time without a session is no attempt (SEND-11); what a refusal asked for still holds (SEND-10). */
  void lost() {
    queries.clear();
    for (Send send : store.sends()) {
      if (send.inFlight) forgetAttempt(send);
      send.waitsFor = null;
    }
    if (timer != null) timer.cancel();
  }

  void acknowledged(SendAck ack) {
    Send send = store.send(ack.getClientMsgId());
    // Settled already, or not of this conversation (SEND-22).
    if (send == null || !send.conversation.equals(store.conversation(ack.getConversation()).name)) return;
    // An acceptance without a seq is none: it reads as an outcome that is not known (ERR-4).
    if (ack.hasAccepted() && ack.getAccepted().getSeq() != 0) settle(send, ack.getAccepted());
    else refused(send, ack.getRefused());
    pump();
    query();
  }

  /** The seq is known, by whichever way it came: SendAck, QuerySendResult, or the entry itself (ACK-11). */
  void settle(Send send, Accepted accepted) {
    Conversation name = send.conversation;
    store.change(Change.newBuilder().setSendAccepted(SendAccepted.newBuilder().setClientMsgId(send.id)
        .setSeq(accepted.getSeq()).setServerTimeMs(accepted.getServerTimeMs())));
    send.told = "sent";
    application.state(send, "sent", accepted.getSeq(), null);
    slotFilled.accept(name);
  }

  void queried(QuerySendResult answer) {
    if (!queries.remove(answer.getRequestId())) return;
    for (SendResult result : answer.getResultsList()) {
      Send send = store.send(result.getClientMsgId());
      // Otherwise it stays unknown, and the next session asks again (QUERY-7, SEND-14).
      if (send == null || result.getState() != SendState.SEND_STATE_COMMITTED) continue;
      settle(send, result.getAccepted());
    }
    pump();
  }

  /** Sends what may leave now, and sets the timer for what may leave later. */
  void pump() {
    if (timer != null) timer.cancel();
    if (!session.isOpen()) return;
    long now = session.loop.nowMs();
    long next = Long.MAX_VALUE;
    int room = session.limits().getSendWindow();
    for (Send send : store.sends()) if (send.inFlight) room--;
    Map<Conversation, Send> before = new HashMap<>();
    Set<Conversation> held = new HashSet<>();
    for (Send send : new ArrayList<>(store.sends())) {
      if (!send.isOpen()) continue;
      long leftMs = windowLeftMs(send);
      if (leftMs <= 0) {
        giveUp(send, "");
        continue;
      }
      if (leftMs != Long.MAX_VALUE) next = Math.min(next, now + leftMs);
      boolean free = send.inFlight || (room > 0 && !held.contains(send.conversation) && !waits(send));
      if (free && send.dueMs <= now) {
        if (!send.inFlight) room--;
        transmit(send, before.get(send.conversation));
      }
      if (send.dueMs > now) next = Math.min(next, send.dueMs);
      // Nothing overtakes a send that waits: the server would refuse it as out of order (ORDER-4).
      if (!send.inFlight) held.add(send.conversation);
      before.put(send.conversation, send);
    }
    if (next != Long.MAX_VALUE) {
      timer = session.loop.after(next - now, () -> {
        pump();
        query();
      });
    }
  }

  /** Names its nearest earlier open send, so that the server can keep the order (ORDER-6, ORDER-7). */
  private void transmit(Send send, Send predecessor) {
    long sentAtMs = wallMs.getAsLong();
    if (send.firstSentMs() == 0 || send.byHand()) {
      store.change(Change.newBuilder().setSendTransmitted(SendTransmitted.newBuilder().setClientMsgId(send.id).setAtMs(Math.max(1, sentAtMs))));
    }
    send.inFlight = true;
    send.attempts++;
    send.waitsFor = null;
    // The repeat, if no answer comes (SEND-8), behind its delay (SEND-9).
    send.dueMs = session.loop.nowMs() + session.timers().getSendTimeoutMs() + Backoff.sendMs(session.timers(), send.attempts, session.random);
    SendReq.Builder request = request(send);
    if (predecessor != null) request.setPredecessor(predecessor.id);
    session.send(Frame.newBuilder().setSendReq(request));
    tell(send, "sending");
  }

  private SendReq.Builder request(Send send) {
    return SendReq.newBuilder().setClientMsgId(send.id).setConversation(send.conversation).setContentType(send.contentType)
        .setBody(send.body).setBodyCrc32(Slot.crc(send.body)).setClientTimeMs(send.clientTimeMs);
  }

  private void refused(Send send, Refused refused) {
    if (!send.isOpen()) return;
    boolean never = refused.getRetry() == RetryClass.RETRY_CLASS_NEVER;
    if (never) {
      // Only "not done" is definite; anything else is a question (SEND-14).
      boolean definite = refused.getFate() == Fate.FATE_NOT_DONE;
      giveUp(send, definite ? Codes.name(refused.getCode(), refused.getCodeValue()) : "");
      return;
    }
    // A class that is not known, and an outcome that is not known, read as later (ERR-4).
    send.inFlight = false;
    long delayMs = Math.max(Integer.toUnsignedLong(refused.getRetryAfterMs()), Backoff.sendMs(session.timers(), send.attempts, session.random));
    Send first = refused.getRetry() == RetryClass.RETRY_CLASS_AFTER_PREDECESSOR ? openBefore(send) : null;
    send.waitsFor = first;
    send.waitsForAttempts = first == null || !first.inFlight ? -1 : first.attempts;
    send.dueMs = session.loop.nowMs() + (first == null ? delayMs : Integer.toUnsignedLong(refused.getRetryAfterMs()));
  }

  /** Out of order: it waits until the send in front of it has ended, or was sent again. */
  private boolean waits(Send send) {
    Send first = send.waitsFor;
    if (first == null || !first.isOpen() || store.send(first.id) == null) return false;
    return !first.inFlight || first.attempts == send.waitsForAttempts;
  }

  private Send openBefore(Send send) {
    Send before = null;
    for (Send other : store.sends()) {
      if (other == send) return before;
      if (other.isOpen() && other.conversation.equals(send.conversation)) before = other;
    }
    return before;
  }

  private void giveUp(Send send, String code) {
    store.change(Change.newBuilder().setSendGivenUp(SendGivenUp.newBuilder().setClientMsgId(send.id).setCode(code)));
    forgetAttempt(send);
    send.asked = false;
    if (code.isEmpty()) tell(send, "unknown");
    else if (!send.told.equals("failed")) application.state(send, send.told = "failed", null, code);
  }

  /** Asks what became of the sends whose outcome is unknown, once in a session (SEND-12). */
  void query() {
    if (!session.isOpen()) return;
    Map<Conversation, List<Send>> unknown = new LinkedHashMap<>();
    for (Send send : store.sends()) {
      if (send.state() == Send.State.UNKNOWN && !send.asked) unknown.computeIfAbsent(send.conversation, c -> new ArrayList<>()).add(send);
    }
    int most = session.limits().getQueryIdsMax();
    unknown.forEach((conversation, sends) -> {
      for (int from = 0; from < sends.size(); from += most) ask(conversation, sends.subList(from, Math.min(sends.size(), from + most)));
    });
  }

  private void ask(Conversation conversation, List<Send> sends) {
    QuerySend.Builder query = QuerySend.newBuilder().setRequestId(session.nextRequestId()).setConversation(conversation);
    for (Send send : sends) {
      send.asked = true;
      long ageMs = Math.max(0, wallMs.getAsLong() - send.firstSentMs());
      query.addSends(SendQuery.newBuilder().setClientMsgId(send.id).setAgeMs(ageMs));
    }
    queries.add(query.getRequestId());
    session.send(Frame.newBuilder().setQuerySend(query));
  }

  /** A clock that went back only makes the window longer than it is: the age is never below 0. */
  private long windowLeftMs(Send send) {
    if (send.firstSentMs() == 0 || send.byHand()) return Long.MAX_VALUE;
    long windowMs = dedupWindowMs.getAsLong();
    if (windowMs == Long.MAX_VALUE) return windowMs;
    return windowMs - Math.max(0, wallMs.getAsLong() - send.firstSentMs());
  }

  private boolean tooLarge(Send send) {
    return Integer.compareUnsigned(send.body.size(), session.limits().getBodyBytesMax()) > 0;
  }

  private static void forgetAttempt(Send send) {
    send.inFlight = false;
    send.dueMs = 0;
    send.waitsFor = null;
  }

  private void tell(Send send, String state) {
    if (send.told.equals(state)) return;
    send.told = state;
    application.state(send, state, null, null);
  }
}
