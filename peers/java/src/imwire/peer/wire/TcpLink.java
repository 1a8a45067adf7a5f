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

/** TCP, or TLS with the ALPN name imwire/1 (chapter 3). One thread reads, one writes: a peer that reads nothing stops neither. */
final class TcpLink implements Link {
  private static final byte[] END = {};
  private static final long LINGER_MS = 1000;

  private final URI url;
  private final int timeoutMs;
  private final Executor executor;
  private final Events events;
  private final LinkedBlockingQueue<byte[]> queue = new LinkedBlockingQueue<>();
  private volatile Socket socket;
  private volatile boolean closing;

  TcpLink(URI url, long timeoutMs, Executor executor, Events events) {
    this.url = url;
    this.timeoutMs = (int) Math.min(timeoutMs, Integer.MAX_VALUE);
    this.executor = executor;
    this.events = events;
    daemon("imwire-read", this::read);
  }

  @Override
  public void send(byte[] records) {
    if (!closing) queue.add(records);
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
      Thread reader = Thread.currentThread();
      daemon("imwire-write", () -> write(connected, reader));
      executor.execute(events::opened);
      InputStream in = connected.getInputStream();
      byte[] chunk = new byte[65536];
      for (int count = in.read(chunk); count >= 0; count = in.read(chunk)) {
        byte[] bytes = Arrays.copyOf(chunk, count);
        executor.execute(() -> events.bytes(bytes));
      }
    } catch (IOException e) {
      why = e.getMessage() == null ? e.toString() : e.getMessage();
    }
    queue.add(END);
    String reason = why;
    executor.execute(() -> events.closed(reason));
  }

  private Socket connect() throws IOException {
    Socket plain = new Socket();
    plain.setTcpNoDelay(true);
    plain.connect(new InetSocketAddress(url.getHost(), url.getPort()), timeoutMs);
    if (!url.getScheme().equals("tls")) return plain;
    SSLSocketFactory factory = (SSLSocketFactory) SSLSocketFactory.getDefault();
    SSLSocket secure = (SSLSocket) factory.createSocket(plain, url.getHost(), url.getPort(), true);
    SSLParameters parameters = secure.getSSLParameters();
    parameters.setApplicationProtocols(new String[] {"imwire/1"});
    parameters.setEndpointIdentificationAlgorithm("HTTPS");
    secure.setSSLParameters(parameters);
    secure.startHandshake();
    return secure;
  }

  private void write(Socket to, Thread reader) {
    try (to) {
      for (byte[] next = queue.take(); next != END; next = queue.take()) to.getOutputStream().write(next);
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
