"""Sends: from SendReq to SendAck, and the question what became of them. Chapter 4 of the specification."""

from __future__ import annotations

import hashlib
import sqlite3
import zlib
from typing import TYPE_CHECKING

from google.protobuf.message import Message

from wire.messages import enum_values, message_class

from . import delivery, receipts
from .frames import Refusal, refused, same_conversation
from .names import check_name, find
from .view import PAIR, Log, View

if TYPE_CHECKING:
    from .hub import Hub
    from .session import Session

Frame = message_class("Frame")
SendAck = message_class("SendAck")
Accepted = message_class("Accepted")
Entry = message_class("Entry")
MessageSlot = message_class("Message")
QuerySendResult = message_class("QuerySendResult")
SendResult = message_class("SendResult")
_STATE = enum_values("SendState")

CLIENT_MSG_ID_BYTES = 16
CONTENT_TYPE_BYTES_MAX = 64


def send(session: Session, request: Message) -> None:
    """Answers a SendReq with its one SendAck (SEND-5)."""
    answer = SendAck(client_msg_id=request.client_msg_id)
    if request.HasField("conversation"):
        answer.conversation.CopyFrom(same_conversation(request.conversation))
    try:
        answer.accepted.CopyFrom(_accept(session, request))
    except Refusal as refusal:
        answer.refused.CopyFrom(refused(refusal))
    except sqlite3.Error:
        # _append has undone what it had begun, so nothing of it is in the turn (SEND-23).
        answer.refused.CopyFrom(refused(Refusal("STORE_UNAVAILABLE")))
    session.send(Frame(send_ack=answer))


def _accept(session: Session, request: Message) -> Accepted:
    check_name(request.conversation if request.HasField("conversation") else None)
    _check(request)
    log, view = find(session, request)
    known = session.hub.store.send(log, session.user, request.client_msg_id)
    if known is not None:
        # Before all other checks: what is in the conversation is not refused because something has changed since (DEDUP-7).
        return _repeated(session, log, view, known, _digest(request))
    _allow(session, request, log, view)
    seq = log.head + 1
    at_ms = session.hub.clock.wall_ms()
    # What others wrote just before is handed or notified in front of the SendAck (PUSH-11).
    delivery.settle(session, log, view.head)
    _append(session, request, log, seq, at_ms)
    session.unanswered_sends += 1
    delivery.hand(session, log, seq, seq)
    receipts.pass_own(session, log)
    delivery.committed(log, seq, session)
    return Accepted(seq=seq, server_time_ms=at_ms)


def _check(request: Message) -> None:
    """What is wrong with the request itself, whoever sends it."""
    if len(request.client_msg_id) != CLIENT_MSG_ID_BYTES:
        raise Refusal("INVALID_ARGUMENT", f"client_msg_id has to be {CLIENT_MSG_ID_BYTES} bytes")
    if len(request.predecessor) not in (0, CLIENT_MSG_ID_BYTES):
        raise Refusal("INVALID_ARGUMENT", f"predecessor has to be empty or {CLIENT_MSG_ID_BYTES} bytes")
    if not 1 <= len(request.content_type.encode()) <= CONTENT_TYPE_BYTES_MAX:
        raise Refusal("INVALID_ARGUMENT", f"content_type has to be 1 to {CONTENT_TYPE_BYTES_MAX} bytes")
    # In front of the look for an accepted send: a repeat whose body broke on its way is no conflict.
    if zlib.crc32(request.body) != request.body_crc32:
        raise Refusal("BODY_CORRUPT")


def _allow(session: Session, request: Message, log: Log, view: View) -> None:
    """Whether a new send may be in the conversation now. Nothing of a refusal is remembered (DEDUP-14)."""
    settings = session.hub.settings
    if len(request.body) > settings.limits["body_bytes_max"]:
        raise Refusal("BODY_TOO_LARGE", f"body has to be at most {settings.limits['body_bytes_max']} bytes")
    if not view.member or (log.kind == PAIR and session.hub.people.blocked(log.one, log.other)):
        raise Refusal("FORBIDDEN")
    if session.unanswered_sends >= settings.limits["send_window"]:
        raise Refusal("SEND_WINDOW_EXCEEDED")
    # All sends in front of it are decided, also those of the same turn (ORDER-5).
    if request.predecessor and session.hub.store.send(log, session.user, request.predecessor) is None:
        raise Refusal("OUT_OF_ORDER")
    # Last, so that only what is going to be accepted counts.
    wait_ms = session.hub.rates.take(session.user)
    if wait_ms > 0:
        raise Refusal("RATE_LIMITED", retry_after_ms=wait_ms)


