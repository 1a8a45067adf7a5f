/** The guide beside the TypeScript client, walked from an empty folder to profile core. */
import { walk } from "./walk-test.js";

walk("client", "typescript");
