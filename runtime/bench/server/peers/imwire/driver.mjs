// The driver's side of the reference server, which in development takes whoever says who they are.
import { framesDriver } from "../frames-driver.mjs";

export const { connectPair, store, drain } = framesDriver((user) => `dev:${user}`);
