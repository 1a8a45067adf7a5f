"""The registry of codes (chapter 9): what is sent beside each. ERR-2 wants the same from every peer.

A test compares this table with the comments in proto/imwire/v1/codes.proto.
"""

from __future__ import annotations

from dataclasses import dataclass

from .messages import enum_values

ERROR_CODE = enum_values("ErrorCode")
ERROR_SCOPE = enum_values("ErrorScope")
RETRY_CLASS = enum_values("RetryClass")
FATE = enum_values("Fate")


@dataclass(frozen=True)
class Code:
    """One code: its numbers on the wire."""

    name: str
    number: int
    scope: int
    retry: int
    fate: int  # FATE_UNSPECIFIED where no SendAck carries it


_TABLE = """
MALFORMED            SESSION  RECONNECT          -
FRAME_TOO_LARGE      SESSION  RECONNECT          -
UNSUPPORTED_FRAME    REQUEST  NEVER              -
PROTOCOL_VIOLATION   SESSION  RECONNECT          -
ACK_TOO_HIGH         SESSION  RECONNECT          -
NOT_AUTHENTICATED    SESSION  RECONNECT          -
TOKEN_REJECTED       SESSION  REAUTH             -
TOKEN_EXPIRED        SESSION  REAUTH             -
AUTH_TIMEOUT         SESSION  RECONNECT          -
VERSION_UNSUPPORTED  SESSION  NEVER              -
INVALID_ARGUMENT     REQUEST  NEVER              NOT_DONE
NOT_FOUND            REQUEST  NEVER              NOT_DONE
FORBIDDEN            REQUEST  NEVER              NOT_DONE
ID_CONFLICT          REQUEST  NEVER              NOT_DONE
OUT_OF_ORDER         REQUEST  AFTER_PREDECESSOR  NOT_DONE
SEND_WINDOW_EXCEEDED REQUEST  LATER              NOT_DONE
RATE_LIMITED         REQUEST  LATER              NOT_DONE
OVERLOADED           REQUEST  LATER              NOT_DONE
BODY_TOO_LARGE       REQUEST  NEVER              NOT_DONE
BODY_CORRUPT         REQUEST  LATER              NOT_DONE
STORE_UNAVAILABLE    REQUEST  LATER              NOT_DONE
OUTCOME_UNKNOWN      REQUEST  LATER              UNKNOWN
CURSOR_AHEAD         REQUEST  AFTER_RESYNC       -
SYNC_TOKEN_INVALID   REQUEST  AFTER_RESYNC       -
BODY_DAMAGED         REQUEST  NEVER              -
SESSION_REPLACED     SESSION  NEVER              -
KICKED               SESSION  NEVER              -
DRAINING             SESSION  RECONNECT          -
STALLED              SESSION  RECONNECT          -
TOO_MANY_SESSIONS    SESSION  RECONNECT          -
INTERNAL             SESSION  RECONNECT          -
EPOCH_CHANGED        SESSION  RECONNECT          -
HEARTBEAT_TIMEOUT    SESSION  RECONNECT          -
HELLO_INVALID        SESSION  NEVER              -
HELLO_STALE          SESSION  RECONNECT          -
"""


def _read(line: str) -> Code:
    name, scope, retry, fate = line.split()
    return Code(
        name,
        ERROR_CODE[f"ERROR_CODE_{name}"],
        ERROR_SCOPE[f"ERROR_SCOPE_{scope}"],
        RETRY_CLASS[f"RETRY_CLASS_{retry}"],
        FATE["FATE_UNSPECIFIED" if fate == "-" else f"FATE_{fate}"],
    )


CODES: dict[str, Code] = {code.name: code for code in map(_read, _TABLE.strip().splitlines())}
"""Every code by its name, as CODES["MALFORMED"]."""
