// `npm run sim`: the simulation.
import { runBundled } from "./bundled.mjs";

await runBundled("runtime/test/sim/run.ts");
