package imwire.peer.client;

import com.google.protobuf.CodedOutputStream;
import imwire.peer.wire.Link;
import imwire.peer.wire.RecordReader;
import imwire.v1.Codes.ErrorCode;
import imwire.v1.Error.ErrorFrame;
import imwire.v1.Error.ErrorScope;
import imwire.v1.Error.RetryClass;
import imwire.v1.FrameOuterClass.Frame;
import imwire.v1.Handshake.Limits;
import imwire.v1.Handshake.Timers;
import imwire.v1.Liveness.Ping;
import imwire.v1.Liveness.Pong;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;

/** One connection of a session: frames in, frames out, and the heartbeat (chapter 8). */
final class Wire implements Link.Events, RecordReader.Sink {
  /** One and a half heartbeats of silence end a connection (BEAT-4). */
  private static final double SILENCE = 1.5;
  /** A little before the heartbeat, so that a late timer is still in time (BEAT-2). */
  private static final double IN_TIME = 0.9;

  private final Session session;
  private final Link link;
  private final RecordReader reader = new RecordReader(this);
  private final ByteArrayOutputStream out = new ByteArrayOutputStream();
  private long heardMs;
  private long nextPingMs;
  private boolean pinged;
  private Timers timers;
  private int nonce;
  private boolean closed;

  Wire(Session session, URI url, long timeoutMs) {
    this.session = session;
    this.link = Link.open(url, timeoutMs, session.loop, this);
  }

  /** From here on the session's limits and timers hold (CONN-11). */
  void welcomed(Timers timers, Limits limits) {
    this.timers = timers;
    reader.limit(limits.getFrameBytesMax());
    heardMs = session.loop.nowMs();
    // Chance keeps clients that came back together apart (BEAT-6): no other frame takes the place of this Ping.
    nextPingMs = heardMs + Backoff.part((long) (timers.getHeartbeatMs() * IN_TIME), session.random);
    beat();
  }

  /** Each frame is one record (FRAME-1); those of a turn go out together. */
  void send(Frame frame) {
    try {
      CodedOutputStream coded = CodedOutputStream.newInstance(out);
      coded.writeMessage(1, frame);
      coded.flush();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    if (pinged) nextPingMs = session.loop.nowMs() + (long) (timers.getHeartbeatMs() * IN_TIME);
  }

  void flush() {
    if (out.size() == 0) return;
    link.send(out.toByteArray());
    out.reset();
  }

  void close() {
    closed = true;
    reader.stop();
    // Behind the end of this turn: what was written in it has to be durable first.
    session.loop.execute(() -> {
      flush();
      link.close();
    });
  }

  @Override
  public void opened() {
    if (!closed) session.connected();
  }

  @Override
  public void bytes(byte[] bytes) {
    // Every byte is a sign of life (BEAT-1).
    heardMs = session.loop.nowMs();
    reader.feed(bytes);
  }

  @Override
  public void messageEnd() {
    reader.endOfMessage();
  }

  @Override
  public void text() {
    reader.fault(ErrorCode.ERROR_CODE_MALFORMED, "FRAME-17");
  }

  @Override
  public void closed(String why) {
    if (!closed) session.gone(0, null);
  }

  @Override
  public void frame(Frame frame) {
    if (timers != null && frame.hasPing()) {
      send(Frame.newBuilder().setPong(Pong.newBuilder().setNonce(frame.getPing().getNonce())).build());
    }
    session.frame(frame);
  }

  @Override
  public void unsupported(int kind) {
    if (timers == null) {
      session.refuse(ErrorCode.ERROR_CODE_PROTOCOL_VIOLATION, kind);
      return;
    }
    send(Frame.newBuilder().setError(ErrorFrame.newBuilder().setCode(ErrorCode.ERROR_CODE_UNSUPPORTED_FRAME)
        .setScope(ErrorScope.ERROR_SCOPE_REQUEST).setRetry(RetryClass.RETRY_CLASS_NEVER).setFrameKind(kind)).build());
  }

  @Override
  public void fault(ErrorCode code, String clause) {
    if (!closed) session.refuse(code, 0);
  }

  private void beat() {
    if (closed) return;
    long now = session.loop.nowMs();
    long silentMs = heardMs + (long) (timers.getHeartbeatMs() * SILENCE);
    if (now >= silentMs) {
      session.gone(0, null);
      return;
    }
    if (now >= nextPingMs) {
      pinged = true;
      send(Frame.newBuilder().setPing(Ping.newBuilder().setNonce(++nonce)).build());
    }
    session.loop.after(Math.min(silentMs, nextPingMs) - now, this::beat);
  }
}
