"""What a Welcome settles: limits and timers, and the delays that are drawn from them. Clauses CONN-10, CONN-11, CONN-15.

All times of this package are milliseconds. Randomness comes in as a `random.Random`, so that a test can draw the same again.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

TIMER_MS_MAX = 86_400_000
"""The longest timer that a sound server announces (CONN-15)."""

TIMERS = {
    "heartbeat_ms": 25_000,
    "send_timeout_ms": 10_000,
    "send_retry_ms_min": 200,
    "send_retry_ms_base": 1_000,
    "send_retry_ms_max": 30_000,
    "reconnect_ms_min": 500,
    "reconnect_ms_base": 500,
    "reconnect_ms_max": 20_000,
    "healthy_ms": 10_000,
    "ack_delay_ms_max": 500,
    "gap_grace_ms": 500,
    "audit_ms": 300_000,
    "stalled_ms": 60_000,
    "token_grace_ms": 30_000,
}
"""The defaults of Timers, which hold before the first Welcome (RECON-1)."""

LIMITS = {
    "frame_bytes_max": 1_048_576,
    "body_bytes_max": 65_536,
    "send_window": 32,
    "receive_window": 64,
    "query_ids_max": 100,
    "ack_batch_max": 32,
}
"""The defaults of those Limits that a client obeys by itself; the others are the server's to enforce."""

ID_BYTES_MAX = 64
"""User ids, group ids, device ids and content types: 1 to this many bytes (chapter 10)."""

TOKEN_BYTES_MAX = 8192


class BrokenServer(Exception):
    """A Welcome that no sound server sends: the client closes and backs off."""


@dataclass(frozen=True)
class Terms:
    """The limits and timers in force. Before the first Welcome: the defaults."""

    heartbeat_ms: int
    send_timeout_ms: int
    send_retry_ms_min: int
    send_retry_ms_base: int
    send_retry_ms_max: int
    reconnect_ms_min: int
    reconnect_ms_base: int
    reconnect_ms_max: int
    healthy_ms: int
    ack_delay_ms_max: int
    gap_grace_ms: int
    audit_ms: int
    stalled_ms: int
    token_grace_ms: int
    frame_bytes_max: int
    body_bytes_max: int
    send_window: int
    receive_window: int
    query_ids_max: int
    ack_batch_max: int
    dedup_window_ms: int | None = None

    def send_delay(self, attempts: int, rng: Random) -> float:
        """How long to wait after the failure of attempt number `attempts` before the next one (SEND-9)."""
        top = min(self.send_retry_ms_max, self.send_retry_ms_base * 2 ** min(attempts, 32))
        return rng.uniform(self.send_retry_ms_min, max(self.send_retry_ms_min, top))

    def reconnect_delay(self, attempts: int, rng: Random) -> float:
        """How long to wait before the next connection when `attempts` in a row came to nothing (RECON-1)."""
        top = min(self.reconnect_ms_max, self.reconnect_ms_base * 2 ** min(attempts, 32))
        return self.reconnect_ms_min + rng.uniform(0, top)


DEFAULTS = Terms(**TIMERS, **LIMITS)


def terms_of(welcome) -> Terms:
    """The terms that a Welcome announces. Raises BrokenServer for a timer or a limit that nobody can work with (CONN-15, CONN-21)."""
    timers = {name: getattr(welcome.timers, name) for name in TIMERS}
    for name, value in timers.items():
        if not 1 <= value <= TIMER_MS_MAX:
            raise BrokenServer(f"{name} is {value}")
    for field in welcome.limits.DESCRIPTOR.fields:
        if getattr(welcome.limits, field.name) == 0 and field.name != "receive_window":
            raise BrokenServer(f"{field.name} is 0")
    limits = {name: getattr(welcome.limits, name) for name in LIMITS}
    return Terms(**timers, **limits, dedup_window_ms=welcome.dedup_window_ms)
