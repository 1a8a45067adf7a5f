"""Bytes to frames and back, over WebSocket and TCP. Chapter 2 of the specification; this file is complete.

The messages come from imwire.binpb, the protocol's descriptors, so that nothing has to be generated and any version of
protobuf will do. A frame is a protobuf message as any other: frame.hello.token = "t".
"""

import asyncio
import pathlib

import websockets
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

_pool = descriptor_pool.DescriptorPool()


_path = pathlib.Path(__file__).with_name("imwire.binpb")
for _file in descriptor_pb2.FileDescriptorSet.FromString(_path.read_bytes()).file:
    _pool.AddSerializedFile(_file.SerializeToString())
# Its name has changed between the versions of protobuf.
_class_of = getattr(message_factory, "GetMessageClass", None) or message_factory.MessageFactory(_pool).GetPrototype


def message(name, **fields):
    """A message of the protocol: message("Conversation", user_id="ben"). What is None is not set."""
    return _class_of(_pool.FindMessageTypeByName("imwire.v1." + name))(**fields)


Frame = type(message("Frame"))

# The kinds of frames, by number: 8 is "ping".
KINDS = {field.number: field.name for field in Frame.DESCRIPTOR.fields}

# Those that only servers send.
SERVER_KINDS = {
    "send_ack",
    "push",
    "head_notify",
    "offline_page",
    "receipt",
    "welcome",
    "go_away",
    "token_refreshed",
    "query_send_result",
    "sync_page",
    "history_page",
}


def _enum(name, prefix):
    values = _pool.FindEnumTypeByName("imwire.v1." + name).values
    return {value.name[len(prefix) :]: value.number for value in values}


CODE = _enum("ErrorCode", "ERROR_CODE_")
SCOPE = _enum("ErrorScope", "ERROR_SCOPE_")
RETRY = _enum("RetryClass", "RETRY_CLASS_")
FATE = _enum("Fate", "FATE_")
SEND_STATE = _enum("SendState", "SEND_STATE_")
DURABILITY = _enum("Durability", "DURABILITY_")

FRAME_BYTES_BEFORE_WELCOME = 65536
_LENGTH_BYTES_MAX = 5
_TAG_BYTES_MAX = 5


class Broken(Exception):
    """These bytes are no frame: what stood in front of them counts, nothing behind them does (FRAME-22)."""

    def __init__(self, code, why):
        super().__init__(why)
        self.code = code


class Records:
    """Takes records off a stream, however it was split (FRAME-3)."""

    def __init__(self):
        self.frame_bytes_max = FRAME_BYTES_BEFORE_WELCOME
        self._buffer = b""

    def feed(self, data, is_message=False):
        """Yields the bytes of each whole Frame. is_message: data is a WebSocket message, which ends a record (FRAME-2)."""
        if isinstance(data, str):
            raise Broken("MALFORMED", "a text message")
        if is_message and not data:
            raise Broken("MALFORMED", "a WebSocket message without a record")
        self._buffer += data
        while self._buffer:
            if self._buffer[0] != 0x0A:
                raise Broken("MALFORMED", "a record begins with 0x0A")
            length, at = self._length()
            if at and length > self.frame_bytes_max:
                raise Broken("FRAME_TOO_LARGE", "a frame of %d bytes" % length)
            if not at or len(self._buffer) < at + length:
                if is_message:
                    raise Broken("MALFORMED", "a WebSocket message ends inside a record")
                return
            frame, self._buffer = self._buffer[at : at + length], self._buffer[at + length :]
            yield frame

    def _length(self):
        """The length that stands behind the tag, and where the Frame begins; 0 as long as that is not known."""
        length = 0
        for index, byte in enumerate(self._buffer[1 : 1 + _LENGTH_BYTES_MAX]):
            length |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:
                return length, index + 2
        if len(self._buffer) > _LENGTH_BYTES_MAX:
            raise Broken("MALFORMED", "a length of more than five bytes")
        return 0, 0


def decode(data):
    """One Frame: its kind as a number, and its content; None for a kind that 1.0 does not know."""
    tag, at = _varint(data, 0, _TAG_BYTES_MAX)
    length, at = _varint(data, at)
    # Exactly one field, and it is length-delimited (FRAME-9).
    if tag >> 3 == 0 or tag & 7 != 2 or at + length != len(data):
        raise Broken("MALFORMED", "a Frame has exactly one field")
    name = KINDS.get(tag >> 3)
    if name is None:
        return tag >> 3, None
    try:
        frame = Frame.FromString(_checked(Frame.DESCRIPTOR, data))
        frame.DiscardUnknownFields()  # what 1.0 does not know is neither kept nor handed on
        return tag >> 3, getattr(frame, name)
    except (DecodeError, UnicodeDecodeError) as error:
        raise Broken("MALFORMED", "no %s" % name) from error


