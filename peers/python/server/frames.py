"""Small frames that several parts of the server write: refusals with all that the registry says (ERR-1, ERR-2)."""

from __future__ import annotations

from wire import CODES
from wire.messages import message_class

Frame = message_class("Frame")
ErrorFrame = message_class("ErrorFrame")
GoAway = message_class("GoAway")
Refused = message_class("Refused")
Conversation = message_class("Conversation")


class Refusal(Exception):
    """A request that is not carried out. `seq`: the head, with CURSOR_AHEAD. `detail` never holds a token or a body (SEC-3)."""

    def __init__(self, code: str, detail: str = "", *, seq: int | None = None, retry_after_ms: int = 0) -> None:
        super().__init__(code)
        self.code = CODES[code]
        self.detail = detail
        self.seq = seq
        self.retry_after_ms = retry_after_ms


def same_conversation(given: Conversation) -> Conversation:
    """The conversation as the request named it (SEND-6), without what this version does not know."""
    case = given.WhichOneof("peer")
    return Conversation() if case is None else Conversation(**{case: getattr(given, case)})


def error_frame(refusal: Refusal, *, request_id: int = 0, frame_kind: int = 0, conversation: Conversation | None = None, **more) -> Frame:
    code = refusal.code
    error = ErrorFrame(
        code=code.number,
        scope=code.scope,
        retry=code.retry,
        retry_after_ms=refusal.retry_after_ms,
        request_id=request_id,
        frame_kind=frame_kind,
        detail=refusal.detail,
        **more,
    )
    if conversation is not None:
        error.conversation.CopyFrom(conversation)
    if refusal.seq is not None:
        error.seq = refusal.seq
    return Frame(error=error)


def refused(refusal: Refusal) -> Refused:
    code = refusal.code
    return Refused(
        code=code.number, fate=code.fate, retry=code.retry, retry_after_ms=refusal.retry_after_ms, detail=refusal.detail
    )


def go_away(code: str, *, reconnect_window_ms: int, frames_handled: int, close_after_ms: int) -> Frame:
    known = CODES[code]
    return Frame(
        go_away=GoAway(
            code=known.number,
            retry=known.retry,
            reconnect_window_ms=reconnect_window_ms,
            frames_handled=frames_handled,
            close_after_ms=close_after_ms,
        )
    )
