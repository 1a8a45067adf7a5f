#!/usr/bin/env node
import { main } from "../dist/cli/imwire-conformance.js";

await main(process.argv.slice(2));
// Everything is written, and everything that was started has ended. Left to itself, Node would close what handles are left
// by turning its loop until they are gone; a socket that was reset while it was ending never is, and the loop turns forever.
await new Promise((resolve) => process.stdout.write("", resolve));
process.exit();
