"""The client without its clock, its network and its files: what is received and asked goes in, Effects come out.

`at` is a monotonic time in milliseconds. Behind every input `pump` is called, which does what has become due and says when it wants
to be called again; calling it early, late or twice does no harm.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from wire import CODES, UnknownFrame
from wire.messages import message_class

from .catchup import CatchUp
from .effects import Effects, soonest
from .inbox import Inbox
from .marks import Marks
from .names import Key, code_name, entry_of, error_frame, key_of, scope_name
from .outbox import Outbox
from .past import History, Past
from .reach import Reach
from .session import Session
from .store import Store
from .terms import DEFAULTS, BrokenServer, terms_of
from .tokens import Tokens

Frame, Hello = message_class("Frame"), message_class("Hello")

VERSION = 1000
"""Protocol 1.0, the only one that is spoken here."""

NAME, CLIENT_VERSION = "imwire-python", "1.0.0"

CLIENT_KINDS = {"send_req", "deliver_ack", "pull_offline", "hello", "token_refresh", "query_send", "sync_req", "pull_history"}
"""What only clients send: from a server it is a mistake (CONN-19)."""


def token_end(answer) -> int | None:
    """When the token of a Welcome or TokenRefreshed ends by the server's clock; None: it does not."""
    return answer.token_expires_at_ms if answer.HasField("token_expires_at_ms") else None


