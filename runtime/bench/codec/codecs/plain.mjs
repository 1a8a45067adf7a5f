// The messages in the form of codecs that flatten a oneof into its cases. `uint64` makes their 64-bit numbers.
export const plain = (uint64) => ({
  sendReq: ({ userId, clientTimeMs, ...rest }) => ({
    sendReq: { ...rest, conversation: { userId }, clientTimeMs: uint64(clientTimeMs) },
  }),
  sendAck: ({ clientMsgId, userId, seq, serverTimeMs, duplicate }) => ({
    sendAck: {
      clientMsgId,
      conversation: { userId },
      accepted: { seq: uint64(seq), serverTimeMs: uint64(serverTimeMs), duplicate },
    },
  }),
  offlinePage: ({ userId, entries, head, floor, ...rest }) => ({
    offlinePage: {
      ...rest,
      conversation: { userId },
      entries: entries.map(({ seq, serverTimeMs, clientTimeMs, ...message }) => ({
        seq: uint64(seq),
        serverTimeMs: uint64(serverTimeMs),
        message: { ...message, clientTimeMs: uint64(clientTimeMs) },
      })),
      head: uint64(head),
      floor: uint64(floor),
    },
  }),
});
