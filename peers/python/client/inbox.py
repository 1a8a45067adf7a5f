"""The inbox: what each conversation holds on this device, and how it grows without a hole. Chapter 5.

A conversation is the rising run of entries up to its cursor. What comes above the cursor waits in `held` until what is missing has
come; only what joins is stored with the cursor, handed up, and acknowledged.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .effects import Effects
from .names import Entry, Key
from .outbox import Outbox, Send
from .store import Store

HELD_MAX = 512
"""The most entries that a conversation holds behind a hole. Beyond it the newest go: they can be pulled (GAP-7)."""

PULLS_MAX = 3
"""How often a damaged entry is pulled before its slot is passed as damaged (GAP-13, GAP-14)."""


@dataclass
class Room:
    """One conversation on this device.

    cursor  everything up to it is durable here, or the server does not give it
    head    the highest seq that the server has named
    held    entries above the cursor + 1, by seq; those in `kept` are in the store already
    """

    key: Key
    cursor: int = 0
    head: int = 0
    read: int = 0
    read_known: int = 0
    held: dict[int, Entry] = field(default_factory=dict)
    kept: set[int] = field(default_factory=set)
    hole_since: float | None = None
    damaged: dict[int, int] = field(default_factory=dict)  # pulls that brought it damaged, by seq
    mend: bool = False  # the entry behind the cursor was damaged: pull it again, now

    @property
    def missing(self) -> bool:
        """Whether something held waits for what is in front of it."""
        return bool(self.held)

    @property
    def hole_end(self) -> int:
        """The highest seq that is held: a repair asks for nothing above it (GAP-2)."""
        return max(self.held)


class Inbox:
    """All conversations of the device. `user` is the session's user, by whom own entries are known."""

    def __init__(self, store: Store, effects: Effects, outbox: Outbox) -> None:
        self._store = store
        self._effects = effects
        self._outbox = outbox
        self.user = store.get("user", "")
        # True between a Welcome of another epoch and its sync: no cursor may be used (RECON-6).
        self.rebasing = bool(store.get("rebasing", 0))
        self.rooms: dict[Key, Room] = {}
        for key, cursor, head, read, read_known in store.conversations():
            room = Room(key, cursor, head, read, read_known)
            for entry in store.entries(key, above=cursor):
                room.held[entry.seq] = entry
                room.kept.add(entry.seq)
            self.rooms[key] = room

    def room(self, key: Key) -> Room:
        return self.rooms.setdefault(key, Room(key))

    def save(self, room: Room) -> None:
        self._store.put_conversation(room.key, room.cursor, room.head, room.read, room.read_known)

    # --- entries

    def pushed(self, room: Room, entry: Entry, at: float) -> None:
        """One entry, live. It is stored when it joins, and held otherwise."""
        if entry.seq > room.cursor and entry.condition == "damaged":
            room.damaged.setdefault(entry.seq, 0)
            room.head = max(room.head, entry.seq)
            room.mend = room.mend or entry.seq == room.cursor + 1
            return
        self._hold(room, entry)
        self._join(room, at)

    def paged(self, room: Room, entries: list[Entry], skipped: tuple[int, int, str] | None, at: float) -> list[int]:
        """A page. Gives the seqs that are kept as damaged from here on, to be reported (GAP-15)."""
        given_up: list[int] = []
        for entry in entries:
            if entry.seq <= room.cursor:
                continue
            if entry.condition == "damaged":
                pulls = room.damaged.get(entry.seq, 0) + 1
                room.damaged[entry.seq] = pulls
                if pulls < PULLS_MAX:
                    continue
                given_up.append(entry.seq)
            self._hold(room, entry)
        self._join(room, at, skipped)
        room.mend = room.cursor + 1 in room.damaged
        return given_up

    def accepted(self, send: Send, seq: int, server_time_ms: int, at: float) -> None:
        """A SendAck fills the device's own slot: nothing else will (PUSH-15). Seq and outbox are one act (SEND-24)."""
        room = self.room(send.key)
        entry = Entry(
            seq, "intact", server_time_ms, self.user, send.id, send.content_type, send.body, send.client_time_ms, own=True
        )
        with self._store.act():
            self._outbox.settle(send.key, send.id)
            self._effects.tell("state", client_msg_id=send.id, state="sent", seq=seq)
            if seq > room.cursor:
                self._store.put_entry(room.key, entry)
                room.held[seq] = entry
                room.kept.add(seq)
                self.save(room)
                self._join(room, at)

    def _hold(self, room: Room, entry: Entry) -> None:
        if entry.seq <= room.cursor or entry.seq in room.held:
            return
        room.held[entry.seq] = entry
        # What closes the hole is held for a moment only. What this device wrote itself is in the store already.
        if entry.seq > room.cursor + 1 and len(room.held) > HELD_MAX:
            newest = max((seq for seq in room.held if seq not in room.kept), default=0)
            room.held.pop(newest, None)
            room.head = max(room.head, newest)

    def _join(self, room: Room, at: float, skipped: tuple[int, int, str] | None = None) -> None:
        """Moves the cursor over what joins: entries, cursor and outbox in one act (ACK-10, PULL-11), then the application."""
        cursor = room.cursor
        if skipped is not None and skipped[0] <= cursor + 1 <= skipped[1]:
            skipped = (cursor + 1, skipped[1], skipped[2])
            cursor = skipped[1]
        else:
            skipped = None
        joined: list[Entry] = []
        while cursor + 1 in room.held:
            cursor += 1
            joined.append(room.held[cursor])
        if cursor > room.cursor:
            self._store_joined(room, cursor, joined, skipped)
        # The grace begins anew for another hole, and goes on for the same one (GAP-2).
        if not room.held:
            room.hole_since = None
        elif room.hole_since is None or cursor > room.cursor:
            room.hole_since = at
        room.cursor = cursor

    def _store_joined(self, room: Room, cursor: int, joined: list[Entry], skipped: tuple[int, int, str] | None) -> None:
        settled: list[tuple[Send, int]] = []
        new: list[Entry] = []
        with self._store.act():
            if skipped is not None:
                self._store.put_gap(room.key, *skipped)
            for entry in joined:
                # What was shown before its epoch went, and is given again, is not handed up twice (ACK-12, RECON-7).
                if not self._store.confirm(room.key, entry):
                    new.append(entry)
                if entry.seq not in room.kept:
                    self._store.put_entry(room.key, entry)
                if entry.own and (send := self._outbox.settle(room.key, entry.client_msg_id)):
                    settled.append((send, entry.seq))
            before, room.cursor = room.cursor, cursor
            room.head = max(room.head, cursor)
            self.save(room)
            room.cursor = before  # the caller moves it, when all of this is done
        for seq in [seq for seq in (*room.held, *room.kept, *room.damaged) if seq <= cursor]:
            room.held.pop(seq, None)
            room.kept.discard(seq)
            room.damaged.pop(seq, None)
        if skipped is not None:
            first, last, reason = skipped
            self._effects.tell("gap", conversation=room.key, first=first, last=last, reason=reason)
        for send, seq in settled:
            self._effects.tell("state", client_msg_id=send.id, state="sent", seq=seq)
        for entry in new:
            self._effects.tell("message", conversation=room.key, entry=entry)

    # --- another epoch

    def begin_rebase(self) -> None:
        """Another epoch: the old cursors mean nothing until a sync has named the server's (RECON-6). Inside an act."""
        self.rebasing = True
        self._store.put("rebasing", 1)
        self._store.drop_watermarks()
        for room in self.rooms.values():
            room.head = room.read_known = 0
            for seq in [seq for seq in room.held if seq not in room.kept]:
                del room.held[seq]
            room.damaged.clear()
            room.mend = False
            self.save(room)

    def rebase(self, room: Room, cursor: int, head: int) -> None:
        """Goes back to the server's cursor, or stays where this device is if that is lower. Inside an act.

        The entries above are kept as not confirmed; those that the server gives again are confirmed by it (RECON-7).
        """
        room.cursor = min(room.cursor, cursor, head)
        room.read = min(room.read, head)
        room.head = max(room.head, head) if self.rebasing else head  # what was noticed since Welcome is of the new log
        top = self._store.leave_behind(room.key, room.cursor)
        self._store.drop_gaps(room.key, room.cursor)
        room.held.clear()
        room.kept.clear()
        room.damaged.clear()
        room.hole_since = None
        self.save(room)
        if top > room.cursor:
            self._effects.tell("unconfirmed", conversation=room.key, above=room.cursor)

    def end_rebase(self) -> None:
        """Every conversation has its cursor of the new epoch. Inside an act."""
        self.rebasing = False
        self._store.put("rebasing", 0)
