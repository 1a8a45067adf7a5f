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
import traceback
from typing import TYPE_CHECKING

from google.protobuf.message import Message

from .intake import Rates
from .people import People
from .settings import Settings
from .store import Store

if TYPE_CHECKING:
    from .link import Link
    from .session import Session

log = logging.getLogger("imwire")

FRAMES_IN_A_TURN_MAX = 256  # then others have their turn


def where(error: Exception) -> str:
    """A fault for the log: its kind and its places. Its text may hold what a peer has sent, and stays out (SEC-3)."""
    places = " < ".join(f"{step.name}:{step.lineno}" for step in reversed(traceback.extract_tb(error.__traceback__)))
    return f"a fault of the server, {type(error).__name__} in {places}"


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
        self.empty = asyncio.Event()  # set when the last link has gone
        self._sessions: dict[str, dict[str, Session]] = {}
        self._writing: dict[Session, None] = {}  # who has something queued, in the order in which it came
        self._hellos: list[tuple[Session, Message]] = []
        self._backlog: dict[Link, None] = {}
        self._flushing = False
        self.frames_this_turn = 0

    def link_made(self, link: Link) -> None:
        self.links.add(link)
        self.empty.clear()

    def link_lost(self, link: Link) -> None:
        self.links.discard(link)
        if not self.links:
            self.empty.set()

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

    def has_hello(self, session: Session, hello: Message) -> None:
        self._hellos.append((session, hello))
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
        hellos, self._hellos = self._hellos, []
        try:
            for session, hello in hellos:
                session.greet(hello)
            self.store.commit()
        except Exception as error:  # the store, or whatever else: what is queued is not true
            self.give_up_turn(where(error))
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
