#!/usr/bin/env node
import { main } from "../dist/cli/imwire-conformance.js";

await main(process.argv.slice(2));
