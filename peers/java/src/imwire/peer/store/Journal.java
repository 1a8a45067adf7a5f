package imwire.peer.store;

import imwire.peer.store.pb.Act;
import java.io.Closeable;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.function.Consumer;
import java.util.zip.CRC32;

/**
 * A file that only grows: eight bytes that name its form, then records of length, CRC-32 and bytes. Each record is one
 * durable act, so that a crash leaves all of an act or nothing: the half of a last record is cut off at the next start.
 */
final class Journal implements Closeable {
  /** The last two digits are the form's version: a later one reads the older (EVO-4). */
  private static final byte[] FORM = "imwjav01".getBytes(java.nio.charset.StandardCharsets.US_ASCII);

  private static final int HEADER = 8;

  private final FileChannel lockFile;
  private final FileChannel file;

  /**
   * Opens the journal in a folder and gives each act to `replay`, in order.
   *
   * @throws IOException when another process has it, it is damaged in the middle, or of a form that is not known
   */
  Journal(Path folder, Consumer<Act> replay) throws IOException {
    Files.createDirectories(folder);
    // Two programs on one journal would be two sessions of one device (DEV-8).
    lockFile = FileChannel.open(folder.resolve("lock"), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
    FileLock lock = tryLock(lockFile);
    if (lock == null) {
      lockFile.close();
      throw new IOException(folder + " is in use by another client; stop it, or give this one a folder of its own");
    }
    Path path = folder.resolve("journal");
    boolean fresh = !Files.exists(path) || Files.size(path) < FORM.length;
    file = FileChannel.open(path, StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE);
    try {
      if (fresh) begin(folder);
      else read(path, replay);
    } catch (IOException e) {
      close();
      throw e;
    }
  }

  /** Writes acts as one: it returns when they survive the end of the process and of the machine. */
  void append(Act act) throws IOException {
    byte[] bytes = act.toByteArray();
    ByteBuffer record = ByteBuffer.allocate(HEADER + bytes.length).putInt(bytes.length).putInt(crc(bytes)).put(bytes).flip();
    while (record.hasRemaining()) file.write(record);
    file.force(false);
  }

  @Override
  public void close() throws IOException {
    file.close();
    lockFile.close();
  }

  private void begin(Path folder) throws IOException {
    file.truncate(0);
    file.write(ByteBuffer.wrap(FORM), 0);
    file.position(FORM.length);
    file.force(true);
    // The file's name has to survive as well.
    try (FileChannel directory = FileChannel.open(folder, StandardOpenOption.READ)) {
      directory.force(true);
    }
  }

  private void read(Path path, Consumer<Act> replay) throws IOException {
    ByteBuffer all = ByteBuffer.wrap(Files.readAllBytes(path));
    byte[] form = new byte[FORM.length];
    all.get(form);
    if (!java.util.Arrays.equals(form, FORM)) throw new IOException(path + " is not a journal that this version knows");
    int good = all.position();
    while (all.remaining() >= HEADER) {
      int length = all.getInt();
      int crc = all.getInt();
      if (length < 0 || length > all.remaining()) break;
      byte[] bytes = new byte[length];
      all.get(bytes);
      if (crc(bytes) != crc) {
        if (all.hasRemaining()) throw new IOException(path + " is damaged at byte " + good + ", with records behind it");
        break;
      }
      replay.accept(Act.parseFrom(bytes));
      good = all.position();
    }
    // What is behind was never acknowledged to anybody: the crash came in the middle of its write.
    file.truncate(good);
    file.position(good);
  }

  private static FileLock tryLock(FileChannel channel) throws IOException {
    try {
      return channel.tryLock();
    } catch (OverlappingFileLockException e) {
      return null;
    }
  }

  private static int crc(byte[] bytes) {
    CRC32 crc = new CRC32();
    crc.update(bytes);
    return (int) crc.getValue();
  }
}
