"""How far the user has read, and how far the others are. Chapter 7."""

from __future__ import annotations

from wire.messages import message_class

from .effects import Effects
from .inbox import Inbox, Room
from .names import Key, conversation_of
from .store import Store

Frame, ReadMark = message_class("Frame"), message_class("ReadMark")


class Marks:
    """Both kinds only grow, whatever comes in which order."""

    def __init__(self, store: Store, effects: Effects, inbox: Inbox) -> None:
        self._store = store
        self._effects = effects
        self._inbox = inbox
        self._watermarks = store.watermarks()

    def reset(self) -> None:
        """Another epoch: what was read in the old one names other entries."""
        self._watermarks.clear()

    def read_here(self, key: Key, up_to: int, open: bool) -> None:
        """The user has read up to a seq on this device. Stored, and sent when there is a session (READ-6 sends it otherwise)."""
        room = self._inbox.room(key)
        if up_to <= room.read:
            return
        room.read = up_to
        self._inbox.save(room)
        if open:
            self._send(room)

    def read_elsewhere(self, key: Key, up_to: int) -> None:
        """ReadMark from the server: another device of the user has read."""
        room = self._inbox.room(key)
        room.read_known = max(room.read_known, up_to)
        risen = up_to > room.read
        if risen:
            room.read = up_to
        self._inbox.save(room)
        if risen:
            self._effects.tell("read", conversation=key, up_to=up_to)

    def repeat(self) -> None:
        """Behind a sync: what the server does not know of is said again. ReadMark has no answer that would tell (READ-6)."""
        for room in self._inbox.rooms.values():
            if room.read > room.read_known:
                self._send(room)

    def receipt(self, key: Key, user: str, delivered: int, read: int) -> None:
        """How far another member is. Lower marks are old news (READ-8)."""
        had = self._watermarks.get((key, user), (0, 0))
        marks = (max(had[0], delivered), max(had[1], read))
        if marks == had:
            return
        self._watermarks[key, user] = marks
        self._store.put_watermark(key, user, *marks)
        self._effects.tell("receipt", conversation=key, user=user, delivered=marks[0], read=marks[1])

    def _send(self, room: Room) -> None:
        self._effects.transmit(Frame(read_mark=ReadMark(conversation=conversation_of(room.key), up_to=room.read)))
