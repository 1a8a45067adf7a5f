/** How every store of this folder fails. */

/** The world failed: a full disk, a broken file. Never the peer's doing. Clause SEND-23. */
export class StoreFault extends Error {
  override name = "StoreFault";
  constructor(
    /** `notDone`: nothing was and nothing can come to be written. */
    readonly fate: "notDone" | "unknown",
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** What a person gave cannot be used: a file of a newer version, a folder that is not there. */
export class StoreUnusable extends Error {
  override name = "StoreUnusable";
}
