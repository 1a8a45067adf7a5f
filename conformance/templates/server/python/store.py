"""What the server knows: conversations, cursors and read marks, in one SQLite file. This file is complete.

A method that changes something comes back when the change is on the disk. A real server has its database in this place.
"""

import json
import os
import pathlib
import sqlite3
import time
from typing import NamedTuple

import wire

# One row is an entry, its seq and the record by which a repeat is known: they cannot come apart (SEND-4).
# FULL: what is committed survives a power cut, as Welcome.durability says.
SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value);
CREATE TABLE IF NOT EXISTS entry (
    conversation TEXT, seq INT, sender TEXT, device TEXT, id BLOB, entry BLOB,
    PRIMARY KEY (conversation, seq), UNIQUE (conversation, sender, id));
CREATE TABLE IF NOT EXISTS cursor (
    conversation TEXT, user TEXT, device TEXT, seq INT, PRIMARY KEY (conversation, user, device));
CREATE TABLE IF NOT EXISTS member (
    user TEXT, conversation TEXT, read_seq INT DEFAULT 0, activity INT, changed INT, PRIMARY KEY (user, conversation));
CREATE INDEX IF NOT EXISTS member_changed ON member (changed);
"""


class Conversation(NamedTuple):
    key: str  # '["pair","ann","ben"]' or '["group","team"]'
    members: tuple

    @property
    def is_group(self):
        return self.key.startswith('["group"')


class Place(NamedTuple):
    """A conversation of a user: at which change it last grew, and last changed for this user. They are counted from 1."""

    conversation: Conversation
    activity: int
    changed: int


class Store:
    def __init__(self, folder, accounts):
        """accounts: {"users": [{"id": …, "token": …}], "groups": [{"id": …, "members": […]}]}"""
        self._users = {user["id"] for user in accounts["users"]}
        self._groups = {group["id"]: tuple(group["members"]) for group in accounts.get("groups", [])}
        self._db = sqlite3.connect(str(pathlib.Path(folder) / "server.db"), isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.executescript(SCHEMA)
        # The name of this log, and a secret for tokens. Both live as long as the data.
        self.epoch = self._meta("epoch", os.urandom(8).hex())
        self.secret = self._meta("secret", os.urandom(32))

    def _rows(self, sql, *values):
        return self._db.execute(sql, values).fetchall()

    def _meta(self, name, otherwise):
        self._rows("INSERT OR IGNORE INTO meta VALUES (?, ?)", name, otherwise)
        return self._rows("SELECT value FROM meta WHERE name = ?", name)[0]["value"]

    # ---- Conversations ----

    def find(self, user, address):
        """The conversation that a user means; None when there is none that this user can see (SEC-2, SEC-6)."""
        if address.WhichOneof("peer") == "group_id":
            is_member = user in self._groups.get(address.group_id, ())
            return self._open(json.dumps(["group", address.group_id])) if is_member else None
        is_user = address.user_id in self._users
        return self._open(json.dumps(["pair", *sorted([user, address.user_id])])) if is_user else None

    def _open(self, key):
        kind, *ids = json.loads(key)
        return Conversation(key, self._groups.get(ids[0], ()) if kind == "group" else tuple(dict.fromkeys(ids)))

    def address(self, conversation, user):
        """What a conversation is called by a member."""
        kind, *ids = json.loads(conversation.key)
        if kind == "group":
            return wire.message("Conversation", group_id=ids[0])
        return wire.message("Conversation", user_id=next((id for id in ids if id != user), user))

    def changed(self, user, since):
        """The Places of a user that have changed behind the change `since`, by activity, newest first."""
        rows = self._rows("SELECT * FROM member WHERE user = ? AND changed > ? ORDER BY activity DESC", user, since)
        places = [Place(self._open(row["conversation"]), row["activity"], row["changed"]) for row in rows]
        return [place for place in places if user in place.conversation.members]

    def changes(self):
        """How many changes there have been."""
        return self._rows("SELECT max(changed) AS n FROM member")[0]["n"] or 0

    # ---- Entries ----

    def head(self, conversation):
        return self._rows("SELECT max(seq) AS n FROM entry WHERE conversation = ?", conversation.key)[0]["n"] or 0

    def entries(self, conversation, after, before, limit, newest=False):
        """Up to limit entries between the two, which are not among them: the oldest, rising, or the newest, falling."""
        rows = self._rows(
            "SELECT entry FROM entry WHERE conversation = ? AND seq > ? AND seq < ? ORDER BY seq %s LIMIT ?"
            % ("DESC" if newest else "ASC"),
            conversation.key,
            after,
            before,
            limit,
        )
        return [_entry(row) for row in rows]

    def accepted(self, conversation, user, id):
        """The entry that a user sent under an id (DEDUP-1), or None."""
        rows = self._rows(
            "SELECT entry FROM entry WHERE conversation = ? AND sender = ? AND id = ?", conversation.key, user, id
        )
        return _entry(rows[0]) if rows else None

    def commit(self, conversation, device, **message):
        """Commits a message. The entry that it has become is on the disk when this returns (SEND-3)."""
        with _transaction(self._db):
            seq = self.head(conversation) + 1  # 1, 2, 3, … (ORDER-1)
            # Kept as every frame carries it, to every device the same (PUSH-14).
            entry = wire.message("Entry", seq=seq, server_time_ms=int(time.time() * 1000), message=message)
            sender, id = message["sender_id"], message["client_msg_id"]
            self._rows(
                "INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?)",
                conversation.key,
                seq,
                sender,
                device,
                id,
                entry.SerializeToString(),
            )
            change = self.changes() + 1
            for member in conversation.members:
                self._rows(
                    "INSERT INTO member (user, conversation, activity, changed) VALUES (?, ?, ?, ?)"
                    " ON CONFLICT DO UPDATE SET activity = excluded.activity, changed = excluded.changed",
                    member,
                    conversation.key,
                    change,
                    change,
                )
            # A device has what it has sent (ACK-6).
            self._move_cursor(conversation, sender, device, 0)
        return entry

    def device(self, conversation, seq):
        """The device that an entry came from."""
        rows = self._rows("SELECT device FROM entry WHERE conversation = ? AND seq = ?", conversation.key, seq)
        return rows[0]["device"]

    def unread(self, conversation, user):
        return self._rows(
            "SELECT count(*) AS n FROM entry WHERE conversation = ? AND seq > ? AND sender <> ?",
            conversation.key,
            self.read(conversation, user),
            user,
        )[0]["n"]

    # ---- Cursors and marks ----

    def cursor(self, conversation, user, device):
        """Everything up to it is durable on the device, or not wanted."""
        rows = self._rows(
            "SELECT seq FROM cursor WHERE conversation = ? AND user = ? AND device = ?", conversation.key, user, device
        )
        return rows[0]["seq"] if rows else 0

    def raise_cursor(self, conversation, user, device, seq):
        """A cursor only grows (ACK-7)."""
        if seq > self.cursor(conversation, user, device):
            with _transaction(self._db):
                self._move_cursor(conversation, user, device, seq)

    def _move_cursor(self, conversation, user, device, seq):
        """To seq, if that is higher, and on over what this very device has sent."""
        before = self.cursor(conversation, user, device)
        after = max(seq, before)
        for row in self._db.execute(
            "SELECT sender, device FROM entry WHERE conversation = ? AND seq > ? ORDER BY seq", (conversation.key, after)
        ):
            if (row["sender"], row["device"]) != (user, device):
                break
            after += 1
        if after > before:
            self._rows("INSERT OR REPLACE INTO cursor VALUES (?, ?, ?, ?)", conversation.key, user, device, after)

    def delivered(self, conversation, user):
        """At least one device of the user has everything up to it, or the user has read it (READ-5)."""
        rows = self._rows(
            "SELECT max(seq) AS n FROM cursor WHERE conversation = ? AND user = ?", conversation.key, user
        )
        return max(rows[0]["n"] or 0, self.read(conversation, user))

    def read(self, conversation, user):
        rows = self._rows("SELECT read_seq FROM member WHERE user = ? AND conversation = ?", user, conversation.key)
        return rows[0]["read_seq"] if rows else 0

    def raise_read(self, conversation, user, seq):
        """Whether the mark has risen (READ-1)."""
        return bool(
            self._db.execute(
                "UPDATE member SET read_seq = ?, changed = ? WHERE user = ? AND conversation = ? AND read_seq < ?",
                (seq, self.changes() + 1, user, conversation.key, seq),
            ).rowcount
        )


def _entry(row):
    return wire.message("Entry").FromString(row["entry"])


class _transaction:
    """All of it is on the disk behind it, or nothing."""

    def __init__(self, db):
        self._db = db

    def __enter__(self):
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind, *_):
        self._db.execute("ROLLBACK" if kind else "COMMIT")
