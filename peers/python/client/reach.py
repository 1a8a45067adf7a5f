"""Coming back: when to connect, and when not to. Chapter 8 and the token's part of chapter 3.

  resting   waits until `due`; None while a token is being obtained
  busy      a connection is being made, or there is one
  stopped   the server said never, no token can be had, or the application has closed: nothing until the application asks
"""

from __future__ import annotations

from random import Random

from .effects import Effects
from .names import code_name, retry_name
from .terms import DEFAULTS, Terms


class Reach:
    """Decides when the next connection is made. The timers are those of the latest Welcome (CONN-11)."""

    def __init__(self, effects: Effects, rng: Random, token: str) -> None:
        self._effects = effects
        self._rng = rng
        self.terms: Terms = DEFAULTS
        self.token = token
        self.phase = "resting"
        self.due: float | None = 0
        self.attempts = 0  # connections in a row since a session was healthy
        self._rejected: str | None = None  # a token that is not to be used again (AUTH-2)
        self._end: tuple[str, str, int, int] | None = None  # code, class, window and retry_after of what ends the session

    def ending(self, code: int, retry: int, window_ms: int = 0, retry_after_ms: int = 0) -> None:
        """GoAway, or an Error of session scope: what it says holds when the connection is gone."""
        self._end = (code_name(code), retry_name(retry), window_ms, retry_after_ms)

    def forget(self) -> None:
        """What looked like an end was none."""
        self._end = None

    def dialing(self) -> None:
        self.phase = "busy"
        self.attempts += 1
        self._effects.tell("connection", state="connecting")

    def lost(self, at: float, healthy: bool, why: str) -> None:
        """The connection is gone, or never was; `why` is for a person."""
        if self.phase != "busy":
            return
        if healthy:
            self.attempts = 0
        (code, retry, window_ms, retry_after_ms), self._end = self._end or ("", "RECONNECT", 0, 0), None
        if retry == "NEVER":
            self.stop(code)
            return
        self.phase = "resting"
        # A window spreads the herd by itself (AWAY-6); without one the usual backoff holds (RECON-1).
        wait = self._rng.uniform(0, window_ms) if window_ms > 0 else self.terms.reconnect_delay(self.attempts, self._rng)
        self.due = at + max(wait, retry_after_ms)
        self._effects.tell("connection", state="waiting", **({"code": code} if code else {}), **({"why": why} if why else {}))
        if retry == "REAUTH":
            self._rejected = self.token
            self._effects.tell("needToken")

    def stop(self, code: str = "", login_needed: bool = False) -> None:
        if self.phase == "stopped":
            return
        self.phase = "stopped"
        fields = {"code": code} if code else {}
        if login_needed:
            fields["login_needed"] = True
        self._effects.tell("connection", state="stopped", **fields)

    def renew(self, token: str | None, at: float) -> None:
        """The application's answer to needToken; None when there is none to be had (AUTH-7)."""
        if token is None or token == self._rejected:
            if self._rejected is not None:
                self.stop("TOKEN_REJECTED", login_needed=True)
            return
        self.token = token
        if self._rejected is not None:
            self._rejected = None
            if self.phase == "stopped":  # a login after all: the application asks
                self.phase, self.due = "resting", at

    def pump(self, at: float) -> float | None:
        """Dials when it is time. Gives when to come again."""
        if self.phase != "resting" or self._rejected is not None or self.due is None:
            return None
        if at < self.due:
            return self.due
        self.dialing()
        self._effects.dial()
        return None
