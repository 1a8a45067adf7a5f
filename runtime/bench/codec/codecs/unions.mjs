// The messages in the form that ts-proto gives them: 64 bits as bigint, a oneof as { $case, value }.
const toUser = (userId) => ({ peer: { $case: "userId", value: userId } });

export const unions = {
  sendReq: ({ userId, ...rest }) => ({ $case: "sendReq", value: { ...rest, conversation: toUser(userId) } }),
  sendAck: ({ clientMsgId, userId, ...accepted }) => ({
    $case: "sendAck",
    value: { clientMsgId, conversation: toUser(userId), outcome: { $case: "accepted", value: accepted } },
  }),
  offlinePage: ({ userId, entries, ...rest }) => ({
    $case: "offlinePage",
    value: {
      ...rest,
      conversation: toUser(userId),
      entries: entries.map(({ seq, serverTimeMs, ...message }) => ({
        seq,
        serverTimeMs,
        slot: { $case: "message", value: message },
      })),
      skipped: undefined,
    },
  }),
};