def _checked(descriptor, data):
    """Refuses what some version of protobuf would read in silence (FRAME-10, FRAME-11).

    Returns the same fields with tags and lengths in as few bytes as they take: protobuf written in Python alone knows a
    field by no other tag.
    """
    checked = bytearray()
    at = 0
    while at < len(data):
        tag, at = _varint(data, at, _TAG_BYTES_MAX)
        start = end = at
        if tag & 7 == 0:
            _, end = _varint(data, at)
        elif tag & 7 == 1:
            end = at + 8
        elif tag & 7 == 5:
            end = at + 4
        elif tag & 7 == 2:
            length, start = _varint(data, at)
            end = start + length
        else:
            raise Broken("MALFORMED", "a group")
        if not 1 <= tag >> 3 < 2**29 or end > len(data):
            raise Broken("MALFORMED", "a field that is none, or does not end")
        value = data[start:end]
        checked += _number(tag)
        if tag & 7 == 2:
            field = descriptor.fields_by_number.get(tag >> 3)
            if field is not None and field.message_type is not None:
                value = _checked(field.message_type, value)
            elif field is not None and field.type == field.TYPE_STRING:
                value.decode("utf-8")
            checked += _number(len(value))
        checked += value
        at = end
    return bytes(checked)


def _varint(data, at, bytes_max=10):
    value = 0
    for index in range(bytes_max):
        if at + index >= len(data):
            break
        value |= (data[at + index] & 0x7F) << (7 * index)
        if data[at + index] < 0x80:
            return value, at + index + 1
    raise Broken("MALFORMED", "a number that does not end")


def _number(value):
    data = bytearray()
    while value > 0x7F:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    data.append(value)
    return bytes(data)


def encode(frame):
    """The record of a Frame."""
    data = frame.SerializeToString()
    return b"\x0a" + _number(len(data)) + data


class TcpConnection:
    is_message = False

    def __init__(self, reader, writer):
        self._reader = reader
        self._writer = writer
        self._is_closed = False

    async def read(self):
        """Some bytes; None at the end."""
        try:
            return await self._reader.read(65536) or None
        except OSError:
            return None

    def write(self, data):
        if not self._is_closed and not self._writer.is_closing():
            self._writer.write(data)

    def close(self):
        """Closes behind what has been written.

        What still comes has to be read and dropped, or the other side could lose our last frame.
        """
        if self._is_closed:
            return
        self._is_closed = True
        if not self._writer.is_closing():
            self._writer.write_eof()
            asyncio.get_running_loop().call_later(1, self._writer.close)

    async def closed(self):
        self._writer.close()


class WebSocketConnection:
    is_message = True

    def __init__(self, socket):
        self._socket = socket
        self._writes = asyncio.Queue()
        self._writing = asyncio.ensure_future(self._write_all())

    async def read(self):
        """A message; None at the end."""
        try:
            return await self._socket.recv()
        except websockets.ConnectionClosed:
            return None

    def write(self, data):
        self._writes.put_nowait(data)

    async def _write_all(self):
        try:
            while True:
                data = await self._writes.get()
                if data is None:
                    return await self._socket.close()
                await self._socket.send(data)
        except (websockets.ConnectionClosed, OSError):
            pass  # read() says so

    def close(self):
        """Closes behind what has been written."""
        self._writes.put_nowait(None)

    async def closed(self):
        await self._writing


def _look_at_handshake(one, other):
    """Refuses who does not offer imwire.v1 (FRAME-21).

    It is called with (path, headers) by websockets before 14, and with (connection, request) since.
    """
    offered = getattr(other, "headers", other).get_all("Sec-WebSocket-Protocol")
    if "imwire.v1" in (each.strip() for line in offered for each in line.split(",")):
        return None
    if hasattr(one, "respond"):
        return one.respond(400, "Offer the subprotocol imwire.v1.\n")
    return 400, [], b"Offer the subprotocol imwire.v1.\n"


async def listen(port, tcp_port, take):
    """Takes connections on 127.0.0.1, each by take(connection), which goes on until read() has said None.

    port is for WebSocket; each of the two may be None.
    """

    async def serve(connection):
        try:
            await take(connection)
        finally:
            connection.close()
            await connection.closed()

    listening = []
    if port is not None:
        # No compression (FRAME-20); the heartbeat is the protocol's own.
        listening.append(
            await websockets.serve(
                lambda socket, *_: serve(WebSocketConnection(socket)),
                "127.0.0.1",
                port,
                subprotocols=["imwire.v1"],
                process_request=_look_at_handshake,
                compression=None,
                max_size=2**26,
                ping_interval=None,
                close_timeout=1,
            )
        )
    if tcp_port is not None:
        listening.append(
            await asyncio.start_server(lambda *both: serve(TcpConnection(*both)), "127.0.0.1", tcp_port)
        )
    return listening
