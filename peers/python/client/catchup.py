"""Catching up: what has changed (sync), and the entries of it (pull). Chapters 5 and 6.

Sync finds which conversations are behind, pull brings their entries, one page at a time and one pull of a conversation at a time.
What is behind stays behind over lost sessions, since head and cursor are in the store (SYNC-17).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from wire.messages import message_class

from .effects import Effects, soonest
from .inbox import Inbox, Room
from .marks import Marks
from .names import Key, code_name, conversation_of, entry_of, error_frame, key_of, retry_name, skip_name
from .store import Store
from .terms import Terms

Frame, SyncReq, PullOffline = (message_class(name) for name in ("Frame", "SyncReq", "PullOffline"))

PULLS_AT_ONCE = 4
"""The most pulls of all conversations on their way: enough to fill the line, few enough that what is looked at comes next."""

FRUITLESS_MAX = 3
"""After so many pulls in a row that brought nothing the picture is in doubt: sync (GAP-6)."""

OFFLINE_PAGE_KIND = 7

Ask = Callable[[object, object], bool]
"""Sends a request with a context that comes back with its answer; False where the session takes none."""


@dataclass
class Pull:
    """What is known of pulling one conversation, in this session or beyond it."""

    running: bool = False
    after: int = 0
    noticed: bool = False  # while the pull was on its way the server named a head (GAP-8)
    fruitless: int = 0
    not_before: float = 0
    confirm: float | None = None  # when the end of the last page is to be acknowledged (PULL-20)
    refused: bool = False  # not to be had in this session
    ahead: int | None = None  # the head that the server has where it calls the cursor ahead (GAP-11)


class CatchUp:
    """Decides what is asked for next. `lookedAt`: only the conversations that the user looks at are pulled."""

    def __init__(
        self, store: Store, effects: Effects, rng: Random, inbox: Inbox, marks: Marks, terms: Terms, looked_only: bool
    ) -> None:
        self._store, self._effects, self._rng, self._inbox, self._marks = store, effects, rng, inbox, marks
        self.terms = terms
        self._looked_only = looked_only
        self._looked: list[Key] = []  # the latest first
        self._pulls: dict[Key, Pull] = {}
        self._sync_wanted = False
        self._sync_running = False
        self._sync_due: float | None = None
        self._sync_not_before = 0.0
        self._sync_faults = 0
        self._chain: list = []

    def _pull(self, key: Key) -> Pull:
        return self._pulls.setdefault(key, Pull())

    # --- what happens

    def look(self, key: Key) -> None:
        """The user looks at a conversation: it comes first (PULL-13)."""
        if key in self._looked:
            self._looked.remove(key)
        self._looked.insert(0, key)
        self._inbox.room(key)

    def doubt(self) -> None:
        """Something says that the picture may be wrong: sync, once more behind a chain that is running (SYNC-9)."""
        self._sync_wanted = True

    def opened(self, terms: Terms) -> None:
        """Welcome: what came while the device was away is announced nowhere else (SYNC-8)."""
        self.terms = terms
        self._sync_wanted = True
        self._sync_not_before = 0
        self._sync_faults = 0

    def lost(self) -> None:
        """What is behind stays behind; what was asked for in the session is forgotten (RECON-4)."""
        self._sync_running = False
        self._chain.clear()
        for pull in self._pulls.values():
            pull.running = pull.noticed = pull.refused = False
            pull.confirm = None

    def noticed(self, key: Key, head: int) -> None:
        """The server has named a head, by HeadNotify or for a send that has left the outbox."""
        room, pull = self._inbox.room(key), self._pull(key)
        if head > room.head:
            room.head = head
            self._inbox.save(room)
        pull.noticed = True
        pull.refused = False

    def acknowledged(self, key: Key) -> None:
        """A DeliverAck covers the conversation's cursor: no pull has to say so (PULL-20)."""
        self._pull(key).confirm = None

    # --- what is to be asked

    def pump(self, at: float, ask: Ask) -> float | None:
        """Asks for what may be asked for now. Gives when to come again."""
        wake = self._pump_sync(at, ask)
        if self._inbox.rebasing:
            return wake  # no cursor may be used before the sync has named the server's (RECON-6)
        running = sum(pull.running for pull in self._pulls.values())
        for room in self._in_order():
            pull = self._pull(room.key)
            if pull.running or pull.refused:
                continue
            due, entries_max = self._due(room, pull)
            if due is None:
                continue
            due = max(due, pull.not_before)
            if at < due:
                wake = soonest(wake, due)
            elif running < PULLS_AT_ONCE:
                request = PullOffline(conversation=conversation_of(room.key), after=room.cursor, entries_max=entries_max)
                if not ask(Frame(pull_offline=request), room.key):
                    return wake
                running += 1
                pull.running, pull.noticed, pull.after, pull.confirm = True, False, room.cursor, None
        return wake

    def _in_order(self) -> list[Room]:
        looked = [self._inbox.room(key) for key in self._looked]
        return looked + [room for room in self._inbox.rooms.values() if room.key not in self._looked]

    def _due(self, room: Room, pull: Pull) -> tuple[float | None, int]:
        """When a conversation is to be pulled, and how many entries are wanted of it; 0 is a page of the server's size."""
        if room.mend:
            return 0, 1
        if room.missing and room.hole_since is not None:
            # The hole first, whatever the head: it may close by itself, and the own slot's SendAck be on its way (GAP-2, GAP-4).
            return room.hole_since + self.terms.gap_grace_ms, room.hole_end - room.cursor
        wanted = not self._looked_only or room.key in self._looked
        if wanted and room.head > room.cursor:
            return 0, 0
        return pull.confirm, 0

    def _pump_sync(self, at: float, ask: Ask) -> float | None:
        if self._sync_running:
            return None
        if self._sync_due is not None and at >= self._sync_due:
            self._sync_wanted = True
        if not self._sync_wanted:
            return self._sync_due
        if at < self._sync_not_before:
            return self._sync_not_before
        self._chain = []
        if self._ask_sync(ask, b""):
            self._sync_wanted = False
            # A little before its time: the clause counts from SyncReq to SyncReq (SYNC-9).
            self._sync_due = at + self.terms.audit_ms * self._rng.uniform(0.6, 0.8)
        return None

    def _ask_sync(self, ask: Ask, page: bytes) -> bool:
        self._sync_running = ask(Frame(sync_req=SyncReq(token=self._store.get("sync_token", b""), page=page)), None)
        return self._sync_running

    # --- answers

    def synced(self, page, ask: Ask) -> None:
        """A SyncPage. Heads and token are stored at the end of the chain, in one act (SYNC-7)."""
        self._sync_running = False
        self._sync_faults = 0
        self._chain.extend(page.conversations)
        if page.next_page:
            self._ask_sync(ask, page.next_page)
            return
        states, self._chain = self._chain, []
        with self._store.act():
            self._take_states(states)
            if page.token:
                self._store.put("sync_token", page.token)
        self._marks.repeat()
        self._effects.tell("synced")

    def _take_states(self, states: list) -> None:
        named = {key: state for state in states if (key := key_of(state.conversation)) is not None}
        if self._inbox.rebasing:
            for room in self._inbox.rooms.values():
                state = named.get(room.key)
                self._inbox.rebase(room, state.cursor if state else 0, state.head if state else 0)
            self._inbox.end_rebase()
        for key, pull in self._pulls.items():
            if pull.ahead is not None:
                # The server's head is to be trusted, whether or not the chain names the conversation (CURSOR_AHEAD).
                head = named[key].head if key in named else pull.ahead
                self._inbox.rebase(self._inbox.room(key), head, head)
                pull.ahead, pull.refused = None, False
        for key, state in named.items():
            room = self._inbox.room(key)
            room.head = max(room.head, state.head)
            room.read_known = state.read_seq
            self._inbox.save(room)
            if state.read_seq > room.read:
                self._marks.read_elsewhere(key, state.read_seq)
            for mark in state.watermarks:
                self._marks.receipt(key, mark.user_id, mark.delivered_seq, mark.read_seq)

    def sync_refused(self, error, at: float, ask: Ask) -> None:
        """Without a token the chain begins anew (SYNC-16); anything else is tried again later."""
        self._sync_running = False
        self._chain.clear()
        if code_name(error.code) == "SYNC_TOKEN_INVALID" and self._store.get("sync_token", b""):
            self._store.put("sync_token", b"")
            self._sync_due = at + self.terms.audit_ms * self._rng.uniform(0.6, 0.8)
            self._ask_sync(ask, b"")
            return
        self._sync_faults += 1
        delay = max(self.terms.send_delay(self._sync_faults, self._rng), error.retry_after_ms)
        self._sync_not_before = at + delay
        # Even never is no reason to stay without a picture: the audit asks again.
        self._sync_wanted = retry_name(error.retry) != "NEVER"

    def pulled(self, key: Key, page, at: float) -> None:
        """An OfflinePage: stored with its cursor before anything else is asked for (PULL-11)."""
        room, pull = self._inbox.room(key), self._pull(key)
        pull.running = False
        before, was_damaged = room.cursor, dict(room.damaged)
        entries = [entry_of(entry, self._inbox.user) for entry in page.entries]
        skipped = None
        if page.HasField("skipped"):
            skipped = (getattr(page.skipped, "from"), page.skipped.up_to, skip_name(page.skipped.reason))
        for seq in self._inbox.paged(room, entries, skipped, at):
            # Only the operator can look into the store (GAP-15).
            self._effects.transmit(error_frame("BODY_DAMAGED", OFFLINE_PAGE_KIND, key, seq))
        if room.cursor > before or room.damaged != was_damaged:
            pull.fruitless, pull.not_before = 0, 0
        elif page.has_more or room.missing or room.mend:
            self._fruitless(pull, at)
        if page.has_more:
            room.head = max(room.head, page.head, room.cursor + 1 if room.cursor == before else 0)
        elif not pull.noticed:
            room.head = max(page.head, room.cursor)  # the latest that the server has said
        elif room.cursor == before and page.head <= room.cursor:
            self._fruitless(pull, at)
        if room.cursor > before:
            self._inbox.save(room)
            pull.confirm = at + self.terms.ack_delay_ms_max / 2

    def _fruitless(self, pull: Pull, at: float) -> None:
        pull.fruitless += 1
        pull.not_before = at + self.terms.send_delay(pull.fruitless, self._rng)
        if pull.fruitless % FRUITLESS_MAX == 0:
            self.doubt()

    def pull_refused(self, key: Key, error, at: float) -> None:
        """A pull that was refused: what the class says, for this conversation alone."""
        pull = self._pull(key)
        pull.running = False
        if code_name(error.code) == "CURSOR_AHEAD" or retry_name(error.retry) == "AFTER_RESYNC":
            pull.ahead = error.seq if error.HasField("seq") else None
            pull.refused = pull.ahead is not None  # until the sync has brought the cursor back
            pull.not_before = at + self.terms.send_delay(1, self._rng)
            self.doubt()
        elif retry_name(error.retry) == "NEVER":
            pull.refused = True
        else:
            pull.fruitless += 1
            pull.not_before = at + max(self.terms.send_delay(pull.fruitless, self._rng), error.retry_after_ms)
