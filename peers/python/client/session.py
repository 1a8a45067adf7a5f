"""One session: who speaks, how often, and what has been acknowledged. Chapters 3, 5 and 8.

A Session lives as long as its connection. Nothing of it goes into the next one (RECON-4): push_seqs, request ids and windows are
names of things that are gone with it.
"""

from __future__ import annotations

from collections import deque
from random import Random

from wire.messages import message_class

from .effects import Effects, soonest
from .names import Key
from .terms import Terms

Frame, DeliverAck, Ping, Pong = (message_class(name) for name in ("Frame", "DeliverAck", "Ping", "Pong"))

GREETING_MS = 10_000
"""How long the answer to Hello is waited for: the default of the send timeout."""

UNANSWERED_TIMEOUTS = 3
"""A request without an answer for so many send timeouts costs the server its session (ERR-14)."""


class Session:
    """greeting until Welcome, then open, then perhaps leaving. `hear` and `say` are called for all that is received and sent."""

    def __init__(self, effects: Effects, rng: Random, at: float) -> None:
        self._effects = effects
        self._rng = rng
        self.phase = "greeting"
        self.terms: Terms | None = None
        self._began = at
        self._opened: float | None = None
        self._heard = at
        self._said = at
        self._first_ping: float | None = None
        self._nonce = 0
        self._next_request = 1
        self.requests: dict[int, tuple[str, object, float]] = {}  # kind, context, when
        self.unsupported: set[str] = set()
        self.close_by: float | None = None
        self.push_seq = 0  # the highest that was received
        self._pushes: deque[tuple[int, Key, int]] = deque()  # received and not acknowledged: push_seq, conversation, seq
        self._stored = 0  # everything up to this push_seq is durable
        self._acked = 0
        self._ack_due: float | None = None

    # --- life

    def welcomed(self, terms: Terms, at: float) -> None:
        self.phase, self.terms, self._opened = "open", terms, at
        # Ten thousand clients that came back at once do not ping at once (BEAT-6).
        self._first_ping = at + self._rng.random() * terms.heartbeat_ms

    def leave(self, close_after_ms: int, at: float) -> None:
        """GoAway: no request any more (AWAY-8); the server closes, or is helped to after its time."""
        self.phase = "leaving"
        self.close_by = at + max(close_after_ms, 1) + 1_000

    def healthy(self, at: float) -> bool:
        """Whether the session has lived long enough for the backoff to begin anew (RECON-2)."""
        return self._opened is not None and at - self._opened >= self.terms.healthy_ms

    def hear(self, at: float) -> None:
        """Bytes have come: each is a sign of life (BEAT-1)."""
        self._heard = at

    def say(self, at: float) -> None:
        """A frame goes out."""
        self._said = at

    def is_dead(self, at: float) -> bool:
        """Whether nothing has come for too long: the answer to Hello, any byte at all, or the answer to a request."""
        return at >= self._dead_at()

    def _dead_at(self) -> float:
        if self.terms is None:
            return self._began + GREETING_MS
        dead = self._heard + self.terms.heartbeat_ms * 1.5
        if self.requests:
            oldest = min(when for _, _, when in self.requests.values())
            dead = min(dead, oldest + UNANSWERED_TIMEOUTS * self.terms.send_timeout_ms)
        return soonest(dead, self.close_by)

    # --- requests

    def ask(self, frame, context: object, at: float) -> bool:
        """Numbers a request and sends it. False where there is no session, it is leaving, or the server does not know the kind."""
        kind = frame.WhichOneof("body")
        if self.phase != "open" or kind in self.unsupported:
            return False
        number, self._next_request = self._next_request, self._next_request + 1
        self.requests[number] = (kind, context, at)
        getattr(frame, kind).request_id = number
        self._effects.transmit(frame)
        return True

    def answer_to(self, number: int, *kinds: str) -> tuple[str, object] | None:
        """The kind and context of an open request, which is then answered. None for an answer to nothing."""
        if number not in self.requests or (kinds and self.requests[number][0] not in kinds):
            return None
        kind, context, _ = self.requests.pop(number)
        return kind, context

    # --- pushes

    def pushed(self, push_seq: int, key: Key, seq: int) -> bool:
        """Notes a push. False at a break: behind it nothing may be acknowledged any more (ACK-13)."""
        if push_seq != self.push_seq + 1:
            return False
        self.push_seq = push_seq
        self._pushes.append((push_seq, key, seq))
        return True

    def acknowledge(self, cursor_of, acknowledged, at: float, *, now: bool = False) -> None:
        """Sends DeliverAck when it is due, for what is durable (ACK-1, ACK-2, ACK-3).

        `cursor_of(key)` is how far a conversation is stored: a push whose entry waits behind a hole is not acknowledged, for the
        ack would move the server's cursor over the hole (GAP-1). `acknowledged(key, seq)` hears of each that is.
        """
        covered = []
        while self._pushes and cursor_of(self._pushes[0][1]) >= self._pushes[0][2]:
            self._stored, key, seq = self._pushes.popleft()
            covered.append((key, seq))
        for key, seq in covered:
            acknowledged(key, seq)
        waiting = self._stored - self._acked
        if waiting <= 0:
            return
        if self._ack_due is None:
            self._ack_due = at + self.terms.ack_delay_ms_max / 2
        # Half a window is told at once, so that the server need not stop in the other half.
        many = min(self.terms.ack_batch_max, max(1, self.terms.receive_window // 2))
        if now or waiting >= many or at >= self._ack_due:
            self._acked = self._stored
            self._ack_due = None
            self._effects.transmit(Frame(deliver_ack=DeliverAck(up_to=self._acked)))

    # --- heartbeat

    def pump(self, at: float) -> float | None:
        """Sends what the heartbeat asks for. Gives when to come again; `is_dead` says whether there is any use."""
        wake = self._dead_at()
        if self.phase == "greeting":
            return wake
        # A little before its time: silence is measured at the other end (BEAT-2).
        due = self._said + self.terms.heartbeat_ms * 0.75
        if at >= soonest(due, self._first_ping):
            self._first_ping = None
            self._nonce = (self._nonce + 1) % (1 << 32)
            self._effects.transmit(Frame(ping=Ping(nonce=self._nonce)))
            due = at + self.terms.heartbeat_ms * 0.75
        return soonest(wake, due, self._first_ping, self._ack_due)

    def pong(self, nonce: int) -> None:
        self._effects.transmit(Frame(pong=Pong(nonce=nonce)))
