"""Connections: TCP, and WebSocket by the sans-I/O half of `websockets`. Bytes in, frames out, and how fast.

A link hands its session one frame at a time and stops when the session has enough to write: what a peer has sent then waits in
its own buffers, so that one that does not read costs a bounded amount of memory here (PUSH-19).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from websockets.connection import State
from websockets.exceptions import PayloadTooBig
from websockets.frames import Frame as WsFrame
from websockets.frames import Opcode
from websockets.http11 import Request
from websockets.server import ServerConnection

from wire import HELLO_BYTES_MAX, SUBPROTOCOL, FrameReader, WireError

from .session import Session

if TYPE_CHECKING:
    from .hub import Hub

WRITE_BUFFER_MAX = 256 << 10
LINGER_S = 2.0  # how long a closed side waits for the other: a socket closed over unread bytes would take back what was written
MESSAGE_FRAMES_MAX = 4  # how large a piece of a WebSocket message is taken, in frame limits: the library holds it whole


class Link(asyncio.Protocol):
    """One TCP connection, with the records right on it."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.reader = FrameReader(HELLO_BYTES_MAX)
        self._inbox: deque[Iterator] = deque()  # what has come and was not taken yet, in the order in which it came
        self._transport: asyncio.Transport = None  # type: ignore[assignment]
        self._finishing = False
        self._paused = False
        self.writable = True
        self.session: Session = None  # type: ignore[assignment]

    # --- from asyncio ----------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._transport.set_write_buffer_limits(high=WRITE_BUFFER_MAX)
        self._hub.link_made(self)
        self.session = Session(self._hub, self)

    def data_received(self, data: bytes) -> None:
        self.session.heard()
        self._inbox.append(self.reader.feed(data))
        self.pump()

    def eof_received(self) -> bool:
        # The peer writes no more, and by that has left: there are no half sessions.
        self.session.lost()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._hub.link_lost(self)
        self._inbox.clear()
        self.session.lost()

    def pause_writing(self) -> None:
        self.writable = False

    def resume_writing(self) -> None:
        self.writable = True
        self.session.writable_again()
        self.pump()

    # --- from and to the session -----------------------------------------------------------------------------------------

    def pump(self) -> None:
        """Hands up frames as long as the session takes them."""
        while self._inbox and self.session.takes():
            try:
                frame = next(self._inbox[0])
            except StopIteration:
                self._inbox.popleft()
                continue
            except WireError as error:
                self._inbox.clear()
                self.session.broken(error)
                break
            self.session.received(frame)
        if self.session.closed:
            self._inbox.clear()
        if self._inbox:
            self._hub.has_backlog(self)
        if self._inbox or not self.writable:
            self._paused = True
            self._transport.pause_reading()
        elif self._paused:
            self._paused = False
            self.session.heard()  # the silence was this side's
            self._transport.resume_reading()

    @property
    def is_reading(self) -> bool:
        """False: what the peer says is not heard at the moment, by this side's choice."""
        return not self._paused

    def write(self, records: list[bytes]) -> None:
        self._transport.write(b"".join(records))

    def widen(self, frame_bytes_max: int) -> None:
        """The frame limit from Welcome on."""
        self.reader.limit = frame_bytes_max

    def finish(self) -> None:
        """Closes once everything is written; what still comes is dropped."""
        if self._finishing:
            return
        self._finishing = True
        self._inbox.clear()
        self._transport.resume_reading()
        self._close()
        asyncio.get_running_loop().call_later(LINGER_S, self._transport.abort)

    def _close(self) -> None:
        if self._transport.can_write_eof() and not self._transport.is_closing():
            self._transport.write_eof()


class WebSocketLink(Link):
    """One WebSocket, of which each binary message holds whole records (FRAME-2)."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # No extension is offered, so none is agreed to (FRAME-20).
        self._socket = ServerConnection(subprotocols=[SUBPROTOCOL], max_size=MESSAGE_FRAMES_MAX * HELLO_BYTES_MAX)
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        self.session.heard()
        try:
            self._socket.receive_data(data)
        except Exception:  # in front of the upgrade the library raises whatever it found: this is not HTTP
            self.session.lost()
            return
        for event in self._socket.events_received():
            if isinstance(event, Request):
                self._answer(event)
            elif event.opcode is Opcode.TEXT:
                self._inbox.append(_refuse(WireError("MALFORMED", "FRAME-17", 0, "a WebSocket text message")))
            elif event.opcode in (Opcode.BINARY, Opcode.CONT):
                # Pieces of a message are read as they come, so that a length above the limit is refused in front of its frame.
                self._inbox.append(self.reader.feed(event.data))
                if event.fin:
                    self._inbox.append(self._end_message())
            elif event.opcode is Opcode.CLOSE:
                self._inbox.append(self._leave())
        if isinstance(self._socket.parser_exc, PayloadTooBig) and not self.session.closed:
            # The library has given up on it, and what it has to say comes behind what the protocol has to say.
            self._inbox.append(_refuse(WireError("FRAME_TOO_LARGE", "FRAME-5", 0, "a WebSocket message of too many bytes")))
            self.pump()
            return
        self._flush()
        self.pump()

    def _answer(self, request: Request) -> None:
        response = self._socket.accept(request)
        if self._socket.handshake_exc is None and "Sec-WebSocket-Protocol" not in response.headers:
            response = self._socket.reject(400, f"The subprotocol {SUBPROTOCOL} is needed.\n")  # FRAME-21
        self._socket.send_response(response)
        if self._socket.handshake_exc is not None:
            self.session.lost()

    def _end_message(self) -> Iterator:
        self.reader.end_message()
        return
        yield

    def _leave(self) -> Iterator:
        self.session.lost()
        return
        yield

    def _flush(self) -> None:
        for data in self._socket.data_to_send():
            if data:
                self._transport.write(data)
            elif self._transport.can_write_eof():
                self._transport.write_eof()
                self.session.lost()

    def widen(self, frame_bytes_max: int) -> None:
        super().widen(frame_bytes_max)
        self._socket.max_size = MESSAGE_FRAMES_MAX * frame_bytes_max

    def write(self, records: list[bytes]) -> None:
        if self._socket.state is State.OPEN:
            for record in records:
                self._socket.send_binary(record)
            self._flush()
        elif isinstance(self._socket.parser_exc, PayloadTooBig):
            # In front of the close that the library has ready.
            frames = [WsFrame(Opcode.BINARY, record).serialize(mask=False, extensions=[]) for record in records]
            self._transport.write(b"".join(frames))
            self._flush()

    def _close(self) -> None:
        if self._socket.state is State.OPEN:
            self._socket.send_close(1000)
        self._flush()


def _refuse(error: WireError) -> Iterator:
    raise error
    yield


