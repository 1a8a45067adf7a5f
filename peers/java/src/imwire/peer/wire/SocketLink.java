package imwire.peer.wire;

import java.io.IOException;
import java.io.InputStream;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.URI;
import java.util.Arrays;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.SSLSocketFactory;

/** A socket, plain or TLS. One thread reads, one writes: a peer that reads nothing stops neither. */
final class SocketLink implements Link {
  private static final byte[] END = {};
  private static final long LINGER_MS = 1000;

  private final URI url;
  private final int timeoutMs;
  private final Executor executor;
  private final Events events;
  private final Carrier carrier;
  private final LinkedBlockingQueue<byte[]> queue = new LinkedBlockingQueue<>();
  private volatile Socket socket;
  private volatile boolean closing;

  SocketLink(URI url, long timeoutMs, Executor executor, Events events) {
    this.url = url;
    this.timeoutMs = (int) Math.min(timeoutMs, Integer.MAX_VALUE);
    this.executor = executor;
    this.events = events;
    Carrier.Teller teller = told -> executor.execute(() -> told.accept(events));
    carrier = url.getScheme().startsWith("ws") ? new WebSocketCarrier(url, teller, queue::add) : new TcpCarrier(teller);
    daemon("imwire-read", this::read);
  }

  @Override
  public void send(byte[] records) {
    if (!closing) queue.add(carrier.wrap(records));
  }

  @Override
  public void close() {
    if (closing) return;
    closing = true;
    queue.add(END);
    // A peer that takes no bytes does not hold us.
    CompletableFuture.delayedExecutor(LINGER_MS, TimeUnit.MILLISECONDS).execute(this::cut);
  }

  private void cut() {
    try {
      if (socket != null) socket.close();
    } catch (IOException e) {
      // It is gone all the same.
    }
  }

  private void read() {
    String why = "the server has closed";
    try (Socket connected = connect()) {
      socket = connected;
      connected.setSoTimeout(timeoutMs);
      carrier.greet(connected.getInputStream(), connected.getOutputStream());
      connected.setSoTimeout(0);
      Thread reader = Thread.currentThread();
      daemon("imwire-write", () -> write(connected, reader));
      executor.execute(events::opened);
      InputStream in = connected.getInputStream();
      byte[] chunk = new byte[65536];
      for (int count = in.read(chunk); count >= 0; count = in.read(chunk)) {
        carrier.unwrap(Arrays.copyOf(chunk, count));
      }
    } catch (IOException e) {
      why = e.getMessage() == null ? e.toString() : e.getMessage();
    }
    queue.add(END);
    String reason = why;
    executor.execute(() -> events.closed(reason));
  }

  private int port() {
    if (url.getPort() > 0) return url.getPort();
    return url.getScheme().equals("wss") ? 443 : 80;
  }

  private Socket connect() throws IOException {
    Socket plain = new Socket();
    plain.setTcpNoDelay(true);
    plain.connect(new InetSocketAddress(url.getHost(), port()), timeoutMs);
    if (url.getScheme().equals("tcp") || url.getScheme().equals("ws")) return plain;
    SSLSocketFactory factory = (SSLSocketFactory) SSLSocketFactory.getDefault();
    SSLSocket secure = (SSLSocket) factory.createSocket(plain, url.getHost(), port(), true);
    SSLParameters parameters = secure.getSSLParameters();
    if (url.getScheme().equals("tls")) parameters.setApplicationProtocols(new String[] {"imwire/1"});
    parameters.setEndpointIdentificationAlgorithm("HTTPS");
    secure.setSSLParameters(parameters);
    secure.startHandshake();
    return secure;
  }

  private void write(Socket to, Thread reader) {
    try (to) {
      for (byte[] next = queue.take(); next != END; next = queue.take()) to.getOutputStream().write(next);
      to.getOutputStream().write(carrier.farewell());
      // A close with unread bytes would reset the connection and could swallow our last Error: end our half first, and
      // give the peer a moment to end its own.
      to.shutdownOutput();
      reader.join(LINGER_MS);
    } catch (IOException e) {
      // The reading side hears of it as well, and tells.
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  private static void daemon(String name, Runnable body) {
    Thread thread = new Thread(body, name);
    thread.setDaemon(true);
    thread.start();
  }
}
