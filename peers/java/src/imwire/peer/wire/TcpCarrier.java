package imwire.peer.wire;

import java.io.InputStream;
import java.io.OutputStream;

/** TCP and TLS: the stream is the records, without a preface (chapter 3). */
record TcpCarrier(Carrier.Teller teller) implements Carrier {
  @Override
  public void greet(InputStream in, OutputStream out) {}

  @Override
  public byte[] wrap(byte[] records) {
    return records;
  }

  @Override
  public void unwrap(byte[] chunk) {
    teller.accept(events -> events.bytes(chunk));
  }

  @Override
  public byte[] farewell() {
    return new byte[0];
  }
}
