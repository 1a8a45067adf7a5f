"""What all sessions share, and the turn: everything that was taken in since the last one becomes durable, then all answers leave.

The server is one thread. Frames are taken in one after the other, each completely, on the store's open transaction; what they
answer is queued by session. At the end of the event loop's turn `flush` commits once and writes the queues. So order is the
order of arrival (ORDER-10, BEAT-8), nothing is ever "being decided" when the next frame is read (ORDER-5, DEDUP-6, QUERY-3), and
no frame tells of what is not durable (SEND-3, PUSH-5).
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from typing import TYPE_CHECKING

from .intake import Rates
from .people import People
from .settings import Settings
from .store import Store

if TYPE_CHECKING:
    from .link import Link
    from .session import Session

log = logging.getLogger("imwire")

FRAMES_IN_A_TURN_MAX = 256  # then others have their turn


class Clock:
    """Time, in one place: monotonic for timers, wall time for people."""

    def now_ms(self) -> float:
        return time.monotonic() * 1000

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000


class Hub:
    def __init__(self, store: Store, people: People, settings: Settings, clock: Clock) -> None:
        self.store = store
        self.people = people
        self.settings = settings
        self.clock = clock
        self.rates = Rates(self)
        self.links: set[Link] = set()
        self._sessions: dict[str, dict[str, Session]] = {}
        self._writing: dict[Session, None] = {}  # who has something queued, in the order in which it came
        self._backlog: dict[Link, None] = {}
        self._flushing = False
        self.frames_this_turn = 0

    # --- sessions --------------------------------------------------------------------------------------------------------

    def sessions_of(self, user: str) -> list[Session]:
        return list(self._sessions.get(user, {}).values())

    def all_sessions(self) -> list[Session]:
        return [session for devices in self._sessions.values() for session in devices.values()]

    def session_of(self, user: str, device: str) -> Session | None:
        return self._sessions.get(user, {}).get(device)

    def opened(self, session: Session) -> None:
        self._sessions.setdefault(session.user, {})[session.device] = session

    def gone(self, session: Session) -> None:
        """Takes a session off the list; one that was replaced is not on it any more (DEV-4)."""
        devices = self._sessions.get(session.user, {})
        if devices.get(session.device) is session:
            del devices[session.device]
            if not devices:
                del self._sessions[session.user]

    # --- turns -----------------------------------------------------------------------------------------------------------

    def has_output(self, session: Session) -> None:
        self._writing[session] = None
        self.end_turn_soon()

    def has_backlog(self, link: Link) -> None:
        self._backlog[link] = None
        self.end_turn_soon()

    def end_turn_soon(self) -> None:
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self.flush)

    def flush(self) -> None:
        self._flushing = False
        self.end_turn()

    def end_turn(self) -> None:
        self.frames_this_turn = 0
        try:
            self.store.commit()
        except sqlite3.Error as error:
            self.give_up_turn(f"the store failed to commit: {error}")
        writing, self._writing = self._writing, {}
        for session in writing:
            session.write()
        backlog, self._backlog = self._backlog, {}
        for link in backlog:
            if link.writable:
                link.pump()

    def give_up_turn(self, why: str) -> None:
        """Nothing of this turn can be said: it is undone, and all sessions end. To their clients what they asked is unknown, as it is."""
        log.error("%s; all sessions end", why)
        try:
            self.store.rollback()
        except sqlite3.Error:
            log.exception("the turn could not be undone")
        for link in list(self.links):
            link.session.fail()
