"""imwire on the wire: messages, bytes, and what makes bytes wrong. Chapter 2 of the specification.

Shared by the server and the client beside it; it knows nothing of sessions. In short:

    encode(Frame(ping=Ping(nonce=7)))              -> the bytes of one record
    reader = FrameReader(limit=HELLO_BYTES_MAX)
    for frame in reader.feed(chunk): ...           -> on TCP, however the bytes are cut
    for frame in reader.feed_message(message): ... -> on WebSocket, one binary message
"""

from .codes import CODES, Code
from .errors import WireError
from .framing import HELLO_BYTES_MAX, FrameReader, UnknownFrame, encode
from .messages import message_class

SUBPROTOCOL = "imwire.v1"
"""The WebSocket subprotocol. Clause FRAME-21."""

ALPN = "imwire/1"
"""The ALPN name on TCP with TLS. Chapter 3."""

__all__ = [
    "ALPN",
    "CODES",
    "Code",
    "FrameReader",
    "HELLO_BYTES_MAX",
    "SUBPROTOCOL",
    "UnknownFrame",
    "WireError",
    "encode",
    "message_class",
]
