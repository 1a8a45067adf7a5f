package imwire.peer.wire;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.util.function.Consumer;

/** How records travel in a socket's bytes: bare, or in WebSocket messages. */
interface Carrier {
  /** Where a carrier tells what it finds; in order. */
  interface Teller extends Consumer<Consumer<Link.Events>> {}

  /** What has to be said and heard before the first record. */
  void greet(InputStream in, OutputStream out) throws IOException;

  byte[] wrap(byte[] records);

  /** @throws IOException when the bytes are not the carrier's: the link ends */
  void unwrap(byte[] chunk) throws IOException;

  /** The last bytes of a link that is closed in good order. */
  byte[] farewell();
}
