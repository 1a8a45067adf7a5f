// Freezes what a release promises: the descriptor and the registry that later changes are compared with. Until 1.0.0 is
// released the draft may be frozen anew, with a decision record; a release never is.
import { copyFileSync, mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { FROZEN_REGISTRY } from "../codegen/dist/checks/run.js";
import { main } from "../codegen/dist/cli.js";

const path = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));

mkdirSync(path("spec/releases"), { recursive: true });
copyFileSync(path("spec/requirements.yaml"), path(FROZEN_REGISTRY));
process.exitCode = await main(["descriptor", "--out", path("proto/releases/imwire-1.0.0-draft.binpb")]);
