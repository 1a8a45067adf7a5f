package imwire.peer.wire;

import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.WebSocket;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;

/** A WebSocket of the JDK, with the subprotocol imwire.v1. The JDK offers no permessage-deflate (FRAME-20). */
final class WebSocketLink implements Link {
  private static final HttpClient HTTP = HttpClient.newHttpClient();
  private static final long LINGER_MS = 1000;

  private final Executor executor;
  private final Events events;
  private CompletableFuture<WebSocket> tail;
  private boolean closing;
  private boolean ended;

  WebSocketLink(URI url, long timeoutMs, Executor executor, Events events) {
    this.executor = executor;
    this.events = events;
    // The token stands in Hello and nowhere else: no header of ours (SEC-5).
    tail = HTTP.newWebSocketBuilder()
        .subprotocols("imwire.v1")
        .connectTimeout(Duration.ofMillis(timeoutMs))
        .buildAsync(url, new Listener());
    tail.whenComplete((socket, error) -> {
      if (error != null) end(String.valueOf(error.getCause() == null ? error : error.getCause()));
    });
  }

  @Override
  public synchronized void send(byte[] records) {
    if (closing) return;
    // The JDK takes one message at a time.
    tail = tail.thenCompose(socket -> socket.sendBinary(ByteBuffer.wrap(records), true));
  }

  @Override
  public synchronized void close() {
    if (closing) return;
    closing = true;
    CompletableFuture<WebSocket> sent = tail.thenCompose(socket -> socket.sendClose(WebSocket.NORMAL_CLOSURE, ""));
    // A peer that does not answer the close, or takes no bytes, does not hold us.
    CompletableFuture<WebSocket> opened = tail;
    CompletableFuture.delayedExecutor(LINGER_MS, TimeUnit.MILLISECONDS).execute(() -> {
      opened.thenAccept(WebSocket::abort);
      end("closed here");
    });
    tail = sent;
  }

  private synchronized void end(String why) {
    if (ended) return;
    ended = true;
    executor.execute(() -> events.closed(why));
  }

  private final class Listener implements WebSocket.Listener {
    @Override
    public void onOpen(WebSocket socket) {
      executor.execute(events::opened);
      socket.request(1);
    }

    @Override
    public CompletionStage<?> onBinary(WebSocket socket, ByteBuffer data, boolean last) {
      byte[] bytes = new byte[data.remaining()];
      data.get(bytes);
      executor.execute(() -> {
        events.bytes(bytes);
        if (last) events.messageEnd();
      });
      socket.request(1);
      return null;
    }

    @Override
    public CompletionStage<?> onText(WebSocket socket, CharSequence data, boolean last) {
      executor.execute(events::text);
      socket.request(1);
      return null;
    }

    @Override
    public CompletionStage<?> onClose(WebSocket socket, int code, String reason) {
      end("the server has closed with " + code);
      return null;
    }

    @Override
    public void onError(WebSocket socket, Throwable error) {
      end(String.valueOf(error));
    }
  }
}