def _repeated(session: Session, log: Log, view: View, known: tuple[int, int, bytes], digest: bytes) -> Accepted:
    seq, at_ms, first_digest = known
    if digest != first_digest:
        raise Refusal("ID_CONFLICT")
    if view.sees(seq):
        delivery.settle(session, log, min(view.head, seq - 1))
        delivery.hand(session, log, seq, seq)
    return Accepted(seq=seq, server_time_ms=at_ms, duplicate=True)


def _append(session: Session, request: Message, log: Log, seq: int, at_ms: int) -> None:
    """Entry, seq and dedup record in one act (SEND-4). Raises sqlite3.Error with nothing of it done."""
    store = session.hub.store
    entry = Entry(
        seq=seq,
        server_time_ms=at_ms,
        message=MessageSlot(
            sender_id=session.user,  # SEC-1
            client_msg_id=request.client_msg_id,
            content_type=request.content_type,
            body=request.body,
            body_crc32=request.body_crc32,
            client_time_ms=request.client_time_ms,
        ),
    )
    before = (log.id, log.head)
    with store.one_act():
        try:
            store.keep(log)
            store.append(log, seq, session.user, session.device, entry.SerializeToString())
            store.keep_send(log, session.user, request.client_msg_id, seq, at_ms, _digest(request))
        except sqlite3.Error:
            log.id, log.head = before
            raise


def _digest(request: Message) -> bytes:
    """What two sends have in common exactly when their content type and body are equal (DEDUP-5)."""
    content_type = request.content_type.encode()
    return hashlib.sha256(bytes((len(content_type),)) + content_type + request.body).digest()


def query(session: Session, request: Message) -> None:
    """QuerySend. It looks, and touches nothing (QUERY-5)."""
    settings = session.hub.settings
    if not 1 <= len(request.sends) <= settings.limits["query_ids_max"]:
        raise Refusal("INVALID_ARGUMENT", f"sends has to name 1 to {settings.limits['query_ids_max']}")
    if any(len(asked.client_msg_id) != CLIENT_MSG_ID_BYTES for asked in request.sends):
        raise Refusal("INVALID_ARGUMENT", f"client_msg_id has to be {CLIENT_MSG_ID_BYTES} bytes")
    log, _ = find(session, request)
    results = []
    for asked in request.sends:
        result = SendResult(client_msg_id=asked.client_msg_id)
        known = session.hub.store.send(log, session.user, asked.client_msg_id)  # QUERY-6: of this user only
        if known is not None:
            result.state = _STATE["SEND_STATE_COMMITTED"]
            result.accepted.CopyFrom(Accepted(seq=known[0], server_time_ms=known[1], duplicate=True))
        elif asked.age_ms >= settings.dedup_window_ms:
            result.state = _STATE["SEND_STATE_BEYOND_WINDOW"]  # QUERY-4
        else:
            result.state = _STATE["SEND_STATE_NOT_COMMITTED"]
        results.append(result)
    session.send(Frame(query_send_result=QuerySendResult(request_id=request.request_id, results=results)))


class Rates:
    """How many sends a user may make: `sends_burst` at once, and the room for them comes back at `sends_per_second` (LIM-8)."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._left: dict[str, tuple[float, float]] = {}  # by user: sends left, and when that was so

    def take(self, user: str) -> int:
        """Takes one send. 0: taken; otherwise the milliseconds until there is one to take (ERR-10)."""
        per_second = self._hub.settings.sends_per_second
        if per_second == 0:
            return 0
        most = self._hub.settings.sends_burst or per_second
        now = self._hub.clock.now_ms()
        left, then = self._left.get(user, (float(most), now))
        left = min(float(most), left + (now - then) * per_second / 1000)
        self._left[user] = (left - 1 if left >= 1 else left, now)
        return 0 if left >= 1 else max(1, int((1 - left) * 1000 / per_second) + 1)