class Engine:
    """All state machines of one device, and what goes between them."""

    def __init__(self, store: Store, rng: Random, device: str, token: str, *, receive_window: int | None, looked_only: bool):
        self.effects = Effects()
        self._store = store
        self._rng = rng
        self._device = device
        self._receive_window = receive_window
        # Rises with each start and is written before the first Hello: a Hello of the run before cannot overtake (DEV-10).
        self._run = store.get("run", 0) + 1
        store.put("run", self._run)
        self._attempt = 0
        self.session: Session | None = None
        self.outbox = Outbox(store, self.effects, rng, DEFAULTS)
        self.inbox = Inbox(store, self.effects, self.outbox)
        self.marks = Marks(store, self.effects, self.inbox)
        self.catchup = CatchUp(store, self.effects, rng, self.inbox, self.marks, DEFAULTS, looked_only)
        self.reach = Reach(self.effects, rng, token)
        self.frame_bytes_max = 65_536
        self.past = Past()
        self._tokens = Tokens(self.effects)
        self._unscoped = False  # an Error without a scope: of the session if nothing follows

    @property
    def open(self) -> bool:
        return self.session is not None and self.session.phase == "open"

    # --- the connection

    def connected(self, at: float) -> None:
        """There is a connection: Hello is the first and, until Welcome, the only frame on it (CONN-1, CONN-16)."""
        self.session = Session(self.effects, self._rng, at)
        self.frame_bytes_max = 65_536
        self._attempt += 1
        hello = Hello(version_min=VERSION, version_max=VERSION, token=self.reach.token, device_id=self._device)
        hello.client_name, hello.client_version = NAME, CLIENT_VERSION
        hello.run, hello.attempt = self._run, self._attempt
        if self._receive_window is not None:
            hello.receive_window = self._receive_window
        self.effects.transmit(Frame(hello=hello))

    def lost(self, at: float, why: str = "") -> None:
        """The connection is gone, or could not be made."""
        session, self.session = self.session, None
        self.outbox.lost(at)
        self.catchup.lost()
        self.past.lost()
        self._tokens.lost()
        self.reach.lost(at, session is not None and session.healthy(at), why)

    def broken(self, code: str, kind: int = 0) -> None:
        """What came is refused: one Error, with the frame's kind if it was one (ERR-7), and nothing behind it counts (FRAME-22)."""
        self.effects.transmit(error_frame(code, kind))
        self._hang_up()

    def _hang_up(self, *, at_once: bool = False) -> None:
        if self.session is not None:
            self.session.phase = "closed"
            self.effects.hang_up(at_once=at_once)

    # --- frames

    def received(self, frame, at: float) -> None:
        """One frame of the server."""
        session = self.session
        if session is None or session.phase == "closed":
            return
        if isinstance(frame, UnknownFrame):
            if session.phase == "greeting":
                self.broken("PROTOCOL_VIOLATION", frame.kind)
            elif not frame.optional and session.phase == "open":
                self.effects.transmit(error_frame("UNSUPPORTED_FRAME", frame.kind))
            return
        if self._unscoped:
            self._unscoped = False
            self.reach.forget()
        kind = frame.WhichOneof("body")
        early = session.phase == "greeting" and kind not in ("welcome", "error")
        if early or kind in CLIENT_KINDS or (kind == "welcome" and session.phase != "greeting"):
            self.broken("PROTOCOL_VIOLATION", Frame.DESCRIPTOR.fields_by_name[kind].number)
        else:
            getattr(self, f"_on_{kind}")(getattr(frame, kind), at)

    def _on_welcome(self, welcome, at: float) -> None:
        if welcome.version != VERSION:
            self._hang_up()  # it would be misread (CONN-7)
            return
        try:
            terms = terms_of(welcome)
        except BrokenServer:
            self._hang_up()
            return
        if self.inbox.user not in ("", welcome.user_id):
            # What is in this folder is another user's: nothing of it may be shown to this one, or sent for them (CONN-22).
            self.reach.stop("OTHER_USER")
            self._hang_up()
            return
        self.session.welcomed(terms, at)
        self.frame_bytes_max = terms.frame_bytes_max
        self.reach.terms = terms
        with self._store.act():
            self.inbox.user = welcome.user_id
            self._store.put("user", welcome.user_id)
            known = self._store.get("epoch", "")
            if known not in ("", welcome.epoch):
                self.inbox.begin_rebase()
                self.marks.reset()
                self._store.put("sync_token", b"")
            self._store.put("epoch", welcome.epoch)
        self._tokens.opened(welcome.server_time_ms, token_end(welcome), at)
        self.effects.tell("connection", state="open")
        self.outbox.opened(terms)
        self.catchup.opened(terms)

    def _on_send_ack(self, ack, at: float) -> None:
        key = key_of(ack.conversation)
        if key is None:
            return
        send = self.outbox.answered(key, ack.client_msg_id)
        if ack.WhichOneof("outcome") == "accepted":
            if send is not None:
                self.inbox.accepted(send, ack.accepted.seq, ack.accepted.server_time_ms, at)
            elif ack.accepted.seq > self.inbox.room(key).cursor:
                # Withdrawn since, or of a life that this device has forgotten: the slot is filled, and nobody pushes it (PUSH-15).
                self.catchup.noticed(key, ack.accepted.seq)
        elif send is not None:
            refusal = ack.refused if ack.HasField("refused") else None
            if self.outbox.refused(send, refusal, at) == "AFTER_RESYNC":
                self.catchup.doubt()

    def _on_push(self, push, at: float) -> None:
        key = key_of(push.conversation)
        if key is None or not self.session.pushed(push.push_seq, key, push.entry.seq):
            self._start_over(at)
            return
        if self.inbox.rebasing:
            self.catchup.noticed(key, push.entry.seq)  # no cursor to join it to yet: it is pulled, and acknowledged then
        else:
            self.inbox.pushed(self.inbox.room(key), entry_of(push.entry, self.inbox.user), at)

    def _start_over(self, at: float) -> None:
        """A push is lost on a connection that loses nothing: no ack can pass it in this session (ACK-13, GAP-10)."""
        self._acknowledge(at, now=True)
        self._hang_up()

    def _on_head_notify(self, notify, at: float) -> None:
        key = key_of(notify.conversation)
        if key is not None and (self.inbox.rebasing or notify.head > self.inbox.room(key).cursor):
            self.catchup.noticed(key, notify.head)

    def _on_offline_page(self, page, at: float) -> None:
        answered = self.session.answer_to(page.request_id, "pull_offline")
        if answered is not None:
            self.catchup.pulled(answered[1], page, at)

    def _on_sync_page(self, page, at: float) -> None:
        if self.session.answer_to(page.request_id, "sync_req") is not None:
            self.catchup.synced(page, self._asker(at))

    def _on_history_page(self, page, at: float) -> None:
        answered = self.session.answer_to(page.request_id, "pull_history")
        if answered is not None:
            self.past.answered(answered[1], page, self.inbox.user)

    def _on_query_send_result(self, result, at: float) -> None:
        answered = self.session.answer_to(result.request_id, "query_send")
        if answered is not None:
            for send, accepted in self.outbox.told(answered[1], result):
                self.inbox.accepted(send, accepted.seq, accepted.server_time_ms, at)

    def _on_token_refreshed(self, answer, at: float) -> None:
        if self.session.answer_to(answer.request_id, "token_refresh") is not None:
            self._tokens.refreshed(token_end(answer), at)

    def _on_ping(self, ping, at: float) -> None:
        self.session.pong(ping.nonce)
        self._check_push_seq(ping.push_seq, at)

    def _on_pong(self, pong, at: float) -> None:
        self._check_push_seq(pong.push_seq, at)

    def _check_push_seq(self, push_seq: int, at: float) -> None:
        if push_seq > self.session.push_seq and self.session.phase == "open":
            self._start_over(at)

    def _on_read_mark(self, mark, at: float) -> None:
        key = key_of(mark.conversation)
        if key is not None:
            self.marks.read_elsewhere(key, mark.up_to)

    def _on_receipt(self, receipt, at: float) -> None:
        key = key_of(receipt.conversation)
        if key is not None and receipt.user_id:
            self.marks.receipt(key, receipt.user_id, receipt.delivered_seq, receipt.read_seq)

    def _on_go_away(self, away, at: float) -> None:
        self.reach.ending(away.code, away.retry, away.reconnect_window_ms)
        self.session.leave(away.close_after_ms, at)

    def _on_error(self, error, at: float) -> None:
        scope = scope_name(error.scope)
        if scope != "REQUEST" or self.session.phase == "greeting":
            # Without a scope it was of the session if the connection closes now (ErrorScope).
            self.reach.ending(error.code, error.retry, retry_after_ms=error.retry_after_ms)
            self._unscoped = scope != "SESSION"
        if scope == "SESSION" or self.session.phase == "greeting":
            self._hang_up()
            return
        refused = self.session.answer_to(error.request_id)
        if refused is None and error.code == CODES["UNSUPPORTED_FRAME"].number:
            self._do_without(error, at)
        elif refused is not None:
            self._refused(*refused, error, at)
        elif error.code == CODES["CURSOR_AHEAD"].number:
            self.catchup.doubt()

    def _do_without(self, error, at: float) -> None:
        field = Frame.DESCRIPTOR.fields_by_number.get(error.frame_kind)
        if field is None:
            return
        self.session.unsupported.add(field.name)
        for number in [number for number, (kind, _, _) in self.session.requests.items() if kind == field.name]:
            self._refused(*self.session.answer_to(number), error, at)

    def _refused(self, kind: str, context, error, at: float) -> None:
        if kind == "pull_offline":
            self.catchup.pull_refused(context, error, at)
        elif kind == "sync_req":
            self.catchup.sync_refused(error, at, self._asker(at))
        elif kind == "query_send":
            self.outbox.not_told(context, error, at)
        elif kind == "pull_history":
            self.past.refused(context, code_name(error.code))

    # --- time

    def _asker(self, at: float) -> Callable[[object, object], bool]:
        return lambda frame, context: self.session is not None and self.session.ask(frame, context, at)

    def _acknowledge(self, at: float, *, now: bool = False) -> None:
        def acknowledged(key: Key, seq: int) -> None:
            if seq >= self.inbox.room(key).cursor:
                self.catchup.acknowledged(key)

        if not self.inbox.rebasing:
            self.session.acknowledge(lambda key: self.inbox.room(key).cursor, acknowledged, at, now=now)

    def pump(self, at: float, wall_ms: int) -> float | None:
        """Does what has become due. Gives when to be called again."""
        session = self.session
        if session is None or session.phase == "closed":
            return self.reach.pump(at)
        if session.is_dead(at):
            self._hang_up(at_once=True)
            return None
        wake = None
        if session.phase == "open":
            ask = self._asker(at)
            wake = soonest(self.catchup.pump(at, ask), self._tokens.pump(at, ask))
            if not self.inbox.rebasing:  # a SendAck's seq is of the new log, and has no place before the sync
                wake = soonest(wake, self.outbox.pump(at, wall_ms, ask))
            self.past.pump(ask)
        if session.phase != "greeting":
            self._acknowledge(at)
        return soonest(wake, session.pump(at))

    # --- the application

    def renew_token(self, token: str | None, at: float) -> None:
        """A token that the application has obtained, or None."""
        self.reach.renew(token, at)
        if token is not None and self.open:
            self._tokens.give(token)

    def history(self, history: History) -> None:
        self.past.add(history)

    def leave(self, at: float) -> None:
        """The application closes: what is stored is acknowledged first."""
        if self.session is not None and self.session.phase in ("open", "leaving"):
            self._acknowledge(at, now=True)
        self.past.close()
        self.reach.stop()
        self._hang_up()
