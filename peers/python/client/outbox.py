"""The outbox: sends from the application's call until their outcome is known. Chapter 4.

A state machine without a clock, randomness or I/O of its own: `at` is a monotonic time in milliseconds, what it sends and says goes
into `Effects`. The table is that of the chapter:

  queued     written down; goes out when there is a session, room in the window, and nothing before it that has not gone out
  sending    transmitted and without an outcome; repeated under the same id, on this connection and on the next
  unknown    no longer repeated by itself: the dedup window has ended, or the server said never without saying not done
  failed     a definite refusal
  (gone)     sent: its seq is noted in the same act in which it leaves
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from zlib import crc32

from wire.messages import message_class

from .effects import Effects, soonest
from .names import Key, code_name, conversation_of, fate_name, retry_name, send_state_name
from .store import Store
from .terms import Terms

Frame, SendReq, QuerySend, SendQuery = (message_class(name) for name in ("Frame", "SendReq", "QuerySend", "SendQuery"))


@dataclass
class Send:
    """One send. `place` orders the outbox and is its key in the store."""

    place: int
    key: Key
    id: bytes
    content_type: str
    body: bytes
    client_time_ms: int
    first_ms: int | None = None  # the wall clock at the first transmission
    state: str = "queued"
    code: str | None = None
    attempts: int = 0  # transmissions of this run; a run that begins anew has no backoff to go on with
    due: float = 0  # not before (SEND-9, SEND-10)
    timeout: float | None = None  # when silence becomes a failed attempt (SEND-8)
    asked: bool = False  # a QuerySend for it is on its way, or has brought all that it can

    @property
    def open(self) -> bool:
        """Neither acknowledged nor given up: it counts as a predecessor (ORDER-6)."""
        return self.state in ("queued", "sending")


class Outbox:
    """All sends of the device whose outcome it does not know, and those that failed and were not withdrawn."""

    def __init__(self, store: Store, effects: Effects, rng: Random, terms: Terms) -> None:
        self._store = store
        self._effects = effects
        self._rng = rng
        self.terms = terms
        self._unanswered: set[tuple[Key, bytes]] = set()  # transmitted in this session, without a SendAck (SEND-18)
        self._query_not_before = 0.0
        self._sends: dict[tuple[Key, bytes], Send] = {}
        for row in store.sends():
            send = Send(*row)
            if send.open:
                send.state = "queued"  # whatever was on its way went with the process
            self._sends[send.key, send.id] = send

    # --- the application

    def add(self, key: Key, id: bytes, content_type: str, body: bytes, client_time_ms: int) -> Send:
        """Writes a send down, durably, before anything of it is transmitted (SEND-1)."""
        place = self._store.add_send(key, id, content_type, body, client_time_ms)
        send = Send(place, key, id, content_type, body, client_time_ms)
        self._sends[key, id] = send
        self._tell(send)
        return send

    def resend(self, id: bytes) -> bool:
        """By hand: the same id, the last place, and a window and a backoff that begin anew (SEND-20, ORDER-9)."""
        send = self.find(id)
        if send is None or send.open:
            return send is not None
        with self._store.act():
            self._store.drop_send(send.place)
            send.place = self._store.add_send(send.key, send.id, send.content_type, send.body, send.client_time_ms)
        del self._sends[send.key, send.id]
        self._sends[send.key, send.id] = send
        send.state, send.code, send.first_ms = "queued", None, None
        send.attempts, send.due, send.asked = 0, 0, False
        self._tell(send)
        return True

    def withdraw(self, id: bytes) -> bool:
        """Takes a send out. What was transmitted may still be in the conversation; then it comes as an entry."""
        send = self.find(id)
        if send is not None:
            self._store.drop_send(send.place)
            del self._sends[send.key, send.id]
        return send is not None

    def find(self, id: bytes) -> Send | None:
        return next((send for send in self._sends.values() if send.id == id), None)

    def of(self, key: Key) -> list[Send]:
        """What a conversation has open or given up, in order."""
        return [send for send in self._sends.values() if send.key == key]

    # --- the session

    def opened(self, terms: Terms) -> None:
        """Welcome: nothing is on its way yet, and what the new limits have no room for is given up (CONN-11, LIM-12)."""
        self.terms = terms
        for send in list(self._sends.values()):
            if send.state == "unknown":
                send.asked = False
            elif send.open and len(send.body) > terms.body_bytes_max:
                # What was never transmitted is in no conversation; of the rest nothing is certain (SEND-14).
                if send.first_ms is None:
                    self._give_up(send, "failed", "BODY_TOO_LARGE")
                else:
                    self._give_up(send, "unknown")

    def lost(self, at: float) -> None:
        """The session is gone, and with it what was on its way (SEND-11: the time without one is no attempt)."""
        fraction = self._rng.random()
        for send in self._sends.values():
            if (send.key, send.id) in self._unanswered and send.open:
                # One fraction for all, so that those that went out together go out together again (ORDER-8).
                low = self.terms.send_retry_ms_min
                top = min(self.terms.send_retry_ms_max, self.terms.send_retry_ms_base * 2 ** min(send.attempts, 32))
                send.due = max(send.due, at + low + fraction * max(0, top - low))
                self._become(send, "queued")
            send.timeout = None
            if send.state == "unknown":
                send.asked = False
        self._unanswered.clear()

    def pump(self, at: float, wall_ms: int, ask) -> float | None:
        """Transmits what may go now. `ask(frame, context)` sends a request. Gives when to come again."""
        wake: float | None = None
        before: dict[Key, Send] = {}
        blocked: set[Key] = set()
        going: list[tuple[Send, Send | None]] = []
        room = self.terms.send_window - len(self._unanswered)
        for send in self._sends.values():
            if not send.open:
                continue
            if self._window_ended(send, wall_ms):
                self._give_up(send, "unknown")
                continue
            if send.first_ms is not None and self.terms.dedup_window_ms is not None:
                wake = soonest(wake, at + self.terms.dedup_window_ms - max(0, wall_ms - send.first_ms))
            previous = before.get(send.key)
            before[send.key] = send
            if (send.key, send.id) in self._unanswered:
                if send.timeout is not None and at >= send.timeout:
                    send.timeout = None
                    send.due = at + self.terms.send_delay(send.attempts, self._rng)
                if send.timeout is None and at >= send.due:
                    going.append((send, previous))
                else:
                    wake = soonest(wake, send.timeout if send.timeout is not None else send.due)
                continue
            # What has one in front of it that is not on its way waits for that one (ORDER-8). So what was refused as OUT_OF_ORDER
            # goes right behind its predecessor.
            if send.key in blocked:
                continue
            if at < send.due:
                wake = soonest(wake, send.due)
                blocked.add(send.key)
            elif room <= 0:
                blocked.add(send.key)
            else:
                room -= 1
                going.append((send, previous))
        self._transmit(going, at, wall_ms)
        for send, _ in going:
            wake = soonest(wake, send.timeout)
        return soonest(wake, self._ask(at, wall_ms, ask))

    def _transmit(self, going: list[tuple[Send, Send | None]], at: float, wall_ms: int) -> None:
        first = [send for send, _ in going if send.first_ms is None]
        if first:
            # The beginning of the dedup window has to outlive the process as the send does (SEND-12).
            with self._store.act():
                for send in first:
                    send.first_ms = wall_ms
                    self._store.note_send(send.place, wall_ms, "sending", None)
        for send, previous in going:
            send.attempts += 1
            send.timeout = at + self.terms.send_timeout_ms
            self._unanswered.add((send.key, send.id))
            self._become(send, "sending")
            request = SendReq(
                client_msg_id=send.id,
                conversation=conversation_of(send.key),
                content_type=send.content_type,
                body=send.body,
                body_crc32=crc32(send.body),
                client_time_ms=send.client_time_ms,
                predecessor=b"" if previous is None else previous.id,
            )
            self._effects.transmit(Frame(send_req=request))

    # --- outcomes

    def answered(self, key: Key, id: bytes) -> Send | None:
        """A SendAck has come, for whichever attempt: the window has room again (SEND-22)."""
        self._unanswered.discard((key, id))
        return self._sends.get((key, id))

    def settle(self, key: Key, id: bytes) -> Send | None:
        """Takes out a send whose seq is known; the caller notes the seq in the same act (SEND-24, ACK-11)."""
        send = self._sends.pop((key, id), None)
        if send is not None:
            self._store.drop_send(send.place)
        return send

    def refused(self, send: Send, refusal, at: float) -> str:
        """A SendAck that does not accept. `refusal` is None for an outcome from the future (ERR-4). Gives the retry class."""
        retry = "UNSPECIFIED" if refusal is None else retry_name(refusal.retry)
        if not send.open:
            return retry
        send.timeout = None
        if retry == "NEVER":
            # Only not done for ever is a failure; never alone leaves the question (SEND-14, SEND-19).
            definite = fate_name(refusal.fate) == "NOT_DONE"
            self._give_up(send, "failed" if definite else "unknown", code_name(refusal.code) if definite else None)
            return retry
        send.due = at + self.terms.send_delay(send.attempts, self._rng)
        if refusal is not None:
            send.due = max(send.due, at + refusal.retry_after_ms)
        self._become(send, "queued")
        return retry

    def told(self, sends: list[tuple[Key, bytes]], result) -> list[tuple[Send, object]]:
        """A QuerySendResult: gives the sends that are committed, with what accepted them (QUERY-2)."""
        committed = []
        answers = {item.client_msg_id: item for item in result.results}
        for key, id in sends:
            send, item = self._sends.get((key, id)), answers.get(id)
            if send is not None and item is not None and send_state_name(item.state) == "COMMITTED" and item.HasField("accepted"):
                committed.append((send, item.accepted))
        return committed

    def not_told(self, sends: list[tuple[Key, bytes]], error, at: float) -> None:
        """A QuerySend was refused: asked again later, unless the class says never."""
        if retry_name(error.retry) == "NEVER":
            return
        self._query_not_before = at + max(self.terms.send_delay(1, self._rng), error.retry_after_ms)
        for name in sends:
            if name in self._sends:
                self._sends[name].asked = False

    # --- inside

    def _ask(self, at: float, wall_ms: int, ask) -> float | None:
        questions: dict[Key, list[Send]] = {}
        for send in self._sends.values():
            if send.state == "unknown" and not send.asked:
                questions.setdefault(send.key, []).append(send)
        if questions and at < self._query_not_before:
            return self._query_not_before
        for key, sends in questions.items():
            for start in range(0, len(sends), self.terms.query_ids_max):
                part = sends[start : start + self.terms.query_ids_max]
                asked = [SendQuery(client_msg_id=send.id, age_ms=max(0, wall_ms - (send.first_ms or wall_ms))) for send in part]
                frame = Frame(query_send=QuerySend(conversation=conversation_of(key), sends=asked))
                if ask(frame, [(send.key, send.id) for send in part]):
                    for send in part:
                        send.asked = True
        return None

    def _window_ended(self, send: Send, wall_ms: int) -> bool:
        window = self.terms.dedup_window_ms
        return window is not None and send.first_ms is not None and wall_ms - send.first_ms >= window

    def _give_up(self, send: Send, state: str, code: str | None = None) -> None:
        send.state, send.code, send.timeout, send.asked = state, code, None, False
        self._store.note_send(send.place, send.first_ms, state, code)
        self._tell(send)

    def _become(self, send: Send, state: str) -> None:
        if send.state != state:
            send.state = state
            self._tell(send)

    def _tell(self, send: Send) -> None:
        code = {"code": send.code} if send.state == "failed" else {}
        self._effects.tell("state", client_msg_id=send.id, state=send.state, **code)
