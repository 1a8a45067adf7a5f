package imwire.peer.adapter;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParseException;
import com.google.gson.JsonParser;
import imwire.peer.client.Client;
import imwire.peer.client.Loop;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.security.SecureRandom;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;

/** Lines of JSON on stdin, answers and events on stdout (conformance/PEERS.md). */
public final class Adapter {
  private static final int OWN_FAULT = 70;

  private final Loop loop = new Loop(() -> System.nanoTime() / 1_000_000);
  private final Random random = new SecureRandom();
  private final PrintStream out = new PrintStream(new java.io.FileOutputStream(java.io.FileDescriptor.out), false, StandardCharsets.UTF_8);
  private final List<JsonObject> lines = new ArrayList<>();
  private final Refs refs = new Refs();
  private Client client;

  public static void main(String[] arguments) {
    new Adapter().run();
  }

  private void run() {
    loop.endOfTurn(this::endOfTurn);
    Thread input = new Thread(this::read, "stdin");
    input.setDaemon(true);
    input.start();
    try {
      loop.run();
    } catch (RuntimeException e) {
      e.printStackTrace();
      System.exit(OWN_FAULT);
    }
    // Behind its close a connection may linger for a moment; nothing here waits for it.
    System.exit(0);
  }

  private void endOfTurn() {
    if (client != null) client.endOfTurn();
    for (JsonObject line : lines) {
      refs.complete(line);
      out.print(line + "\n");
    }
    lines.clear();
    out.flush();
  }

  private void read() {
    try (BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8))) {
      for (String line = in.readLine(); line != null; line = in.readLine()) {
        String command = line;
        loop.execute(() -> take(command));
      }
    } catch (IOException e) {
      System.err.println("imwire: stdin: " + e.getMessage());
    }
    loop.execute(() -> {
      try {
        stop();
      } catch (IOException e) {
        System.err.println("imwire: " + e.getMessage());
      }
      // Time for the last frames to leave.
      loop.after(200, loop::end);
    });
  }

  private void take(String line) {
    JsonObject command;
    JsonElement id;
    try {
      command = JsonParser.parseString(line).getAsJsonObject();
      id = command.get("id");
      id.getAsLong();
    } catch (JsonParseException | IllegalStateException | NullPointerException | UnsupportedOperationException | NumberFormatException e) {
      System.err.println("imwire: this line is no command: it has to be a JSON object with a number `id`");
      return;
    }
    JsonObject answer = new JsonObject();
    answer.add("id", id);
    int before = lines.size();
    try {
      // The answer to a send names its id, so that it stands in front of the send's first events.
      if (carryOut(command, answer)) lines.add(answer.has("clientMsgId") ? before : lines.size(), answer);
    } catch (RuntimeException | IOException e) {
      JsonObject failed = new JsonObject();
      failed.add("id", id);
      failed.addProperty("error", e.getMessage() == null ? e.toString() : e.getMessage());
      lines.add(failed);
    }
  }

  /** False when the answer comes later. */
  private boolean carryOut(JsonObject command, JsonObject answer) throws IOException {
    String verb = Lines.text(command, "do");
    switch (verb) {
      case "hello" -> {
        answer.addProperty("ok", true);
        answer.addProperty("protocol", 1);
        answer.addProperty("name", "imwire-java");
        answer.addProperty("version", Client.CLIENT_VERSION);
        answer.add("capabilities", Lines.texts("client.kill", "transport.websocket", "transport.tcp"));
        return true;
      }
      case "start" -> start(command);
      case "stop" -> stop();
      case "send" -> {
        var send = running().send(Lines.conversation(command), Lines.text(command, "contentType"), Lines.bytes(command, "body"));
        refs.remember(send.id, Lines.text(command, "ref"));
        answer.addProperty("clientMsgId", Lines.base64(send.id));
      }
      case "resend" -> {
        refs.remember(Lines.bytes(command, "clientMsgId"), Lines.text(command, "ref"));
        running().resend(Lines.bytes(command, "clientMsgId"));
      }
      case "withdraw" -> running().withdraw(Lines.bytes(command, "clientMsgId"));
      case "look" -> running().look(Lines.conversation(command));
      case "sync" -> running().sync();
      case "markRead" -> running().markRead(Lines.conversation(command), Lines.seq(command, "upTo"));
      case "token" -> running().token(command.get("token").isJsonNull() ? null : Lines.text(command, "token"));
      case "messages" -> answer.add("messages", Lines.messages(running(), Lines.conversation(command), refs));
      case "history" -> {
        int limit = command.has("limit") ? command.get("limit").getAsInt() : 0;
        long before = command.has("before") ? Lines.seq(command, "before") : 0;
        running().history(Lines.conversation(command), before, limit, new Lines.HistoryAnswer(answer, Lines.conversation(command), running(), lines));
        return false;
      }
      default -> {
        answer.addProperty("unsupported", true);
        return true;
      }
    }
    answer.addProperty("ok", true);
    return true;
  }

  private void start(JsonObject command) throws IOException {
    if (client != null) throw new IllegalStateException("a client is running: stop it first");
    Integer window = command.has("receiveWindow") ? Integer.valueOf(command.get("receiveWindow").getAsInt()) : null;
    boolean everything = !command.has("pull") || Lines.text(command, "pull").equals("everything");
    client = new Client(
        new Client.Settings(URI.create(Lines.text(command, "url")), Lines.text(command, "device"), Lines.text(command, "token"),
            Path.of(Lines.text(command, "data")), window, everything),
        loop, random, System::currentTimeMillis, new Events(lines, refs, () -> client == null ? "" : client.user()));
  }

  private void stop() throws IOException {
    if (client == null) return;
    Client stopped = client;
    client = null;
    stopped.stop();
  }

  private Client running() {
    if (client == null) throw new IllegalStateException("no client is running: `start` comes first");
    return client;
  }
}
