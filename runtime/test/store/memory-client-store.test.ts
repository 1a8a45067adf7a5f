import { describe, expect, test } from "vitest";
import { MemoryClientStore } from "../../src/store/memory-client-store.js";
import { CLIENT_STORE_CASES, id } from "./client-store.contract.js";

let stores = 0;

describe("MemoryClientStore", () => {
  test.each(CLIENT_STORE_CASES.filter(({ durable }) => !durable))("$name", async ({ run }) => {
    const open = async () => ({
      store: new MemoryClientStore(Buffer.from(id(++stores)).toString("hex")),
      reopen: null,
    });
    await expect(run(open)).resolves.toBeUndefined();
  });
});
