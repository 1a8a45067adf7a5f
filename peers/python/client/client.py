"""The client that an application uses: the engine with a clock, a network and a store.

    client = Client("tcp://host:7801", device="phone-1", token="t", folder="data", on_event=print)
    client.start()
    id = client.send(("user", "ben"), "text/plain", b"hi")
    ...
    await client.close()

Events are (name, fields): state, message, gap, connection, needToken, receipt, read, unconfirmed, synced.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

from wire import FrameReader, WireError, encode

from .engine import Engine
from .link import DIAL_S, LINGER_S, Link, check_url, dial
from .names import Entry, Key
from .past import History
from .store import Store
from .terms import ID_BYTES_MAX, TOKEN_BYTES_MAX

WRITE_BYTES = 64 * 1024
"""Records that go out together are joined up to about so many bytes."""


class UsageError(Exception):
    """The caller's mistake, in a sentence: nothing has been done."""


class RefusedError(Exception):
    """The server refused a request; the text is its code."""


def new_id(now_ms: int) -> bytes:
    """A UUIDv7: rises with time, and cannot be met twice (SEND-2)."""
    random = bytearray(os.urandom(10))
    random[0] = random[0] & 0x0F | 0x70
    random[2] = random[2] & 0x3F | 0x80
    return now_ms.to_bytes(6, "big") + bytes(random)


