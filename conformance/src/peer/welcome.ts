/** What a server of the suite announces in its Welcome, unless a case says otherwise. */

/** Timers of milliseconds: a client that obeys Welcome needs no patience. */
export const CLIENT_TIMERS = {
  heartbeatMs: 20_000,
  // Above every wait of the suite: on a slow machine no send is repeated that a case did not mean to be. Who means it says 300.
  sendTimeoutMs: 20_000,
  sendRetryMsMin: 20,
  sendRetryMsBase: 40,
  sendRetryMsMax: 160,
  reconnectMsMin: 20,
  reconnectMsBase: 20,
  reconnectMsMax: 100,
  healthyMs: 1000,
  ackDelayMsMax: 60,
  gapGraceMs: 80,
  auditMs: 60_000,
  stalledMs: 60_000,
  tokenGraceMs: 1000,
};

/** Limits of ordinary size, in the units of their names. */
export const CLIENT_LIMITS = {
  frameBytesMax: 1_048_576,
  bodyBytesMax: 65_536,
  pageEntriesMax: 100,
  pageBytesMax: 262_144,
  syncConversationsMax: 100,
  previewBytesMax: 1024,
  sendWindow: 32,
  receiveWindow: 64,
  queryIdsMax: 100,
  ackBatchMax: 32,
};
