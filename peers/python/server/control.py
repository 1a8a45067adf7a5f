"""Lines of JSON on stdin by which an operator, or the suite, changes what is there (conformance/PEERS.md)."""

from __future__ import annotations

import json
import sqlite3

from wire.messages import enum_values, message_class

from .hub import Hub
from .view import Log

Entry = message_class("Entry")
Tombstone = message_class("Tombstone")
EXPIRED = enum_values("TombstoneReason")["TOMBSTONE_REASON_EXPIRED"]


class Impossible(Exception):
    """What a line asks for cannot be done; the text says why."""


def control(hub: Hub, line: str) -> str | None:
    """Does what a line says, and gives the line that answers it; None for a line that is empty."""
    if not line.strip():
        return None
    asked = {}
    try:
        asked = json.loads(line)
        handler = HANDLERS.get(asked["control"])
        if handler is None:
            return json.dumps({"id": asked["id"], "unsupported": True})
        more = handler(hub, asked) or {}
        hub.end_turn()  # the answer says that it is done, so it is durable first
        return json.dumps({"id": asked["id"], "done": True, **more})
    except (Impossible, sqlite3.Error) as error:
        return json.dumps({"id": asked["id"], "error": str(error)})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        said = f"this line is not one of conformance/PEERS.md: {error!r}"
        return json.dumps({"id": asked.get("id", 1) if isinstance(asked, dict) else 1, "error": said})


def _group(hub: Hub, asked: dict) -> Log:
    log = hub.store.group(asked["group"])
    if log is None:
        raise Impossible(f"there is no group {asked['group']}")
    return log


def _create_group(hub: Hub, asked: dict) -> None:
    if hub.store.group(asked["group"]) is not None:
        raise Impossible(f"there is a group {asked['group']} already")
    hub.store.make_group(asked["group"], asked["members"])


def _add_member(hub: Hub, asked: dict) -> None:
    log = _group(hub, asked)
    if asked["user"] not in hub.store.members(log):
        hub.store.join(log, asked["user"])


def _remove_member(hub: Hub, asked: dict) -> None:
    hub.store.leave(_group(hub, asked), asked["user"])


def _kick(hub: Hub, asked: dict) -> None:
    session = hub.session_of(asked["user"], asked["device"])
    if session is not None:
        session.go_away("KICKED")  # DEV-6


def _revoke(hub: Hub, asked: dict) -> None:
    hub.store.revoke(asked["user"])
    for session in hub.sessions_of(asked["user"]):
        session.go_away("TOKEN_REJECTED")


def _drain(hub: Hub, asked: dict) -> None:
    for session in hub.all_sessions():
        session.go_away("DRAINING", asked["reconnectWindowMs"])  # AWAY-1, AWAY-2


def _expire(hub: Hub, asked: dict) -> None:
    named = asked["conversation"]
    log = _group(hub, named) if "group" in named else hub.store.pair(*named["users"])
    up_to = min(int(asked["upTo"]), log.head)
    if asked["as"] == "floor":
        if up_to >= log.floor:
            hub.store.raise_floor(log, up_to + 1)
    else:
        for encoded in list(hub.store.entries(log, log.floor, up_to)):
            entry = Entry.FromString(encoded)
            entry.tombstone.CopyFrom(Tombstone(reason=EXPIRED))  # of a oneof: the message goes (PULL-15)
            hub.store.bury(log, entry.seq, entry.SerializeToString())
    for user in hub.store.members(log):
        hub.store.touch(log, user)


def _token(hub: Hub, asked: dict) -> dict:
    if not hub.people.known(asked["user"]):
        raise Impossible(f"there is no user {asked['user']}")
    return {"token": hub.people.make_token(asked["user"], asked["expiresAtMs"])}


def _store_fault(hub: Hub, asked: dict) -> None:
    hub.end_turn()
    hub.store.fault(asked["on"])


HANDLERS = {
    "createGroup": _create_group,
    "addMember": _add_member,
    "removeMember": _remove_member,
    "kick": _kick,
    "revoke": _revoke,
    "drain": _drain,
    "expire": _expire,
    "token": _token,
    "storeFault": _store_fault,
}
