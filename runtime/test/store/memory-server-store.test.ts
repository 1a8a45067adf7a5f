import { MemoryServerStore } from "../../src/store/memory-server-store.ts";
import { serverStoreContract } from "./server-store.contract.ts";

serverStoreContract("memory", async () => ({ store: new MemoryServerStore() }));
