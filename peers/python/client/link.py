"""Bytes in and out: a connection over TCP or WebSocket, with or without TLS. Chapter 2.

A link knows bytes and nothing of frames. On WebSocket it uses the part of the library `websockets` that does no I/O of its own, so
that every byte is seen when it comes, and not only whole messages (BEAT-1).
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Protocol
from urllib.parse import urlsplit

from wire import ALPN, SUBPROTOCOL

LINGER_S = 1.0
"""How long the other side has to take our last bytes and to close, seconds."""

DIAL_S = 10.0
"""How long a connection may take to be made, seconds."""

MESSAGE_BYTES_MAX = 64 * 1024 * 1024
"""The largest WebSocket message: it may hold any number of records, but not any amount of memory."""


class Sink(Protocol):
    """Who is told of what comes."""

    def link_opened(self, link: "Link") -> None: ...

    def link_alive(self, link: "Link") -> None:
        """Bytes have come, whatever they are."""

    def link_bytes(self, link: "Link", data: bytes, message: bool) -> None:
        """`message`: all of one WebSocket message; otherwise a piece of the stream."""

    def link_text(self, link: "Link") -> None:
        """A WebSocket text message (FRAME-17)."""

    def link_closed(self, link: "Link", why: str) -> None:
        """Once, for whatever reason; never after `close`."""


class Link(asyncio.Protocol):
    """One connection over TCP."""

    def __init__(self, sink: Sink) -> None:
        self._sink: Sink | None = sink
        self._transport: asyncio.Transport | None = None
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._began()

    def data_received(self, data: bytes) -> None:
        if self._sink is not None:
            self._sink.link_alive(self)
            self._take(data)

    def eof_received(self) -> bool:
        return False  # nothing more can come: the transport closes

    def connection_lost(self, error: Exception | None) -> None:
        self._tell_closed(str(error) if error else "the connection has ended")
        if not self.ended.done():
            self.ended.set_result(None)

    def send(self, data: bytes) -> None:
        """Whole records. What cannot be written any more is lost with the connection."""
        if not self._transport.is_closing():
            self._transport.write(data)

    def close(self, at_once: bool = False) -> None:
        """Ends the connection: behind what was sent, unless at once. The sink hears nothing any more."""
        self._sink = None
        if self._transport is None or self._transport.is_closing():
            return
        if at_once:
            self._transport.abort()
            return
        # Closing with bytes unread would reset the connection, and our last frame with it: say that we are done and read on.
        self._finish()
        asyncio.get_running_loop().call_later(LINGER_S, self._transport.abort)

    # --- what differs by transport

    def _began(self) -> None:
        self._sink.link_opened(self)

    def _take(self, data: bytes) -> None:
        self._sink.link_bytes(self, data, False)

    def _finish(self) -> None:
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()

    def _tell_closed(self, why: str) -> None:
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.link_closed(self, why)


class WebSocketLink(Link):
    """One connection over WebSocket, subprotocol imwire.v1, without extensions (FRAME-20)."""

    def __init__(self, sink: Sink, url: str) -> None:
        super().__init__(sink)
        # Imported here: it takes longer than all the rest, and TCP does not need it.
        from websockets.client import ClientConnection
        from websockets.uri import parse_uri

        # No header says anything but what the upgrade needs: the token is for Hello alone (SEC-5).
        self._socket = ClientConnection(parse_uri(url), subprotocols=[SUBPROTOCOL], max_size=MESSAGE_BYTES_MAX)
        self._message: bytearray | None = None
        self._upgraded = False

    def _began(self) -> None:
        self._socket.send_request(self._socket.connect())
        self._flush()

    def _take(self, data: bytes) -> None:
        from websockets.frames import Opcode
        from websockets.http11 import Response

        self._socket.receive_data(data)
        for event in self._socket.events_received():
            if self._sink is None:
                return
            if isinstance(event, Response):
                if self._socket.handshake_exc is not None or self._socket.subprotocol != SUBPROTOCOL:
                    self._tell_closed("the server did not agree to the upgrade")
                    self._transport.abort()
                    return
                self._upgraded = True
                self._sink.link_opened(self)
            elif event.opcode is Opcode.TEXT:
                self._sink.link_text(self)
            elif event.opcode in (Opcode.BINARY, Opcode.CONT):
                self._message = event.data if event.opcode is Opcode.BINARY else self._message + event.data
                if event.fin:
                    message, self._message = bytes(self._message), None
                    self._sink.link_bytes(self, message, True)
            elif event.opcode is Opcode.CLOSE:
                self._flush()
                self._tell_closed("the server has closed")
                self._transport.close()
                return
        self._flush()
        if self._socket.handshake_exc is not None or (self._upgraded and self._socket.close_expected()):
            self._tell_closed("the server broke the rules of WebSocket")
            self._transport.close()

    def send(self, data: bytes) -> None:
        if self._upgraded and self._sink is not None:
            self._socket.send_binary(data)
            self._flush()

    def _finish(self) -> None:
        if self._upgraded:
            self._socket.send_close(1000)
            self._flush()
        else:
            self._transport.close()

    def _flush(self) -> None:
        for data in self._socket.data_to_send():
            if data and not self._transport.is_closing():
                self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        if self._sink is not None:
            super().data_received(data)
        elif self._upgraded:
            # Only the answer to our close is waited for.
            self._socket.receive_data(data)
            self._socket.events_received()
            if self._socket.close_code is not None and self._transport is not None:
                self._transport.close()


def check_url(url: str) -> None:
    """Raises ValueError, with a sentence, for an address that cannot be dialled."""
    parts = urlsplit(url)
    if parts.scheme not in ("ws", "wss", "tcp", "tls") or not parts.hostname:
        raise ValueError(f"{url} is no address like ws://, wss://, tcp:// or tls:// and a host")
    if parts.port is None and parts.scheme in ("tcp", "tls"):
        raise ValueError(f"{url} names no port")


async def dial(url: str, sink: Sink) -> Link:
    """Connects. Raises OSError where nobody answers in time; the sink hears of the rest."""
    parts = urlsplit(url)
    secure = parts.scheme in ("wss", "tls")
    context = ssl.create_default_context() if secure else None
    loop = asyncio.get_running_loop()
    if parts.scheme in ("ws", "wss"):
        port = parts.port or (443 if secure else 80)
        making = loop.create_connection(lambda: WebSocketLink(sink, url), parts.hostname, port, ssl=context)
    else:
        if context is not None:
            context.set_alpn_protocols([ALPN])
        making = loop.create_connection(lambda: Link(sink), parts.hostname, parts.port, ssl=context)
    try:
        _, link = await asyncio.wait_for(making, DIAL_S)
    except asyncio.TimeoutError:
        raise OSError(f"no connection to {parts.hostname} in {DIAL_S:g} s") from None
    return link
