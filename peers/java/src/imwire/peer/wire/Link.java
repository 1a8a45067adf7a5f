package imwire.peer.wire;

import java.net.URI;
import java.util.concurrent.Executor;

/** A byte stream in each direction: TCP or WebSocket. It knows bytes and no frames. */
public interface Link {
  /** What happens on a link. All of it is called on the executor that the link was given, in order. */
  interface Events {
    void opened();

    void bytes(byte[] bytes);

    /** A WebSocket message is complete (FRAME-2); never called on TCP. */
    void messageEnd();

    /** A WebSocket text message has come (FRAME-17). */
    void text();

    /** The link has ended or never came to be. Called once, the last. */
    void closed(String why);
  }

  /** Queues whole records; never waits. */
  void send(byte[] records);

  /** Ends the link behind what is queued; within a second in any case. */
  void close();

  /** Opens a link to ws://, wss://, tcp:// or tls://. */
  static Link open(URI url, long timeoutMs, Executor executor, Events events) {
    switch (url.getScheme() == null ? "" : url.getScheme()) {
      case "ws", "wss", "tcp", "tls" -> { }
      default -> throw new IllegalArgumentException("no transport for " + url + "; use ws://, wss://, tcp:// or tls://");
    }
    return new SocketLink(url, timeoutMs, executor, events);
  }
}
