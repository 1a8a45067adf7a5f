"""Cursors of devices, and the marks that people see of each other. Chapter 7 of the specification."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from google.protobuf.message import Message

from wire.messages import message_class

from .frames import Refusal
from .names import find
from .view import Log

if TYPE_CHECKING:
    from .session import Session

Frame = message_class("Frame")
ReadMark = message_class("ReadMark")
Receipt = message_class("Receipt")


def move_cursor(session: Session, log: Log, seq: int) -> None:
    """Everything up to `seq` is durable on the device, or not wanted. A cursor only rises (ACK-7)."""
    store = session.hub.store
    before = store.cursor(log, session.user, session.device)
    after = max(before, seq)
    # It passes what the device sent itself, but no hole in front of it (ACK-6).
    while store.sender(log, after + 1) == (session.user, session.device):
        after += 1
    if after == before:
        return
    try:
        store.set_cursor(log, session.user, session.device, after)
        read, delivered, _ = store.marks(log, session.user)
        _raise(session, log, read, max(delivered, after))
    except sqlite3.Error:
        pass  # ACK-8: it may be late, and the device says it again


def pass_own(session: Session, log: Log) -> None:
    """The device has sent an entry: the cursor passes it where it stands just in front of it."""
    move_cursor(session, log, 0)


def read_mark(session: Session, request: Message) -> None:
    """ReadMark from a client. It has no answer but a refusal."""
    log, view = find(session, request)
    if request.up_to == 0:
        raise Refusal("INVALID_ARGUMENT", "up_to has to be 1 or more")
    if request.up_to > view.head:
        raise Refusal("CURSOR_AHEAD", seq=view.head)  # READ-3
    read, delivered, _ = session.hub.store.marks(log, session.user)
    if request.up_to > read:  # READ-1
        _raise(session, log, request.up_to, max(delivered, request.up_to))  # READ-5


def _raise(session: Session, log: Log, read: int, delivered: int) -> None:
    """Notes marks that have risen, and tells whom they concern."""
    hub, user = session.hub, session.user
    was_read, was_delivered, change = hub.store.marks(log, user)
    if (read, delivered) == (was_read, was_delivered):
        return
    hub.store.set_marks(log, user, read, delivered, hub.store.next_change() if read > was_read else change)
    if read > was_read:
        for other in hub.sessions_of(user):
            if other is not session:
                _tell_soon(other, ("read", log.key))  # READ-2
    partner = log.partner(user)
    if partner is not None:
        hub.store.touch(log, partner)
        for other in hub.sessions_of(partner):
            _tell_soon(other, ("receipt", log.key, user))  # READ-4


def _tell_soon(session: Session, what: tuple) -> None:
    session.pushes.receipts[what] = None
    if not session.slow:
        del session.pushes.receipts[what]
        tell(session, what)


def tell(session: Session, what: tuple) -> None:
    """Tells a session of a mark as it now is, so that several rises become one frame."""
    store = session.hub.store
    log = store.find_log(what[1])
    conversation = log.named_for(session.user)
    if what[0] == "read":
        read, _, _ = store.marks(log, session.user)
        session.send(Frame(read_mark=ReadMark(conversation=conversation, up_to=read)))
    else:
        read, delivered, _ = store.marks(log, what[2])
        receipt = Receipt(conversation=conversation, user_id=what[2], delivered_seq=delivered, read_seq=read)
        session.send(Frame(receipt=receipt))
