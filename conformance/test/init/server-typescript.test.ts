/** The guide beside the TypeScript server, walked from an empty folder to profile core. */
import { walk } from "./walk-test.js";

walk("server", "typescript");
