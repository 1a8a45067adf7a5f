"""One session: its phases, its timers, and who takes which frame. Chapters 3 and 8 of the specification.

waiting (for Hello) -> greeting (until the turn ends) -> open -> closed, in which what is queued still leaves. Handlers of requests
are in intake (sends), delivery (pushes and acks), offline (sync, pull, history) and receipts; they raise Refusal for what they do
not carry out.
"""

from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING

from google.protobuf.message import Message

from wire import UnknownFrame, WireError, encode
from wire.messages import message_class

from . import delivery, intake, offline, receipts
from .frames import Refusal, error_frame, go_away, same_conversation
from .hello import TOKEN_BYTES_MAX, Opening, open_session
from .hub import FRAMES_IN_A_TURN_MAX, log, where

if TYPE_CHECKING:
    from .hub import Hub
    from .link import Link

Frame = message_class("Frame")
Ping = message_class("Ping")
Pong = message_class("Pong")
TokenRefreshed = message_class("TokenRefreshed")

KINDS = {field.name: field.number for field in Frame.DESCRIPTOR.fields}
QUEUED_BYTES_MAX = 512 << 10  # then no further frame is taken in before these have left

REQUESTS = {
    "query_send": intake.query,
    "sync_req": offline.sync,
    "pull_offline": offline.pull,
    "pull_history": offline.history,
    "read_mark": receipts.read_mark,
}
ONLY_SERVERS_SEND = {
    "send_ack", "push", "head_notify", "offline_page", "receipt", "welcome", "go_away", "token_refreshed",
    "query_send_result", "sync_page", "history_page",
}  # fmt: skip


