package imwire.peer.client;

import imwire.peer.store.Conv;
import imwire.peer.store.Store;
import imwire.peer.store.pb.Change;
import imwire.peer.store.pb.MarkMoved;
import imwire.peer.store.pb.ReceiptMoved;
import imwire.v1.FrameOuterClass.Frame;
import imwire.v1.ReceiptOuterClass.ReadMark;
import imwire.v1.ReceiptOuterClass.Receipt;
import imwire.v1.Sync.ConversationState;
import imwire.v1.Sync.Watermark;
import java.util.HashMap;
import java.util.Map;

/** How far people have read: the user, on any device, and the other members (chapter 7). All marks only grow. */
final class Marks {
  private final Session session;
  private final Store store;
  private final Application application;
  /** ReadMark has no answer: the answer to a request behind it says that it was taken in (BEAT-8). */
  private final Map<Conv, Integer> sentBefore = new HashMap<>();

  Marks(Session session, Store store, Application application) {
    this.session = session;
    this.store = store;
    this.application = application;
  }

  void lost() {
    sentBefore.clear();
  }

  /** The user has read up to here, on this device. */
  void read(Conv conv, long upTo) {
    if (!Conv.above(upTo, conv.read())) return;
    move(conv, upTo, false);
    send(conv);
  }

  /** A ReadMark from the server: another device of the user has read. */
  void readElsewhere(ReadMark mark) {
    raised(store.conversation(mark.getConversation()), mark.getUpTo());
  }

  /** What a sync shows of a conversation. */
  void shown(Conv conv, ConversationState state) {
    if (Conv.above(conv.read(), state.getReadSeq())) {
      // The connection ended with it (READ-6).
      if (conv.readConfirmed()) move(conv, conv.read(), false);
      sentBefore.remove(conv);
    } else {
      raised(conv, state.getReadSeq());
      if (!conv.readConfirmed()) move(conv, conv.read(), true);
    }
    for (Watermark watermark : state.getWatermarksList()) receipt(conv, watermark);
  }

  /** Behind a sync: sends the marks that the server is not known to have, also of conversations that the sync left out. */
  void repeat() {
    for (Conv conv : store.conversations()) if (!conv.readConfirmed() && !sentBefore.containsKey(conv)) send(conv);
  }

  /** The answer to this request has come: what was sent in front of it was taken in. */
  void answered(int requestId) {
    sentBefore.entrySet().removeIf(sent -> {
      if (Integer.compareUnsigned(requestId, sent.getValue()) <= 0) return false;
      Conv conv = sent.getKey();
      if (!conv.readConfirmed()) move(conv, conv.read(), true);
      return true;
    });
  }

  void receipt(Receipt receipt) {
    receipt(store.conversation(receipt.getConversation()),
        Watermark.newBuilder().setUserId(receipt.getUserId()).setDeliveredSeq(receipt.getDeliveredSeq()).setReadSeq(receipt.getReadSeq()).build());
  }

  private void receipt(Conv conv, Watermark mark) {
    Watermark before = conv.watermark(mark.getUserId());
    // A mark below the one that is known is old news (READ-8).
    Watermark after = Watermark.newBuilder().setUserId(mark.getUserId())
        .setDeliveredSeq(Conv.max(before.getDeliveredSeq(), mark.getDeliveredSeq()))
        .setReadSeq(Conv.max(before.getReadSeq(), mark.getReadSeq())).build();
    if (after.equals(before)) return;
    store.change(Change.newBuilder().setReceiptMoved(ReceiptMoved.newBuilder().setConversation(conv.name).setWatermark(after)));
    application.receipt(conv, after);
  }

  private void raised(Conv conv, long upTo) {
    if (!Conv.above(upTo, conv.read())) return;
    move(conv, upTo, true);
    application.read(conv, upTo);
  }

  private void send(Conv conv) {
    if (!session.isOpen()) return;
    sentBefore.put(conv, session.lastRequestId());
    session.send(Frame.newBuilder().setReadMark(ReadMark.newBuilder().setConversation(conv.name).setUpTo(conv.read())));
  }

  private void move(Conv conv, long upTo, boolean confirmed) {
    store.change(Change.newBuilder().setMarkMoved(MarkMoved.newBuilder().setConversation(conv.name).setUpTo(upTo).setConfirmed(confirmed)));
  }
}
