// `npm run walk`: the exhaustive check.
import { runBundled } from "./bundled.mjs";

// Millions of states are kept as numbers, outside of the heap; what they stand for is not small either.
await runBundled("runtime/test/exhaustive/run.ts", ["--max-old-space-size=8192"]);
