package imwire.peer.client;

import imwire.peer.store.Conv;
import imwire.peer.store.Send;
import imwire.peer.store.Slot;
import imwire.v1.Pull.SkippedRange;
import imwire.v1.Sync.Watermark;

/** What a client tells the program above it; on the loop's thread, before the turn is durable, to be said behind it. */
public interface Application {
  /** `sent` with a seq, `failed` with a code; `queued`, `sending` and `unknown` with neither. */
  void state(Send send, String state, Long seq, String code);

  /** An entry, once, in rising seq (ACK-12). */
  void message(Conv conversation, Slot slot);

  /** Entries that the server does not give (GAP-12). */
  void gap(Conv conversation, SkippedRange range);

  /** `connecting`, `open`, `waiting` or `stopped`; `code` is null where there is none. */
  void connection(String state, String code, boolean loginNeeded);

  /** A token is wanted: {@link Client#token} answers. */
  void needToken();

  void receipt(Conv conversation, Watermark watermark);

  /** The user has read up to here, on another device. */
  void read(Conv conversation, long upTo);

  /** The server no longer has what is above (RECON-7). */
  void unconfirmed(Conv conversation, long above);

  /** A sync chain is complete and stored. */
  void synced();
}
