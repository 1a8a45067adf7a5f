"""What a Hello has to hold, and what Welcome answers. Chapter 3 of the specification."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from google.protobuf.message import Message

from wire.messages import enum_values, message_class

from .frames import Refusal
from .people import Login

if TYPE_CHECKING:
    from .hub import Hub

Welcome = message_class("Welcome")
Limits = message_class("Limits")
Timers = message_class("Timers")
POWER_LOSS = enum_values("Durability")["DURABILITY_POWER_LOSS"]

NAME_BYTES_MAX = 64
TOKEN_BYTES_MAX = 8192
FEATURES_MAX = 64


@dataclass
class Opening:
    """What a session is opened with. `turn` is (run, attempt) of its Hello, (0, 0) where none was given."""

    login: Login
    device: str
    session_id: str
    turn: tuple[int, int]
    receive_window: int
    welcome: Message


def open_session(hub: Hub, hello: Message) -> Opening:
    """Judges a Hello and makes its Welcome. Raises Refusal, of session scope."""
    settings = hub.settings
    if hello.version_min == 0 or hello.version_max < hello.version_min:
        raise Refusal("HELLO_INVALID", "the range of versions is missing or upside down")
    # A Hello from the future is judged by its range alone, before any other field is (CONN-5, CONN-6).
    version = min(hello.version_max, settings.version_max)
    if version < max(hello.version_min, settings.version_min):
        raise Refusal("VERSION_UNSUPPORTED")
    _check(hello)
    login = hub.people.login(hello.token, hub.clock.wall_ms())
    if login is None:
        raise Refusal("TOKEN_REJECTED")  # AUTH-1: why is nobody's business
    older = hub.session_of(login.user, hello.device_id)
    turn = (hello.run, hello.attempt)
    if older is not None and hello.run > 0 and turn <= older.opening.turn:
        raise Refusal("HELLO_STALE")  # DEV-11
    most = settings.sessions_per_user_max
    if older is None and most > 0 and len(hub.sessions_of(login.user)) >= most:
        raise Refusal("TOO_MANY_SESSIONS")  # LIM-9
    window = settings.limits["receive_window"]
    if hello.HasField("receive_window"):
        window = min(window, hello.receive_window)  # CONN-14
    welcome = Welcome(
        version=version,  # CONN-4
        features=[],  # CONN-8: 1.0 has none
        session_id=uuid.uuid4().hex,  # CONN-17: random, so that no restart gives one again
        user_id=login.user,
        epoch=hub.store.epoch,
        server_time_ms=hub.clock.wall_ms(),
        dedup_window_ms=settings.dedup_window_ms,
        durability=POWER_LOSS,
        limits=Limits(**{**settings.limits, "receive_window": window}),
        timers=Timers(**settings.timers),
    )
    if login.expires_at_ms is not None:
        welcome.token_expires_at_ms = login.expires_at_ms
    return Opening(login, hello.device_id, welcome.session_id, turn, window, welcome)


def _check(hello: Message) -> None:
    """CONN-20. Lengths are in bytes of UTF-8."""

    def within(text: str, least: int, most: int) -> bool:
        return least <= len(text.encode()) <= most

    if not within(hello.token, 1, TOKEN_BYTES_MAX):
        raise Refusal("HELLO_INVALID", f"token has to be 1 to {TOKEN_BYTES_MAX} bytes")
    if not within(hello.device_id, 1, NAME_BYTES_MAX):
        raise Refusal("HELLO_INVALID", f"device_id has to be 1 to {NAME_BYTES_MAX} bytes")
    if not within(hello.client_name, 0, NAME_BYTES_MAX) or not within(hello.client_version, 0, NAME_BYTES_MAX):
        raise Refusal("HELLO_INVALID", f"client_name and client_version have to be at most {NAME_BYTES_MAX} bytes")
    if len(hello.features) > FEATURES_MAX or not all(within(name, 1, NAME_BYTES_MAX) for name in hello.features):
        raise Refusal("HELLO_INVALID", f"features have to be at most {FEATURES_MAX}, each 1 to {NAME_BYTES_MAX} bytes")
    if (hello.run == 0) != (hello.attempt == 0):
        raise Refusal("HELLO_INVALID", "run and attempt have to be given together")
