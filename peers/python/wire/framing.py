"""Frames to bytes and back: records of the tag 0x0A, a length, and a Frame (FRAME-1)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from google.protobuf.message import DecodeError, Message

from .errors import WireError
from .messages import message_class
from .scan import Scanner

HELLO_BYTES_MAX = 65536
"""The frame limit in both directions until Welcome, bytes (chapter 3)."""

RECORD_TAG = 0x0A
LENGTH_BYTES_MAX = 5  # FRAME-7

Frame = message_class("Frame")


@dataclass(frozen=True)
class UnknownFrame:
    """A frame of a kind that this version does not know."""

    kind: int

    @property
    def optional(self) -> bool:
        """True: it is skipped in silence (FRAME-14). False: it is answered with UNSUPPORTED_FRAME (FRAME-15)."""
        return 1000 <= self.kind <= 1999


def encode(frame: Message) -> bytes:
    """One record with this Frame, which has exactly one body (FRAME-1, FRAME-8)."""
    if frame.WhichOneof("body") is None:
        raise ValueError("a frame without a body")
    data = frame.SerializeToString()
    record = bytearray((RECORD_TAG,))
    length = len(data)
    while length >= 0x80:
        record.append(length & 0x7F | 0x80)
        length >>= 7
    record.append(length)
    return bytes(record) + data


class FrameReader:
    """Takes frames off the front of a stream, however its bytes are cut (FRAME-3).

    `limit` is the frame limit in bytes: HELLO_BYTES_MAX until Welcome, then Limits.frame_bytes_max. It may be set between two
    frames, also while `feed` is being iterated.
    """

    def __init__(self, limit: int = HELLO_BYTES_MAX) -> None:
        self.limit = limit
        self._buffer = bytearray()
        self._offset = 0  # of the buffer's first byte in the stream
        self._message = 0  # where the WebSocket message begins that is being read
        self._broken = False

    @property
    def waiting(self) -> bool:
        """Whether the bytes so far end inside a record."""
        return len(self._buffer) > 0

    def feed(self, data: bytes) -> Iterator[Message | UnknownFrame]:
        """The frames that are whole now, in order. Iterate it to its end.

        It raises WireError at bytes that are refused; the frames that it gave before count, and behind the error it gives
        nothing any more (FRAME-22).
        """
        if self._broken:
            return
        self._buffer += data
        while True:
            try:
                frame = self._take()
            except WireError:
                self._break()
                raise
            if frame is None:
                return
            yield frame

    def feed_message(self, data: bytes) -> Iterator[Message | UnknownFrame]:
        """The frames of one WebSocket message, which holds whole records and at least one (FRAME-2)."""
        yield from self.feed(data)
        self.end_message()

    def end_message(self) -> None:
        """Says that a WebSocket message ends here, for who feeds it in pieces as they come. Raises WireError (FRAME-2)."""
        if self._broken:
            return
        end = self._offset + len(self._buffer)
        if self.waiting:
            says = "a WebSocket message that ends inside a record"
        elif end == self._message:
            says = "a WebSocket message without a record"
        else:
            self._message = end
            return
        self._break()
        raise WireError("MALFORMED", "FRAME-2", end, says)

    def _break(self) -> None:
        self._broken = True
        self._buffer.clear()

    def _take(self) -> Message | UnknownFrame | None:
        buffer = self._buffer
        if not buffer:
            return None
        if buffer[0] != RECORD_TAG:
            raise WireError("MALFORMED", "FRAME-4", self._offset, "a record that does not begin with 0x0A")
        length = 0
        at = 1
        while True:
            # The sixth byte is refused without being waited for: five that all go on are enough to know (FRAME-7).
            if at > LENGTH_BYTES_MAX:
                raise WireError("MALFORMED", "FRAME-7", self._offset + at, "a length of more than five bytes")
            if at >= len(buffer):
                return None
            byte = buffer[at]
            length |= (byte & 0x7F) << (7 * (at - 1))
            at += 1
            if byte < 0x80:
                break
        if length > self.limit:
            raise WireError("FRAME_TOO_LARGE", "FRAME-5", self._offset, f"a frame of {length} bytes where {self.limit} are allowed")
        end = at + length
        if len(buffer) < end:
            return None
        data = bytes(buffer[at:end])
        base = self._offset + at
        del buffer[:end]
        self._offset += end
        return decode_frame(data, base)


def decode_frame(data: bytes, base: int = 0) -> Message | UnknownFrame:
    """The Frame in these bytes, which stand at `base` in their stream. Raises WireError."""
    kind = Scanner(data, base).kind(Frame.DESCRIPTOR)
    if kind not in Frame.DESCRIPTOR.fields_by_number:
        return UnknownFrame(kind)
    try:
        return Frame.FromString(data)
    except DecodeError as error:
        # The scan should have seen it; whatever a library refuses on its own is still not a frame.
        raise WireError("MALFORMED", "FRAME-10", base, str(error)) from None
