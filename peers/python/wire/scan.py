"""What makes the bytes of a Frame valid, seen before python-protobuf decodes them.

Libraries differ on broken bytes: some stop at a zero tag, some take the last of two bodies, some refuse the whole message where
the specification wants a field ignored. So nothing is left to the library that the specification decides (FRAME-9 to FRAME-12).
"""

from __future__ import annotations

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from .errors import WireError

VARINT, FIXED64, BYTES, GROUP, GROUP_END, FIXED32 = range(6)

_WIRE_TYPES = {
    FieldDescriptor.TYPE_FIXED32: FIXED32,
    FieldDescriptor.TYPE_SFIXED32: FIXED32,
    FieldDescriptor.TYPE_FLOAT: FIXED32,
    FieldDescriptor.TYPE_FIXED64: FIXED64,
    FieldDescriptor.TYPE_SFIXED64: FIXED64,
    FieldDescriptor.TYPE_DOUBLE: FIXED64,
    FieldDescriptor.TYPE_STRING: BYTES,
    FieldDescriptor.TYPE_BYTES: BYTES,
    FieldDescriptor.TYPE_MESSAGE: BYTES,
}


def wire_type_of(field: FieldDescriptor) -> int:
    """The wire type in which a field of the protocol is written; there are no packed fields in it."""
    return _WIRE_TYPES.get(field.type, VARINT)


class Scanner:
    """Walks the bytes of one Frame. `base` is where they begin in the stream, for WireError.offset."""

    def __init__(self, data: bytes, base: int) -> None:
        self._data = data
        self._base = base
        self._at = 0

    def kind(self, frame: Descriptor) -> int:
        """Checks the whole Frame and gives its kind: the number of its one field. Raises WireError."""
        end = len(self._data)
        if end == 0:
            raise self._fault("FRAME-9", "a frame without a field")
        number, wire_type = self._tag(end)
        if wire_type in (GROUP, GROUP_END):
            raise self._fault("FRAME-9", "a body that is a group")
        if wire_type != BYTES:
            raise self._fault("FRAME-9", "a body that is not length-delimited")
        length = self._length(end)
        if self._at + length != end:
            # What stands behind the body has to be readable to be called a second field; for the answer it is the same.
            raise self._fault("FRAME-9", "a frame with more than one field")
        field = frame.fields_by_number.get(number)
        if field is not None:
            self._message(field.message_type, end)
        return number

    def _message(self, message: Descriptor, end: int) -> None:
        while self._at < end:
            number, wire_type = self._tag(end)
            field = message.fields_by_number.get(number)
            if wire_type == VARINT:
                self._varint(end)
            elif wire_type == FIXED64:
                self._skip(8, end)
            elif wire_type == FIXED32:
                self._skip(4, end)
            elif wire_type == BYTES:
                length = self._length(end)
                stop = self._at + length
                if field is None or wire_type_of(field) != BYTES:
                    pass  # FRAME-12: unknown, or known with another wire type, is ignored.
                elif field.type == FieldDescriptor.TYPE_MESSAGE:
                    # No message of the protocol holds itself, so this depth has an end.
                    self._message(field.message_type, stop)
                elif field.type == FieldDescriptor.TYPE_STRING:
                    self._utf8(stop)
                self._at = stop
            elif wire_type in (GROUP, GROUP_END):
                # FRAME-19 lets a receiver ignore a group that is well formed or refuse it: refusing needs no recursion.
                raise self._fault("FRAME-19", "a group")
            else:
                raise self._fault("FRAME-10", f"wire type {wire_type}")

    def _tag(self, end: int) -> tuple[int, int]:
        start = self._at
        tag = self._varint(end, bytes_max=5)
        if tag > 0xFFFFFFFF:
            self._at = start
            raise self._fault("FRAME-10", "a tag above 32 bits")
        if tag >> 3 == 0:
            self._at = start
            raise self._fault("FRAME-10", "field number 0")
        return tag >> 3, tag & 7

    def _length(self, end: int) -> int:
        length = self._varint(end)
        if length > end - self._at:
            raise self._fault("FRAME-10", "a length beyond the message around it")
        return length

    def _varint(self, end: int, bytes_max: int = 10) -> int:
        value = 0
        for index in range(bytes_max):
            if self._at >= end:
                raise self._fault("FRAME-10", "the message ends inside a varint")
            byte = self._data[self._at]
            self._at += 1
            value |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:
                if value >= 1 << 64:
                    raise self._fault("FRAME-10", "a varint above 64 bits")
                return value
        raise self._fault("FRAME-10", f"a varint of more than {bytes_max} bytes")

    def _skip(self, count: int, end: int) -> None:
        if count > end - self._at:
            raise self._fault("FRAME-10", "the message ends inside a value")
        self._at += count

    def _utf8(self, stop: int) -> None:
        try:
            # Python is strict here: no surrogates, nothing overlong, nothing above U+10FFFF (FRAME-11).
            self._data[self._at : stop].decode("utf-8")
        except UnicodeDecodeError as error:
            self._at += error.start
            raise self._fault("FRAME-11", "a string that is not UTF-8") from None

    def _fault(self, clause: str, says: str) -> WireError:
        return WireError("MALFORMED", clause, self._base + self._at, says)
