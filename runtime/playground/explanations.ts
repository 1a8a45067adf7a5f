/** What each kind of frame is for, in a sentence, and the chapter that says the rest. */

const EXPLANATIONS: Readonly<Record<string, string>> = {
  Hello: "Opens a session: who this is, on which device, and how many pushes it takes at once. Chapter 3.",
  Welcome: "The session is open; these limits and timers hold, and this is the epoch of the server's log. Chapter 3.",
  SendReq:
    "A message, under an id that its device has chosen. It is sent again under the same id until its outcome is known. Chapter 4.",
  SendAck:
    "The message is durable, at this seq; or it is refused, and why. A repeat gets the first seq again, marked as a duplicate. Chapter 4.",
  QuerySend: "Asks what became of messages whose answers never came. Chapter 4.",
  QuerySendResult: "What became of them. Chapter 4.",
  Push: "An entry of a conversation. It counts against the receive window until a DeliverAck covers it. Chapter 5.",
  DeliverAck: "The device has stored every push up to this number: the window is free again. Chapter 5.",
  HeadNotify: "There is something new, and it is not pushed: the device pulls it when it wants to. Chapter 5.",
  PullOffline: "Asks for the entries behind a cursor, the last seq up to which the device has everything. Chapter 6.",
  OfflinePage:
    "Entries behind the cursor, in rising seq. With more to come, the next pull starts at its end. Chapter 6.",
  PullHistory:
    "Asks for older entries, to look at: what was read on another device is not pulled by a new one. Chapter 6.",
  HistoryPage: "Older entries. Chapter 6.",
  SyncReq: "Asks which conversations have changed since the token of the last sync. Chapter 6.",
  SyncPage: "How far each of them goes, and how far this device is: what is behind is pulled. Chapter 6.",
  ReadMark: "The user has read up to here; the user's other devices are told. Chapter 7.",
  Receipt: "How far another member has received and read. Chapter 7.",
  Ping: "Is anybody there? It also says up to which push this side has come. Chapter 8.",
  Pong: "Yes. Chapter 8.",
  GoAway: "This session ends, for this reason; the code says whether and when to come back. Chapter 8.",
  ErrorFrame: "A request was refused, or the session ends. The code says what to do. Chapter 9.",
  TokenRefresh: "A newer credential for this session. Chapter 3.",
  TokenRefreshed: "It is taken. Chapter 3.",
};

export const explanationOf = (frame: string): string =>
  EXPLANATIONS[frame] ?? "A kind that this version does not know.";
