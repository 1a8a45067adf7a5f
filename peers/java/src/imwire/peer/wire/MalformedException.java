package imwire.peer.wire;

/** These bytes are no frame; the clause that they break is the message. */
final class MalformedException extends Exception {
  private static final long serialVersionUID = 1;

  MalformedException(String clause) {
    super(clause);
  }
}