class Session:
    def __init__(self, hub: Hub, link: Link) -> None:
        self.hub = hub
        self.link = link
        self.phase = "waiting"
        self.user = self.device = self.id = ""
        self.opening: Opening | None = None
        self.inbound = 0  # frames taken in, for GoAway.frames_handled
        self.unanswered_sends = 0  # accepted in this turn, and so without their SendAck yet (SEND-17)
        self.pushes = delivery.Pushes()
        self._queue: list[bytes] = []
        self._queued_bytes = 0
        now = hub.clock.now_ms()
        self._heard_at = self._sent_at = now
        self._deadline = now + hub.settings.auth_deadline_ms  # for Hello
        self._asked_stalled = False
        self._timer: asyncio.TimerHandle | None = None
        self._arm()

    # --- what the link says ----------------------------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        return self.phase == "closed"

    def takes(self) -> bool:
        """Whether it can take a frame in now: only when its answers can leave, and in turn with others."""
        room = self.link.writable and self._queued_bytes < QUEUED_BYTES_MAX
        return room and self.hub.frames_this_turn < FRAMES_IN_A_TURN_MAX and not self.closed

    def heard(self) -> None:
        self._heard_at = self.hub.clock.now_ms()  # BEAT-1: every byte counts

    def lost(self) -> None:
        """The connection has gone, or its peer has left. What was accepted stays."""
        self._close()
        self.link.finish()

    def broken(self, error: WireError) -> None:
        """Bytes that are refused. The frames in front of them were taken in, nothing behind them is (FRAME-22)."""
        if not self.closed:
            self._end(error_frame(Refusal(error.code, f"{error.says} ({error.clause})"[:256])))

    def writable_again(self) -> None:
        delivery.go_on(self)

    def received(self, frame: Message | UnknownFrame) -> None:
        self.hub.frames_this_turn += 1
        self.inbound += 1
        try:
            self._receive(frame)
        except Exception as error:  # whatever it is, no half of a frame may count
            self.hub.give_up_turn(where(error))

    # --- frames ----------------------------------------------------------------------------------------------------------

    def _receive(self, frame: Message | UnknownFrame) -> None:
        name = "" if isinstance(frame, UnknownFrame) else frame.WhichOneof("body")
        if self.phase in ("waiting", "greeting"):
            if name == "hello" and self.phase == "waiting":
                # Judged at the end of the turn: what comes in the same write as Hello comes in front of Welcome (CONN-2).
                self.phase = "greeting"
                self.hub.has_hello(self, frame.hello)
            else:
                self._end(error_frame(Refusal("NOT_AUTHENTICATED"), frame_kind=frame.kind if not name else KINDS[name]))
        elif isinstance(frame, UnknownFrame):
            if not frame.optional:
                self.send(error_frame(Refusal("UNSUPPORTED_FRAME"), frame_kind=frame.kind))  # FRAME-15
        elif name == "hello" or name in ONLY_SERVERS_SEND:
            self._end(error_frame(Refusal("PROTOCOL_VIOLATION"), frame_kind=KINDS[name]))  # CONN-13
        elif name == "send_req":
            intake.send(self, frame.send_req)
        elif name == "deliver_ack":
            try:
                delivery.acknowledge(self, frame.deliver_ack.up_to)
            except Refusal as refusal:
                self._end(error_frame(refusal, frame_kind=KINDS[name]))  # ACK-5
        elif name == "ping":
            self.send(Frame(pong=Pong(nonce=frame.ping.nonce, push_seq=self.pushes.sent)))
        elif name == "error":
            # ERR-12: never answered. Its text may be a stranger's, so only the numbers are logged.
            log.warning("session %s: its client reports code %d", self.id, frame.error.code)
        elif name == "token_refresh":
            self._answer(name, frame.token_refresh, Session._refresh)
        elif name in REQUESTS:
            self._answer(name, getattr(frame, name), REQUESTS[name])
        # What is left is Pong, asked for or not (BEAT-7).

    def _answer(self, name: str, request: Message, handler) -> None:
        """A request gets one result or one Error that names it (ERR-7, ERR-9)."""
        fields = request.DESCRIPTOR.fields_by_name
        request_id = request.request_id if "request_id" in fields else 0
        try:
            if "request_id" in fields and request_id == 0:
                raise Refusal("INVALID_ARGUMENT", "request_id is missing")
            handler(self, request)
        except (Refusal, sqlite3.Error) as error:
            refusal = error if isinstance(error, Refusal) else Refusal("STORE_UNAVAILABLE")
            known = "conversation" in fields and request.HasField("conversation")
            conversation = same_conversation(request.conversation) if known else None
            self.send(error_frame(refusal, request_id=request_id, frame_kind=KINDS[name], conversation=conversation))

    def greet(self, hello: Message) -> None:
        """Answers the Hello with Welcome or a refusal (CONN-3)."""
        if self.phase != "greeting":
            return
        try:
            self.opening = open_session(self.hub, hello)
        except Refusal as refusal:
            versions = {}
            if refusal.code.name == "VERSION_UNSUPPORTED":
                settings = self.hub.settings
                versions = {"version_min": settings.version_min, "version_max": settings.version_max}  # CONN-5
            self._end(error_frame(refusal, frame_kind=KINDS["hello"], **versions))
            return
        self.user, self.device, self.id = self.opening.login.user, self.opening.device, self.opening.session_id
        older = self.hub.session_of(self.user, self.device)
        if older is not None:
            older.go_away("SESSION_REPLACED")  # DEV-3, and DEV-4: it takes nothing in from here on
        self.phase = "open"
        self.pushes.window = self.opening.receive_window
        self.hub.opened(self)
        self.link.widen(self.hub.settings.limits["frame_bytes_max"])
        self.send(Frame(welcome=self.opening.welcome))
        log.info("session %s: opened by %s on %s", self.id, self.user, self.device)

    def _refresh(self, request: Message) -> None:
        if not 1 <= len(request.token.encode()) <= TOKEN_BYTES_MAX:
            raise Refusal("INVALID_ARGUMENT", f"token has to be 1 to {TOKEN_BYTES_MAX} bytes")
        login = self.hub.people.login(request.token, self.hub.clock.wall_ms())
        if login is None or login.user != self.user:
            raise Refusal("FORBIDDEN")  # AUTH-4: the old token stays in force
        self.opening.login = login
        answer = TokenRefreshed(request_id=request.request_id)
        if login.expires_at_ms is not None:
            answer.token_expires_at_ms = login.expires_at_ms
        self.send(Frame(token_refreshed=answer))
        self._arm()

    # --- out -------------------------------------------------------------------------------------------------------------

    @property
    def slow(self) -> bool:
        """What is queued for it is enough: pushes, notices and receipts wait, and are joined."""
        return not self.link.writable or self._queued_bytes >= QUEUED_BYTES_MAX

    def send(self, frame: Message) -> None:
        """Queues a frame for the end of the turn."""
        if self.closed:
            return
        record = encode(frame)
        self._queue.append(record)
        self._queued_bytes += len(record)
        self.hub.has_output(self)

    def write(self) -> None:
        """The turn is durable: what is queued leaves."""
        queue, self._queue, self._queued_bytes, self.unanswered_sends = self._queue, [], 0, 0
        if queue:
            self.link.write(queue)
            self._sent_at = self.hub.clock.now_ms()
        if self.closed:
            self.link.finish()
        elif self.link.writable:
            delivery.go_on(self)
        self._arm()

    def go_away(self, code: str, reconnect_window_ms: int = 0) -> None:
        """Ends the session by plan (AWAY-1). All that it took in is answered already, in front of this in the queue (AWAY-4)."""
        if self.phase != "open":
            return
        close_after_ms = self.hub.settings.close_after_ms
        self.send(
            go_away(code, reconnect_window_ms=reconnect_window_ms, frames_handled=self.inbound, close_after_ms=close_after_ms)
        )
        log.info("session %s: goes away, %s", self.id, code)
        self.hub.gone(self)
        self._close()

    def fail(self) -> None:
        """The turn is undone: what was queued is not true, and the session ends."""
        self._queue, self._queued_bytes = [], 0
        if not self.closed:
            self._end(error_frame(Refusal("INTERNAL")))

    def _end(self, frame: Message) -> None:
        self.send(frame)
        self._close()

    def _close(self) -> None:
        """Nothing is taken in or sent from here on, but for what is queued."""
        if self.closed:
            return
        if self.phase == "open":
            self.hub.gone(self)
        self.phase = "closed"
        self.pushes.clear()
        self.hub.has_output(self)  # so that the link finishes behind what is queued
        if self._timer is not None:
            self._timer.cancel()

    # --- time ------------------------------------------------------------------------------------------------------------

    def _arm(self) -> None:
        """Sets the one timer to the next thing that time brings."""
        if self._timer is not None:
            self._timer.cancel()
        if self.closed:
            return
        wait = max(0.0, min(self._times().values()) - self.hub.clock.now_ms())
        self._timer = asyncio.get_running_loop().call_later(wait / 1000, self._tick)

    def _times(self) -> dict[str, float]:
        if self.phase != "open":
            return {"deadline": self._deadline}
        timers = self.hub.settings.timers
        times = {
            # A little in front of the time, since the peer counts from when it hears it (BEAT-2).
            "ping": self._sent_at + 0.8 * timers["heartbeat_ms"],
        }
        if self.link.is_reading:  # what this side does not read it cannot miss
            times["silence"] = self._heard_at + 1.5 * timers["heartbeat_ms"]
        if self.pushes.unacknowledged:
            stalled_at = self.pushes.waiting_since + timers["stalled_ms"]
            # It is asked, and has half of the time again to answer by an ack (PUSH-17).
            times["stalled"] = stalled_at + timers["stalled_ms"] / 2 if self._asked_stalled else stalled_at
        expires_at_ms = self.opening.login.expires_at_ms
        if expires_at_ms is not None:
            # In the middle of the grace: a client with a slow network has time to refresh (AUTH-5).
            left_ms = expires_at_ms + timers["token_grace_ms"] / 2 - self.hub.clock.wall_ms()
            times["token"] = self.hub.clock.now_ms() + left_ms
        return times

    def _tick(self) -> None:
        now = self.hub.clock.now_ms()
        due = {what for what, at in self._times().items() if at <= now}
        if "deadline" in due:
            self._end(error_frame(Refusal("AUTH_TIMEOUT")))  # CONN-12
        elif "token" in due:
            self.go_away("TOKEN_EXPIRED")
        elif "silence" in due:
            self.go_away("HEARTBEAT_TIMEOUT")  # BEAT-4
        elif "stalled" in due and self._asked_stalled:
            self.go_away("STALLED")
        elif "ping" in due or "stalled" in due:
            self._asked_stalled = self._asked_stalled or "stalled" in due
            self._sent_at = now  # also where it cannot leave now: what waits for a slow peer does not grow by Pings
            if self.slow:
                return self._arm()
            self.send(Frame(ping=Ping(nonce=self.inbound & 0xFFFFFFFF, push_seq=self.pushes.sent)))  # BEAT-5
        self._arm()

    def acks_moved(self) -> None:
        """The device has acknowledged something: it is not stalled."""
        self._asked_stalled = False
        self._arm()
