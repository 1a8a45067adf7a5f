// The driver's side of the relay, which takes the token for the user's name.
import { framesDriver } from "../frames-driver.mjs";

export const { connectPair, store, drain } = framesDriver((user) => user);
