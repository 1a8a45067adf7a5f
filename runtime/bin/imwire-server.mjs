#!/usr/bin/env node
import { main } from "../dist/cli/imwire-server.js";

await main();
