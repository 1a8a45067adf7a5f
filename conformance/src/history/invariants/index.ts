/**
 * The invariants: what holds in every history, whatever the case was about. Beside the checks of a case they are judged
 * over what happened in it, for the side that is under test.
 */
import {
  detailKeepsSecrets,
  errorNamesRequest,
  framesWithinLimit,
  noErrorForError,
  pongForPing,
  refusalsByRegistry,
  sessionErrorIsLast,
  streamWellFormed,
} from "./both.js";
import { CLIENT_DELIVERY } from "./client-delivery.js";
import { CLIENT_SENDING } from "./client-sending.js";
import { CLIENT_SESSION } from "./client-session.js";
import type { Invariant } from "./invariant.js";
import { SERVER_DELIVERY } from "./server-delivery.js";
import { SERVER_OFFLINE } from "./server-offline.js";
import { SERVER_SENDING } from "./server-sending.js";
import { SERVER_SESSION } from "./server-session.js";

export type { Context, Invariant, Judgement, Violation } from "./invariant.js";

const both = (actor: Invariant["actor"]): Invariant[] =>
  [
    streamWellFormed,
    framesWithinLimit,
    refusalsByRegistry,
    sessionErrorIsLast,
    noErrorForError,
    errorNamesRequest,
    detailKeepsSecrets,
    pongForPing,
  ].map((make) => make(actor));

export const INVARIANTS: readonly Invariant[] = [
  ...both("server"),
  ...SERVER_SESSION,
  ...SERVER_SENDING,
  ...SERVER_DELIVERY,
  ...SERVER_OFFLINE,
  ...both("client"),
  ...CLIENT_SESSION,
  ...CLIENT_SENDING,
  ...CLIENT_DELIVERY,
];
