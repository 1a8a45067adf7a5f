"""What survives the death of the process: one SQLite file in the client's folder.

Everything that has to happen together happens in one `act`: a send's seq and its leaving of the outbox (SEND-24), entries and the
cursor that covers them (ACK-10, PULL-11), the heads of a sync chain and its token (SYNC-7).

A seq is a uint64 and SQLite's integers are signed, so seqs are kept less 2^63: all 64 bits, in the right order (FRAME-16).
"""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .names import Entry, Key

VERSION = 1
"""Of the tables, in `user_version`. A later version of the client reads the older tables and writes the newer ones (EVO-4)."""

_TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE outbox (
  place INTEGER PRIMARY KEY AUTOINCREMENT,  -- the order in which they were sent, which repeats keep (ORDER-8)
  kind TEXT NOT NULL, peer TEXT NOT NULL, id BLOB NOT NULL,
  content_type TEXT NOT NULL, body BLOB NOT NULL, client_time_ms INTEGER NOT NULL,
  first_ms INTEGER,                         -- the wall clock at the first transmission; NULL before it
  state TEXT NOT NULL, code TEXT,
  UNIQUE (kind, peer, id)
);
CREATE TABLE conversations (
  kind TEXT NOT NULL, peer TEXT NOT NULL,
  cursor INTEGER NOT NULL, head INTEGER NOT NULL,
  read_seq INTEGER NOT NULL, read_known INTEGER NOT NULL,
  PRIMARY KEY (kind, peer)
) WITHOUT ROWID;
CREATE TABLE entries (
  kind TEXT NOT NULL, peer TEXT NOT NULL, seq INTEGER NOT NULL,
  unconfirmed INTEGER NOT NULL,             -- 0; else which change of epoch it was left behind by (RECON-7)
  condition TEXT NOT NULL, server_time_ms INTEGER NOT NULL, sender TEXT NOT NULL, id BLOB NOT NULL,
  content_type TEXT NOT NULL, body BLOB NOT NULL, client_time_ms INTEGER NOT NULL, own INTEGER NOT NULL,
  PRIMARY KEY (kind, peer, seq, unconfirmed)
) WITHOUT ROWID;
CREATE TABLE gaps (
  kind TEXT NOT NULL, peer TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, reason TEXT NOT NULL,
  PRIMARY KEY (kind, peer, first)
) WITHOUT ROWID;
CREATE TABLE watermarks (
  kind TEXT NOT NULL, peer TEXT NOT NULL, user TEXT NOT NULL, delivered INTEGER NOT NULL, read INTEGER NOT NULL,
  PRIMARY KEY (kind, peer, user)
) WITHOUT ROWID;
"""

_OFFSET = 1 << 63


def _down(seq: int) -> int:
    return seq - _OFFSET


def _up(value: int) -> int:
    return value + _OFFSET


class StoreError(Exception):
    """The folder cannot be used, with what to do about it."""


class Store:
    """The tables. Calls outside of an `act` are acts of their own."""

    def __init__(self, folder: str | Path) -> None:
        """Opens or makes the store in `folder`. Raises StoreError when another process has it (DEV-8)."""
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        self._lock = open(path / "lock", "w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise StoreError(f"{path} is in use by another client: stop that one first") from None
        self._db = sqlite3.connect(path / "client.sqlite", isolation_level=None)
        self._depth = 0
        # Durable for a client is what survives the death of its process (chapter 0): the log is written with each commit and left
        # to the system to bring to the disk.
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            self.close()
            raise StoreError(f"{path} was written by a newer client (tables {version}, known here: {VERSION})")
        if version == 0:
            self._db.executescript(f"BEGIN; {_TABLES} PRAGMA user_version={VERSION}; COMMIT;")

    def close(self) -> None:
        self._db.close()
        self._lock.close()

    @contextmanager
    def act(self) -> Iterator[None]:
        """Everything inside happens, or nothing of it. Acts inside of an act belong to the outer one."""
        if self._depth == 0:
            self._db.execute("BEGIN IMMEDIATE")
        self._depth += 1
        try:
            yield
        except BaseException:
            self._depth -= 1
            if self._depth == 0:
                self._db.execute("ROLLBACK")
            raise
        self._depth -= 1
        if self._depth == 0:
            self._db.execute("COMMIT")

    # --- single values

    def get(self, name: str, default):
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return default if row is None else row[0]

    def put(self, name: str, value) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    # --- the outbox

    def add_send(self, key: Key, id: bytes, content_type: str, body: bytes, client_time_ms: int) -> int:
        """Writes a send down and gives its place."""
        row = (*key, id, content_type, body, client_time_ms)
        insert = "INSERT INTO outbox (kind, peer, id, content_type, body, client_time_ms, state) VALUES (?, ?, ?, ?, ?, ?, 'queued')"
        return self._db.execute(insert, row).lastrowid

    def sends(self) -> list[tuple]:
        """(place, key, id, content type, body, client time, first transmission, state, code) by place."""
        rows = self._db.execute(
            "SELECT place, kind, peer, id, content_type, body, client_time_ms, first_ms, state, code FROM outbox ORDER BY place"
        )
        return [(place, (kind, peer), *rest) for place, kind, peer, *rest in rows]

    def note_send(self, place: int, first_ms: int | None, state: str, code: str | None) -> None:
        self._db.execute("UPDATE outbox SET first_ms = ?, state = ?, code = ? WHERE place = ?", (first_ms, state, code, place))

    def drop_send(self, place: int) -> None:
        self._db.execute("DELETE FROM outbox WHERE place = ?", (place,))

    # --- conversations

    def conversations(self) -> list[tuple]:
        """(key, cursor, head, own read mark, the server's read mark) of each."""
        rows = self._db.execute("SELECT kind, peer, cursor, head, read_seq, read_known FROM conversations")
        return [((kind, peer), *map(_up, numbers)) for kind, peer, *numbers in rows]

    def put_conversation(self, key: Key, cursor: int, head: int, read_seq: int, read_known: int) -> None:
        row = (*key, *map(_down, (cursor, head, read_seq, read_known)))
        self._db.execute("INSERT OR REPLACE INTO conversations VALUES (?, ?, ?, ?, ?, ?)", row)

    # --- entries

    def put_entry(self, key: Key, entry: Entry) -> None:
        row = (
            *key, _down(entry.seq), 0, entry.condition, _down(entry.server_time_ms), entry.sender, entry.client_msg_id,
            entry.content_type, entry.body, _down(entry.client_time_ms), int(entry.own),
        )  # fmt: skip
        self._db.execute("INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)

    def entries(self, key: Key, above: int = 0, unconfirmed: bool = False) -> list[Entry]:
        """The entries above a seq, rising; those of an epoch that has gone only where they are asked for."""
        rows = self._db.execute(
            "SELECT seq, condition, server_time_ms, sender, id, content_type, body, client_time_ms, own FROM entries"
            " WHERE kind = ? AND peer = ? AND seq > ? AND (unconfirmed = 0 OR ?) ORDER BY seq, unconfirmed",
            (*key, _down(above), unconfirmed),
        )
        return [_entry(row) for row in rows]

    def leave_behind(self, key: Key, above: int) -> int:
        """Marks the entries above a seq as not confirmed by the server; gives the highest of them, or 0 (RECON-7)."""
        (last,) = self._db.execute("SELECT max(unconfirmed) FROM entries WHERE kind = ? AND peer = ?", key).fetchone()
        (top,) = self._db.execute(
            "SELECT max(seq) FROM entries WHERE kind = ? AND peer = ? AND seq > ? AND unconfirmed = 0", (*key, _down(above))
        ).fetchone()
        if top is None:
            return 0
        self._db.execute(
            "UPDATE entries SET unconfirmed = ? WHERE kind = ? AND peer = ? AND seq > ? AND unconfirmed = 0",
            ((last or 0) + 1, *key, _down(above)),
        )
        return _up(top)

    def confirm(self, key: Key, entry: Entry) -> bool:
        """Takes an entry out of those left behind, when the server gives it again. Whether it was among them."""
        found = self._db.execute(
            "DELETE FROM entries WHERE kind = ? AND peer = ? AND seq = ? AND sender = ? AND id = ? AND unconfirmed > 0",
            (*key, _down(entry.seq), entry.sender, entry.client_msg_id),
        )
        return found.rowcount > 0

    # --- what is missing, and how far others are

    def put_gap(self, key: Key, first: int, last: int, reason: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO gaps VALUES (?, ?, ?, ?, ?)", (*key, _down(first), _down(last), reason))

    def drop_gaps(self, key: Key, above: int) -> None:
        """Forgets the ranges above a seq: in another epoch they mean nothing."""
        self._db.execute("DELETE FROM gaps WHERE kind = ? AND peer = ? AND first > ?", (*key, _down(above)))

    def watermarks(self) -> dict[tuple[Key, str], tuple[int, int]]:
        rows = self._db.execute("SELECT kind, peer, user, delivered, read FROM watermarks")
        return {((kind, peer), user): (_up(delivered), _up(read)) for kind, peer, user, delivered, read in rows}

    def put_watermark(self, key: Key, user: str, delivered: int, read: int) -> None:
        self._db.execute("INSERT OR REPLACE INTO watermarks VALUES (?, ?, ?, ?, ?)", (*key, user, _down(delivered), _down(read)))

    def drop_watermarks(self) -> None:
        self._db.execute("DELETE FROM watermarks")


def _entry(row: tuple) -> Entry:
    seq, condition, server_time, sender, id, content_type, body, client_time, own = row
    return Entry(_up(seq), condition, _up(server_time), sender, id, content_type, body, _up(client_time), bool(own))
