"""Catching up: what changed (sync), what follows (pull), what came before (history). Chapter 6 of the specification."""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Iterable
from typing import TYPE_CHECKING

from google.protobuf.message import Message

from wire.messages import message_class

from . import delivery, receipts
from .frames import Refusal, same_conversation
from .names import find
from .view import Log, View

if TYPE_CHECKING:
    from .session import Session

Frame = message_class("Frame")
Entry = message_class("Entry")
OfflinePage = message_class("OfflinePage")
HistoryPage = message_class("HistoryPage")
SyncPage = message_class("SyncPage")
ConversationState = message_class("ConversationState")
Watermark = message_class("Watermark")

PAGE_REST_BYTES = 1024  # what a page holds beside its entries or states, at most


def _smaller(asked: int, limit: int) -> int:
    """A limit of a request: 0, and more than the server's, read as the server's (LIM-6)."""
    return limit if asked == 0 else min(asked, limit)


def _page(session: Session, request: Message, encoded: Iterable[bytes]) -> list[Message]:
    """Entries up to the limits of the request and of the session, and one at least (PULL-2, PULL-3, HIST-4, HIST-7)."""
    limits = session.hub.settings.limits
    count = _smaller(request.entries_max, limits["page_entries_max"])
    room = _smaller(request.bytes_max, limits["page_bytes_max"])
    # Each entry costs a tag and a length as well, and the frame has its own limit.
    frame_room = limits["frame_bytes_max"] - PAGE_REST_BYTES
    entries: list[Message] = []
    for data in encoded:
        room -= len(data)
        frame_room -= len(data) + 6
        if entries and (len(entries) == count or room < 0 or frame_room < 0):
            break
        entries.append(Entry.FromString(data))
    return entries


def pull(session: Session, request: Message) -> None:
    """PullOffline: the entries behind `after`, which is also an acknowledgement of all up to it."""
    log, view = find(session, request)
    after = request.after
    if after > view.head:
        raise Refusal("CURSOR_AHEAD", seq=view.head)  # PULL-8
    receipts.move_cursor(session, log, after)  # PULL-6, PULL-7
    delivery.hand(session, log, 0, after)
    page = OfflinePage(request_id=request.request_id, head=view.head, floor=view.floor)
    page.conversation.CopyFrom(same_conversation(request.conversation))
    last = after
    run = view.run_after(after)
    if run is None:
        if after < view.head:
            page.skipped.CopyFrom(view.skipped(after + 1, view.head))
            last = view.head
    else:
        first, end = run
        if first > after + 1:
            page.skipped.CopyFrom(view.skipped(after + 1, first - 1))  # PULL-9
        page.entries.extend(_page(session, request, session.hub.store.entries(log, first, end)))
        last = page.entries[-1].seq
    page.has_more = last < view.head  # PULL-4
    session.send(Frame(offline_page=page))
    # One thread: nothing is committed between the reading of the page and this, so pushes go on just behind it (PULL-5).
    delivery.hand(session, log, after + 1, last)
    if delivery.place_of(session, log).handed >= view.head:
        session.pushes.waiting.pop(log.key, None)  # the page has said all that there was to push or notify


def history(session: Session, request: Message) -> None:
    """PullHistory: the entries in front of `before`. It moves nothing (HIST-2)."""
    log, view = find(session, request)
    before = request.before if 1 <= request.before <= view.head + 1 else view.head + 1  # HIST-5
    page = HistoryPage(request_id=request.request_id, floor=view.floor)
    page.conversation.CopyFrom(same_conversation(request.conversation))
    run = view.run_before(before)
    lowest = before
    if run is not None:
        first, end = run
        newest_first = _page(session, request, session.hub.store.entries(log, first, end, backwards=True))
        page.entries.extend(reversed(newest_first))
        lowest = page.entries[0].seq
    page.has_more = view.run_before(lowest) is not None  # HIST-3
    if not page.has_more and view.floor > 1:
        page.skipped.CopyFrom(view.skipped(1, view.floor - 1))  # HIST-6
    session.send(Frame(history_page=page))


