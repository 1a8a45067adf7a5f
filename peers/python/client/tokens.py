"""The session's token: a newer one is asked for before it ends. Chapter 3."""

from __future__ import annotations

from collections.abc import Callable

from wire.messages import message_class

from .effects import Effects

Frame, TokenRefresh = message_class("Frame"), message_class("TokenRefresh")

LEAD_MS_MAX = 60_000
"""How long before its end a newer token is asked for, at most; half of its time where that is less."""


class Tokens:
    """Watches the end of the session's token (AUTH-6). Its times are by the server's clock, as Welcome has set it."""

    def __init__(self, effects: Effects) -> None:
        self._effects = effects
        self._due: float | None = None
        self._fresh: str | None = None
        self._server_ms, self._said_at = 0, 0.0

    def opened(self, server_ms: int, ends_ms: int | None, at: float) -> None:
        self._server_ms, self._said_at = server_ms, at
        self._watch(ends_ms, at)

    def refreshed(self, ends_ms: int | None, at: float) -> None:
        self._watch(ends_ms, at)

    def lost(self) -> None:
        self._due = self._fresh = None

    def give(self, token: str) -> None:
        """A newer token for the open session (AUTH-3)."""
        self._fresh = token

    def pump(self, at: float, ask: Callable[[object, object], bool]) -> float | None:
        """Refreshes, or asks the application. Gives when to come again."""
        if self._fresh is not None:
            token, self._fresh = self._fresh, None
            ask(Frame(token_refresh=TokenRefresh(token=token)), None)
        if self._due is not None and at >= self._due:
            self._due = None
            self._effects.tell("needToken")
        return self._due

    def _watch(self, ends_ms: int | None, at: float) -> None:
        self._due = None
        if ends_ms is not None:
            remaining = max(0, ends_ms - self._server_ms - (at - self._said_at))
            self._due = at + remaining - min(remaining / 2, LEAD_MS_MAX)
