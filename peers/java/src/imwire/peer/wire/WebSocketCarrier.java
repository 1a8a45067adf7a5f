package imwire.peer.wire;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.URI;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.security.SecureRandom;
import java.util.Arrays;
import java.util.Base64;
import java.util.Locale;
import java.util.function.Consumer;

/**
 * The client's half of RFC 6455, as far as imwire needs it: the subprotocol imwire.v1, no extension (FRAME-20). The
 * JDK's own WebSocket now and then tells nobody that its connection was reset, so that nothing would come back by itself
 * (RECON-3).
 */
final class WebSocketCarrier implements Carrier {
  private static final int TEXT = 1;
  private static final int BINARY = 2;
  private static final int CLOSE = 8;
  private static final int PING = 9;
  private static final int PONG = 10;
  private static final int HEAD_BYTES_MAX = 16384;
  private static final int CONTROL_BYTES_MAX = 125;
  private static final String ACCEPT_SUFFIX = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  private static final SecureRandom RANDOM = new SecureRandom();

  private final URI url;
  private final Teller teller;
  private final Consumer<byte[]> reply;
  private final byte[] header = new byte[10];
  private final ByteArrayOutputStream control = new ByteArrayOutputStream();
  private int headerBytes;
  private boolean inPayload;
  private long left;
  private int opcode;
  private boolean last;
  /** The kind of the message whose frames are coming; 0 between messages. */
  private int message;

  /** `reply` takes bytes that go out by themselves, as a Pong of WebSocket. */
  WebSocketCarrier(URI url, Teller teller, Consumer<byte[]> reply) {
    this.url = url;
    this.teller = teller;
    this.reply = reply;
  }

  @Override
  public void greet(InputStream in, OutputStream out) throws IOException {
    byte[] nonce = new byte[16];
    RANDOM.nextBytes(nonce);
    String key = Base64.getEncoder().encodeToString(nonce);
    String path = url.getRawPath() == null || url.getRawPath().isEmpty() ? "/" : url.getRawPath();
    String query = url.getRawQuery() == null ? "" : "?" + url.getRawQuery();
    // The token stands in Hello and nowhere else (SEC-5).
    String request = "GET " + path + query + " HTTP/1.1\r\nHost: " + url.getRawAuthority() + "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        + "Sec-WebSocket-Key: " + key + "\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: imwire.v1\r\n\r\n";
    out.write(request.getBytes(StandardCharsets.US_ASCII));
    out.flush();
    String[] head = head(in).split("\r\n");
    if (!head[0].matches("HTTP/1\\.1 101( .*)?")) throw new IOException("the server refuses the upgrade: " + head[0]);
    if (!accept(key).equals(value(head, "sec-websocket-accept"))) throw new IOException("the server answers the upgrade of somebody else");
    if (!"imwire.v1".equals(value(head, "sec-websocket-protocol"))) throw new IOException("the server does not speak imwire.v1");
    if (value(head, "sec-websocket-extensions") != null) throw new IOException("the server wants an extension that was not offered");
  }

  @Override
  public byte[] wrap(byte[] records) {
    return frame(BINARY, records);
  }

  @Override
  public byte[] farewell() {
    return frame(CLOSE, new byte[] {0x03, (byte) 0xe8});
  }

  @Override
  public void unwrap(byte[] chunk) throws IOException {
    for (int at = 0; at < chunk.length; ) {
      if (!inPayload) {
        header[headerBytes++] = chunk[at++];
        if (headerBytes >= 2 && headerBytes == headerLength()) begin();
        continue;
      }
      int count = (int) Math.min(left, chunk.length - at);
      byte[] piece = Arrays.copyOfRange(chunk, at, at + count);
      at += count;
      left -= count;
      if (opcode >= CLOSE) control.writeBytes(piece);
      else if (message == BINARY) teller.accept(events -> events.bytes(piece));
      if (left == 0) end();
    }
  }

  private int headerLength() {
    int length = header[1] & 0x7f;
    return length == 127 ? 10 : length == 126 ? 4 : 2;
  }

  private void begin() throws IOException {
    opcode = header[0] & 0x0f;
    last = (header[0] & 0x80) != 0;
    int small = header[1] & 0x7f;
    left = small == 127 ? ByteBuffer.wrap(header, 2, 8).getLong() : small == 126 ? ByteBuffer.wrap(header, 2, 2).getShort() & 0xffff : small;
    headerBytes = 0;
    boolean lawful = switch (opcode) {
      case 0 -> message != 0;
      case TEXT, BINARY -> message == 0;
      case CLOSE, PING, PONG -> last && left <= CONTROL_BYTES_MAX;
      default -> false;
    };
    // No extension was agreed to, and a server does not mask.
    if (!lawful || left < 0 || (header[0] & 0x70) != 0 || (header[1] & 0x80) != 0) throw new IOException("the bytes are no WebSocket frame");
    if (opcode == TEXT) teller.accept(Link.Events::text);
    if (opcode == TEXT || opcode == BINARY) message = opcode;
    inPayload = true;
    if (left == 0) end();
  }

  private void end() throws IOException {
    inPayload = false;
    byte[] said = control.toByteArray();
    control.reset();
    switch (opcode) {
      case PING -> {
        reply.accept(frame(PONG, said));
        // A sign of life like any other byte (BEAT-1).
        teller.accept(events -> events.bytes(new byte[0]));
      }
      case PONG -> { }
      case CLOSE -> throw new IOException("the server has closed the WebSocket");
      default -> {
        if (!last) return;
        if (message == BINARY) teller.accept(Link.Events::messageEnd);
        message = 0;
      }
    }
  }

  /** A client's frame is masked. */
  private static byte[] frame(int opcode, byte[] payload) {
    int extended = payload.length > 65535 ? 8 : payload.length > CONTROL_BYTES_MAX ? 2 : 0;
    byte[] mask = new byte[4];
    RANDOM.nextBytes(mask);
    ByteBuffer frame = ByteBuffer.allocate(2 + extended + mask.length + payload.length);
    frame.put((byte) (0x80 | opcode));
    frame.put((byte) (0x80 | (extended == 8 ? 127 : extended == 2 ? 126 : payload.length)));
    if (extended == 8) frame.putLong(payload.length);
    if (extended == 2) frame.putShort((short) payload.length);
    frame.put(mask);
    for (int i = 0; i < payload.length; i++) frame.put((byte) (payload[i] ^ mask[i % 4]));
    return frame.array();
  }

  /** Byte by byte: what stands behind the empty line is the first frame's. */
  private static String head(InputStream in) throws IOException {
    ByteArrayOutputStream head = new ByteArrayOutputStream();
    for (int ends = 0; ends < 4; ) {
      int next = in.read();
      if (next < 0 || head.size() > HEAD_BYTES_MAX) throw new IOException("the server does not answer the upgrade");
      head.write(next);
      ends = next == (ends % 2 == 0 ? '\r' : '\n') ? ends + 1 : next == '\r' ? 1 : 0;
    }
    return head.toString(StandardCharsets.ISO_8859_1);
  }

  private static String value(String[] head, String name) {
    for (String line : head) {
      int colon = line.indexOf(':');
      if (colon > 0 && line.substring(0, colon).trim().toLowerCase(Locale.ROOT).equals(name)) return line.substring(colon + 1).trim();
    }
    return null;
  }

  private static String accept(String key) {
    try {
      byte[] digest = MessageDigest.getInstance("SHA-1").digest((key + ACCEPT_SUFFIX).getBytes(StandardCharsets.US_ASCII));
      return Base64.getEncoder().encodeToString(digest);
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every JDK has SHA-1", e);
    }
  }
}
