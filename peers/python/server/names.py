"""From the conversation that a request names to the one that the store has. Chapters 10 and 11 of the specification."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.message import Message

from .frames import Refusal
from .view import Log, View

if TYPE_CHECKING:
    from .session import Session

ID_BYTES_MAX = 64


def check_name(conversation: Message | None) -> tuple[str, str]:
    """The case and the id of a conversation's name. Raises Refusal INVALID_ARGUMENT (LIM-3)."""
    case = None if conversation is None else conversation.WhichOneof("peer")
    if case is None:
        raise Refusal("INVALID_ARGUMENT", "conversation is missing")
    name = getattr(conversation, case)
    if not 1 <= len(name.encode()) <= ID_BYTES_MAX:
        raise Refusal("INVALID_ARGUMENT", f"{case} has to be 1 to {ID_BYTES_MAX} bytes")
    return case, name


def find(session: Session, request: Message) -> tuple[Log, View]:
    """The conversation of a request as its user sees it.

    Raises Refusal NOT_FOUND alike for one that is not there and for one that the user cannot see (SEC-2).
    """
    case, name = check_name(request.conversation if request.HasField("conversation") else None)
    store = session.hub.store
    log = view = None
    if case == "group_id":
        log = store.group(name)
    elif session.hub.people.known(name):
        log = store.pair(session.user, name)
    if log is not None:
        view = store.view(log, session.user)
    if log is None or view is None:
        raise Refusal("NOT_FOUND")
    return log, view


