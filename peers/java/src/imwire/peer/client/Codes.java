package imwire.peer.client;

import imwire.v1.Codes.ErrorCode;

/** The names of codes as the registry has them (spec/codes.yaml). */
final class Codes {
  private static final String PREFIX = "ERROR_CODE_";

  private Codes() {}

  /** `ID_CONFLICT`; of a code from the future its number (ERR-3). */
  static String name(ErrorCode code, int number) {
    return code == ErrorCode.UNRECOGNIZED ? Integer.toUnsignedString(number) : code.name().substring(PREFIX.length());
  }
}
