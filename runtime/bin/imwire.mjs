#!/usr/bin/env node
import { main } from "../dist/cli/imwire.js";

await main();
