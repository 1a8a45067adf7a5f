package imwire.peer.client;

import imwire.peer.store.Slot;
import java.util.List;

/** Who asked for history. One of the two is called, once. */
public interface HistoryReader {
  void page(List<Slot> entries, boolean hasMore);

  void refused(String why);
}