# --- sync ----------------------------------------------------------------------------------------------------------------
#
# Every change has a number, counted over the whole server. A token is the number up to which its chain has shown everything. The
# first page fixes that number, `until`; the chain is ordered by what was the latest entry of each conversation at that moment, which
# does not change any more, so nothing falls between pages (SYNC-4). What changes later is above the token: the next chain shows
# it (SYNC-5). Tokens and pages are signed with the user and the epoch: nobody else can use them (SEC-8, SYNC-6).


def sync(session: Session, request: Message) -> None:
    hub = session.hub
    since = _open_seal(session, b"token", request.token, 1)[0] if request.token else 0
    until, position = hub.store.change, None
    if request.page:
        began, until, change, log_id = _open_seal(session, b"page", request.page, 4)
        if began != since:
            raise Refusal("SYNC_TOKEN_INVALID", "the page is of a chain with another token")
        position = (change, log_id)
    changed = []
    for log, joined in hub.store.logs_of(session.user):
        view = hub.store.view(log, session.user)
        if _change_of(session, log, view, joined) > since:
            start, end = (view.seen[0][0], view.head) if view.seen else (1, 0)
            active = max(hub.store.latest_change(log, start, end, until), joined if joined <= until else 0)
            changed.append(((active, log.id), log, view))
    changed.sort(key=lambda item: item[0], reverse=True)  # SYNC-2
    left = [item for item in changed if position is None or item[0] < position]
    page = SyncPage(request_id=request.request_id)
    most = _smaller(request.conversations_max, hub.settings.limits["sync_conversations_max"])
    room = hub.settings.limits["frame_bytes_max"] - PAGE_REST_BYTES
    shown = None
    for key, log, view in left:
        state = _state(session, log, view)
        room -= state.ByteSize() + 6
        if shown is not None and (len(page.conversations) == most or room < 0):
            page.next_page = _seal(session, b"page", since, until, *shown)
            break
        page.conversations.append(state)
        shown = key
    else:
        page.token = _seal(session, b"token", until)
    session.send(Frame(sync_page=page))


def _change_of(session: Session, log: Log, view: View, joined: int) -> int:
    """The number of the latest change that this user can see; 0 for a pair in which nothing was ever said."""
    store = session.hub.store
    start, end = (view.seen[0][0], view.head) if view.seen else (1, 0)
    return max(store.latest_change(log, start, end, store.change), store.marks(log, session.user)[2], joined)


def _state(session: Session, log: Log, view: View) -> Message:
    store = session.hub.store
    read, _, _ = store.marks(log, session.user)
    state = ConversationState(
        conversation=log.named_for(session.user),
        head=view.head,
        floor=view.floor,
        cursor=store.cursor(log, session.user, session.device),
        read_seq=read,
        unread_count=sum(store.unread(log, session.user, max(start, read + 1), end) for start, end in view.kept),
        ended=not view.member,
    )
    encoded = store.entry(log, view.head) if view.head >= view.floor else None
    if encoded is not None:
        preview = Entry.FromString(encoded)
        if len(encoded) > session.hub.settings.limits["preview_bytes_max"]:
            preview.message.ClearField("body")
            state.preview_bodiless = True
        state.preview.CopyFrom(preview)
    partner = log.partner(session.user)
    if partner is not None:
        partner_read, delivered, _ = store.marks(log, partner)
        state.watermarks.append(Watermark(user_id=partner, delivered_seq=delivered, read_seq=partner_read))
    return state


def _sign(session: Session, kind: bytes, payload: bytes) -> bytes:
    store = session.hub.store
    said = b"\0".join((kind, store.epoch.encode(), session.user.encode())) + b"\0" + payload
    return hmac.digest(store.secret, said, hashlib.sha256)[:16]


def _seal(session: Session, kind: bytes, *numbers: int) -> bytes:
    payload = struct.pack(f">{len(numbers)}Q", *numbers)
    return payload + _sign(session, kind, payload)


def _open_seal(session: Session, kind: bytes, sealed: bytes, count: int) -> tuple[int, ...]:
    """The numbers in a token or a page that this server gave to this user in this epoch. Raises Refusal SYNC_TOKEN_INVALID."""
    payload, signature = sealed[:-16], sealed[-16:]
    if len(payload) != 8 * count or not hmac.compare_digest(signature, _sign(session, kind, payload)):
        raise Refusal("SYNC_TOKEN_INVALID")
    return struct.unpack(f">{count}Q", payload)