def check_text(what: str, text: str, most: int) -> None:
    """A text that the wire can carry: 1 to `most` bytes of UTF-8 (LIM-12)."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise UsageError(f"{what} is not text: it holds half of a character") from None
    if not 1 <= size <= most:
        raise UsageError(f"{what} has {size} bytes; 1 to {most} are allowed")


class Client:
    """One device of one user. All calls belong to the thread of its event loop; those that say nothing else return at once."""

    def __init__(
        self,
        url: str,
        device: str,
        token: str,
        folder: str | Path,
        on_event: Callable[[str, dict], None],
        *,
        receive_window: int | None = None,
        looked_only: bool = False,
    ) -> None:
        """Opens the folder. Raises UsageError and StoreError.

        receive_window  how many pushes without an acknowledgement are taken; None: the server's default, 0: none
        looked_only     pull only the conversations that `look` has named; None of the others is lost
        """
        check_text("the device id", device, ID_BYTES_MAX)
        check_text("the token", token, TOKEN_BYTES_MAX)
        try:
            check_url(url)
        except ValueError as error:
            raise UsageError(str(error)) from None
        self._url = url
        self._on_event = on_event
        self._store = Store(folder)
        self._engine = Engine(
            self._store, Random(), device, token, receive_window=receive_window, looked_only=looked_only
        )
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._soon: asyncio.Handle | None = None
        self._dialing: asyncio.Task[None] | None = None
        self._link: Link | None = None
        self._last_link: Link | None = None
        self._reader = FrameReader()
        self._closed = False

    def start(self) -> None:
        """Connects, and comes back by itself from then on (RECON-3)."""
        self._wake()

    async def close(self) -> None:
        """Closes in good order: what is stored is acknowledged, and the folder is let go of. What is open stays in it."""
        if self._closed:
            return
        self._engine.leave(self._now())
        self._carry_out()
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._dialing is not None:
            self._dialing.cancel()
        if self._last_link is not None:
            await asyncio.wait([self._last_link.ended], timeout=LINGER_S * 1.5)
        self._store.close()

    # --- the application

    def send(self, key: Key, content_type: str, body: bytes) -> bytes:
        """Queues a message, durably; gives its id. Raises UsageError for what no server would take (LIM-12)."""
        check_text("the id", key[1], ID_BYTES_MAX)
        check_text("the content type", content_type, ID_BYTES_MAX)
        most = self._engine.outbox.terms.body_bytes_max
        if self._engine.open and len(body) > most:
            raise UsageError(f"the body has {len(body)} bytes; the server takes {most}")
        now = self._wall_ms()
        send = self._engine.outbox.add(key, new_id(now), content_type, body, now)
        self._wake()
        return send.id

    def resend(self, id: bytes) -> None:
        """Sends again what was given up, under its old id (SEND-20)."""
        if not self._engine.outbox.resend(id):
            raise UsageError("there is no send with this id that could be sent again")
        self._wake()

    def withdraw(self, id: bytes) -> None:
        """Takes a send out of the outbox. It may be in the conversation all the same, if it was transmitted."""
        if not self._engine.outbox.withdraw(id):
            raise UsageError("there is no open send with this id")
        self._wake()

    def look(self, key: Key) -> None:
        """The user looks at a conversation: it is pulled before the others (PULL-13)."""
        self._engine.catchup.look(key)
        self._wake()

    def sync(self) -> None:
        """Asks the server what has changed."""
        self._engine.catchup.doubt()
        self._wake()

    async def history(self, key: Key, before: int = 0, limit: int = 0) -> list[Entry]:
        """Older entries, in rising seq: those in front of `before`, or the latest for 0. Waits for a session."""
        answer: asyncio.Future[list[Entry]] = self._loop.create_future()

        def done(entries: list[Entry] | None, code: str) -> None:
            if not answer.done():
                answer.set_exception(RefusedError(code)) if entries is None else answer.set_result(entries)

        self._engine.history(History(key, before, limit, done))
        self._wake()
        return await answer

    def mark_read(self, key: Key, up_to: int) -> None:
        """The user has read everything up to a seq."""
        self._engine.marks.read_here(key, up_to, self._engine.open)
        self._wake()

    def token(self, token: str | None) -> None:
        """A newer token, or None where there is none to be had; answers the event needToken."""
        if token is not None:
            check_text("the token", token, TOKEN_BYTES_MAX)
        self._engine.renew_token(token, self._now())
        self._wake()

    def messages(self, key: Key) -> tuple[list[Entry], list]:
        """What there is to show: entries by seq, and the sends that are open or were given up behind them (ORDER-11)."""
        room = self._engine.inbox.room(key)
        # Behind a hole only what this device wrote itself is shown: its place is certain (GAP-5).
        entries = [
            entry for entry in self._store.entries(key, unconfirmed=True) if entry.seq <= room.cursor or entry.own or not room.missing
        ]
        return entries, self._engine.outbox.of(key)

    # --- the link

    def link_opened(self, link: Link) -> None:
        self._link = self._last_link = link
        self._reader = FrameReader()
        self._engine.connected(self._now())
        self._settle()

    def link_alive(self, link: Link) -> None:
        if self._engine.session is not None:
            self._engine.session.hear(self._now())

    def link_bytes(self, link: Link, data: bytes, message: bool) -> None:
        reader, engine = self._reader, self._engine
        try:
            for frame in reader.feed_message(data) if message else reader.feed(data):
                engine.received(frame, self._now())
                reader.limit = engine.frame_bytes_max
                if engine.session is None or engine.session.phase == "closed":
                    break  # nothing behind the end counts
        except WireError as error:
            if engine.session is not None:
                engine.broken(error.code)
        self._settle()

    def link_text(self, link: Link) -> None:
        if self._engine.session is not None:
            self._engine.broken("MALFORMED")
        self._settle()

    def link_closed(self, link: Link, why: str) -> None:
        # Before it was open it is the dialling that has failed.
        self._link = None
        self._engine.lost(self._now(), why)
        self._settle()

    # --- the driver

    def _now(self) -> float:
        return self._loop.time() * 1000

    @staticmethod
    def _wall_ms() -> int:
        return time.time_ns() // 1_000_000

    def _wake(self) -> None:
        """Settles soon, once for all that happens in this turn of the loop."""
        if self._soon is None:
            self._soon = self._loop.call_soon(self._settle)

    def _settle(self) -> None:
        """Does what is due, carries it out, and sets the one timer."""
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        if self._closed:
            return
        again = self._engine.pump(self._now(), self._wall_ms())
        if self._carry_out():
            again = self._engine.pump(self._now(), self._wall_ms())
            self._carry_out()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if again is not None and not self._closed:
            self._timer = self._loop.call_at(again / 1000, self._settle)

    def _carry_out(self) -> bool:
        """Carries the effects out, in order. True when the connection has ended by it, so that what is due has changed."""
        ended = False
        records: list[bytes] = []
        while effects := self._engine.effects.take():
            for effect, *rest in effects:
                if effect == "transmit":
                    records.append(encode(rest[0]))
                elif effect == "tell":
                    self._on_event(*rest)
                elif effect == "dial":
                    self._dialing = self._loop.create_task(self._dial())
                elif effect == "hang up":
                    self._write(records)
                    link, self._link = self._link, None
                    if link is not None:
                        link.close(at_once=rest[0])
                    self._engine.lost(self._now())
                    ended = True
        self._write(records)
        return ended

    def _write(self, records: list[bytes]) -> None:
        if records and self._link is not None:
            self._engine.session.say(self._now())
            part = bytearray()
            for record in records:
                if part and len(part) + len(record) > WRITE_BYTES:
                    self._link.send(bytes(part))
                    part.clear()
                part += record
            self._link.send(bytes(part))
        records.clear()

    async def _dial(self) -> None:
        link = None
        try:
            link = await dial(self._url, self)
            self._last_link = link
            # The upgrade of WebSocket may still hang.
            await asyncio.sleep(DIAL_S)
            if self._engine.session is None and self._link is None and not link.ended.done():
                link.close(at_once=True)
                raise OSError("the server does not answer the upgrade")
        except OSError as error:
            if not self._closed:
                self._engine.lost(self._now(), str(error))
                self._settle()
