package imwire.peer.wire;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.protobuf.ByteString;
import imwire.peer.store.Slot;
import imwire.v1.Codes.ErrorCode;
import imwire.v1.FrameOuterClass.Frame;
import imwire.v1.FrameOuterClass.Packet;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;

/** Holds the wire against spec/vectors: each vector's outcome has to be one that the specification allows. */
public final class VectorCheck {
  private static final String[] FILES = {"frames.json", "legal.json", "streams.json", "malformed.json", "crc32.json"};

  private VectorCheck() {}

  /** @param arguments the folder of the vectors */
  public static void main(String[] arguments) throws Exception {
    int vectors = 0;
    List<String> wrong = new ArrayList<>();
    for (String file : FILES) {
      JsonObject content = JsonParser.parseString(Files.readString(Path.of(arguments[0], file))).getAsJsonObject();
      for (JsonElement element : content.getAsJsonArray("vectors")) {
        JsonObject vector = element.getAsJsonObject();
        vectors++;
        String fault = fault(vector);
        if (fault != null) wrong.add(vector.get("id").getAsString() + ": " + fault);
      }
    }
    wrong.forEach(System.out::println);
    System.out.println(vectors + " vectors, " + wrong.size() + " wrong");
    System.exit(wrong.isEmpty() ? 0 : 1);
  }

  private static String fault(JsonObject vector) throws Exception {
    return switch (vector.get("kind").getAsString()) {
      case "frame" -> frame(vector);
      case "stream" -> stream(vector);
      case "crc32" -> crc(vector);
      default -> "a kind of vector that this check does not know";
    };
  }

  /** A lawful record is read, and written again with the same bytes. */
  private static String frame(JsonObject vector) throws Exception {
    byte[] record = hex(vector.get("hex"));
    Heard heard = new Heard();
    heard.reader.limit(record.length);
    heard.reader.feed(record);
    if (heard.frames.size() != 1 || heard.outcome.size() != 1) return "read as " + heard.outcome;
    byte[] again = Packet.newBuilder().addFrames(heard.frames.get(0)).build().toByteArray();
    return java.util.Arrays.equals(again, record) ? null : "written again as " + HexFormat.of().formatHex(again);
  }

  private static String stream(JsonObject vector) {
    Heard heard = new Heard();
    heard.reader.limit(vector.get("limit").getAsInt());
    boolean messages = vector.get("transport").getAsString().equals("websocket");
    for (JsonElement chunk : vector.getAsJsonArray("chunks")) {
      heard.reader.feed(hex(chunk));
      if (messages) heard.reader.endOfMessage();
    }
    List<List<String>> allowed = new ArrayList<>();
    for (JsonElement expected : vector.getAsJsonArray("expect")) allowed.add(outcome(expected.getAsJsonObject()));
    return allowed.contains(heard.outcome) ? null : "read as " + heard.outcome + " and not as " + allowed;
  }

  private static String crc(JsonObject vector) {
    long crc = Integer.toUnsignedLong(Slot.crc(ByteString.copyFrom(hex(vector.get("body")))));
    return crc == vector.get("crc32").getAsLong() ? null : "computed as " + crc;
  }

  private static byte[] hex(JsonElement text) {
    return HexFormat.of().parseHex(text.getAsString());
  }

  /** Kinds of frames and the fault; a skipped frame leaves no trace in this reader. */
  private static List<String> outcome(JsonObject expected) {
    List<String> outcome = new ArrayList<>();
    for (JsonElement event : expected.getAsJsonArray("events")) {
      JsonObject one = event.getAsJsonObject();
      if (one.has("frame")) outcome.add(one.getAsJsonObject("frame").keySet().iterator().next());
      else if (one.has("unsupported")) outcome.add("unsupported " + Integer.toUnsignedString(one.get("unsupported").getAsInt()));
    }
    if (expected.has("fault")) outcome.add(expected.getAsJsonObject("fault").get("code").getAsString());
    return outcome;
  }

  private static final class Heard implements RecordReader.Sink {
    final List<String> outcome = new ArrayList<>();
    final List<Frame> frames = new ArrayList<>();
    final RecordReader reader = new RecordReader(this);

    @Override
    public void frame(Frame frame) {
      frames.add(frame);
      outcome.add(Frame.getDescriptor().findFieldByNumber(frame.getBodyCase().getNumber()).getJsonName());
    }

    @Override
    public void unsupported(int kind) {
      outcome.add("unsupported " + kind);
    }

    @Override
    public void fault(ErrorCode code, String clause) {
      outcome.add(code.name().substring("ERROR_CODE_".length()));
    }
  }
}
