"""Pushes, notices and acks: the one push rule. Chapter 5 of the specification.

For each conversation a session has a Place: up to where it has been handed everything (PUSH-13), and up to where it was told that
there is more. An entry is pushed where it joins what was handed and the window has room; otherwise HeadNotify says that it waits,
and the device pulls it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wire.messages import message_class

from . import receipts
from .frames import Refusal
from .view import Log

if TYPE_CHECKING:
    from .session import Session

Frame = message_class("Frame")
Push = message_class("Push")
Entry = message_class("Entry")
HeadNotify = message_class("HeadNotify")

PUSH_SEQ_MAX = (1 << 32) - 1


@dataclass
class Place:
    """Where a session stands in a conversation."""

    handed: int
    notified: int = 0
    # Entries wait that joined when they were committed, while the session was slow: they are pushed once it is not.
    owed: bool = False


@dataclass
class Pushes:
    """The pushes of a session."""

    window: int = 0
    sent: int = 0  # the highest push_seq
    acknowledged: int = 0
    waiting_since: float = 0.0  # when the device last acknowledged something, or was pushed to with nothing unacknowledged
    unacknowledged: deque[tuple[int, tuple[str, str, str], int]] = field(default_factory=deque)  # push_seq, conversation, seq
    places: dict[tuple[str, str, str], Place] = field(default_factory=dict)
    waiting: dict[tuple[str, str, str], None] = field(default_factory=dict)  # conversations with something to push or notify
    receipts: dict[tuple, None] = field(default_factory=dict)  # marks to tell of: joined until the session takes them

    def clear(self) -> None:
        for queue in (self.unacknowledged, self.places, self.waiting, self.receipts):
            queue.clear()


def place_of(session: Session, log: Log) -> Place:
    places = session.pushes.places
    if log.key not in places:
        # What the cursor has moved in this session was told in this session, so now is as good as the session's start.
        places[log.key] = Place(session.hub.store.cursor(log, session.user, session.device))
    return places[log.key]


def hand(session: Session, log: Log, first: int, last: int) -> None:
    """Entries from first to last were given to the session: they count where they join what was handed before (PUSH-13)."""
    place = place_of(session, log)
    if first <= place.handed + 1 and last > place.handed:
        place.handed = last
        _pass_own(session, log, place)


def _pass_own(session: Session, log: Log, place: Place) -> None:
    """Counts entries behind what was handed that this very device sent: their SendAcks have filled the slots (PUSH-15)."""
    store = session.hub.store
    while store.sender(log, place.handed + 1) == (session.user, session.device):
        place.handed += 1


def committed(log: Log, seq: int, origin: Session) -> None:
    """Hands a new entry to every session of every member but the one that sent it (PUSH-2, PUSH-12)."""
    for user in origin.hub.store.members(log):
        for session in origin.hub.sessions_of(user):
            if session is origin:
                continue
            place = place_of(session, log)
            place.owed = place.owed or place.handed == seq - 1
            session.pushes.waiting[log.key] = None
            if not session.slow:
                go_on(session)


def go_on(session: Session) -> None:
    """Sends what waits for a session, as long as its connection takes it (PUSH-10, PUSH-19)."""
    if session.phase != "open":
        return
    waiting = session.pushes.waiting
    while waiting and not session.slow:
        key = next(iter(waiting))
        if _bring_up(session, key):
            waiting.pop(key, None)
    while session.pushes.receipts and not session.slow:
        what = next(iter(session.pushes.receipts))
        del session.pushes.receipts[what]
        receipts.tell(session, what)


def _bring_up(session: Session, key: tuple[str, str, str]) -> bool:
    """Pushes or notifies one conversation up to its head. False when the session became slow over it."""
    store = session.hub.store
    log = store.find_log(key)
    view = store.view(log, session.user)
    place = place_of(session, log)
    pushes = session.pushes
    while place.owed and place.handed < view.head and view.sees(place.handed + 1):
        if session.slow:
            return False
        if len(pushes.unacknowledged) >= pushes.window:
            break
        encoded = store.entry(log, place.handed + 1)
        if encoded is None:
            break  # it has left the floor since: the device pulls, and is told so
        _push(session, log, place, Entry.FromString(encoded))
        if session.phase != "open":
            return True
    place.owed = False
    notify(session, log, view.head)
    return True


def _push(session: Session, log: Log, place: Place, entry: Entry) -> None:
    pushes = session.pushes
    if pushes.sent >= PUSH_SEQ_MAX:
        session.go_away("DRAINING")  # LIM-11
        return
    pushes.sent += 1
    if not pushes.unacknowledged:
        pushes.waiting_since = session.hub.clock.now_ms()
    pushes.unacknowledged.append((pushes.sent, log.key, entry.seq))
    session.send(Frame(push=Push(push_seq=pushes.sent, conversation=log.named_for(session.user), entry=entry)))
    hand(session, log, entry.seq, entry.seq)


def notify(session: Session, log: Log, head: int) -> None:
    """Says how far the conversation goes, where the session has not been handed or told it (PUSH-3, PUSH-10)."""
    place = place_of(session, log)
    if head > place.handed and head > place.notified:
        place.notified = head
        session.send(Frame(head_notify=HeadNotify(conversation=log.named_for(session.user), head=head)))


def settle(session: Session, log: Log, head: int) -> None:
    """Before the SendAck of an entry, everything in front of it is handed or notified (PUSH-11)."""
    if log.key in session.pushes.waiting:
        go_on(session)
    place_of(session, log).owed = False
    notify(session, log, head)


def acknowledge(session: Session, up_to: int) -> None:
    """DeliverAck. Raises Refusal ACK_TOO_HIGH."""
    pushes = session.pushes
    if up_to > pushes.sent:
        raise Refusal("ACK_TOO_HIGH")
    if up_to <= pushes.acknowledged:
        return  # ACK-4
    pushes.acknowledged = up_to
    furthest: dict[tuple[str, str, str], int] = {}
    while pushes.unacknowledged and pushes.unacknowledged[0][0] <= up_to:
        _, key, seq = pushes.unacknowledged.popleft()
        furthest[key] = seq
    pushes.waiting_since = session.hub.clock.now_ms()
    for key, seq in furthest.items():
        receipts.move_cursor(session, session.hub.store.find_log(key), seq)
    go_on(session)
    session.acks_moved()
