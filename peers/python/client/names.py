"""Names of things on both sides of the client: conversations, enums, entries."""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32

from wire.codes import CODES, ERROR_CODE, ERROR_SCOPE, FATE, RETRY_CLASS
from wire.messages import enum_values, message_class

Conversation, Frame, ErrorFrame = (message_class(name) for name in ("Conversation", "Frame", "ErrorFrame"))

Key = tuple[str, str]
"""A conversation from this user's side: ("user", id) or ("group", id). Ids are compared as they are (DEDUP-17)."""


def key_of(conversation) -> Key | None:
    """The key of a Conversation on the wire; None when it names nothing."""
    peer = conversation.WhichOneof("peer")
    if peer == "user_id":
        return ("user", conversation.user_id)
    if peer == "group_id":
        return ("group", conversation.group_id)
    return None


def conversation_of(key: Key):
    """A Conversation for the wire."""
    kind, name = key
    return Conversation(user_id=name) if kind == "user" else Conversation(group_id=name)


def _names(values: dict[str, int], prefix: str) -> dict[int, str]:
    return {number: name.removeprefix(prefix) for name, number in values.items()}


_CODES = _names(ERROR_CODE, "ERROR_CODE_")
_RETRY = _names(RETRY_CLASS, "RETRY_CLASS_")
_FATE = _names(FATE, "FATE_")
_SCOPE = _names(ERROR_SCOPE, "ERROR_SCOPE_")
_SKIP = _names(enum_values("SkipReason"), "SKIP_REASON_")
_SEND_STATE = _names(enum_values("SendState"), "SEND_STATE_")


def code_name(number: int) -> str:
    """ID_CONFLICT for 14. A code from the future is its number in words (ERR-3)."""
    return _CODES.get(number, str(number))


def retry_name(number: int) -> str:
    """NEVER for 1; a class that is not known is UNSPECIFIED (ERR-4, FRAME-13)."""
    return _RETRY.get(number, "UNSPECIFIED")


def fate_name(number: int) -> str:
    return _FATE.get(number, "UNSPECIFIED")


def scope_name(number: int) -> str:
    return _SCOPE.get(number, "UNSPECIFIED")


def skip_name(number: int) -> str:
    return _SKIP.get(number, "UNSPECIFIED")


def send_state_name(number: int) -> str:
    return _SEND_STATE.get(number, "UNSPECIFIED")


def error_frame(name: str, kind: int = 0, key: Key | None = None, seq: int | None = None):
    """An Error with the scope and class of the registry (ERR-2), and what it is about (ERR-7): a kind of frame, an entry."""
    code = CODES[name]
    error = ErrorFrame(code=code.number, scope=code.scope, retry=code.retry, frame_kind=kind, seq=seq)
    if key is not None:
        error.conversation.CopyFrom(conversation_of(key))
    return Frame(error=error)


@dataclass
class Entry:
    """One slot of a conversation as this device keeps it.

    condition  intact; damaged: the body does not match its CRC (GAP-9); gone: a tombstone; unknown: a slot from the future (EVO-5)
    own        this device's user sent it
    """

    seq: int
    condition: str
    server_time_ms: int = 0
    sender: str = ""
    client_msg_id: bytes = b""
    content_type: str = ""
    body: bytes = b""
    client_time_ms: int = 0
    own: bool = False


def entry_of(entry, user: str) -> Entry:
    """An Entry of the wire as it is kept; its condition says whether the body is what was sent (P7)."""
    slot = entry.WhichOneof("slot")
    if slot == "message":
        message = entry.message
        return Entry(
            seq=entry.seq,
            condition="intact" if crc32(message.body) == message.body_crc32 else "damaged",
            server_time_ms=entry.server_time_ms,
            sender=message.sender_id,
            client_msg_id=message.client_msg_id,
            content_type=message.content_type,
            body=message.body,
            client_time_ms=message.client_time_ms,
            own=message.sender_id == user,
        )
    return Entry(seq=entry.seq, condition="gone" if slot == "tombstone" else "unknown", server_time_ms=entry.server_time_ms)
