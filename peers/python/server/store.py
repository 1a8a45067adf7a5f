"""What survives a crash: one SQLite file. The database's own keys hold dedup and seq (SEND-4, DEDUP-1, ORDER-1).

Everything that one turn of the event loop writes is one transaction: the first write begins it, Hub.flush commits it, and only
then do the frames of that turn leave. So nothing that a peer has been told can be lost (SEND-3, PUSH-5).

SQLite's integers have 63 bits and a sign, seqs have 64 bits (FRAME-16): they are stored with 2^63 taken off, which keeps their order.
"""

from __future__ import annotations

import fcntl
import secrets
import sqlite3
from contextlib import contextmanager
from pathlib import Path

from .view import GROUP, PAIR, Log, View

SHIFT = 1 << 63

SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS logs (
  id INTEGER PRIMARY KEY, kind TEXT NOT NULL, one TEXT NOT NULL, other TEXT NOT NULL,
  head INTEGER NOT NULL, floor INTEGER NOT NULL, UNIQUE (kind, one, other));
CREATE TABLE IF NOT EXISTS members (
  log INTEGER NOT NULL, user TEXT NOT NULL, start INTEGER NOT NULL, stop INTEGER, change INTEGER NOT NULL,
  PRIMARY KEY (log, user, start)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS members_by_user ON members (user, log);
CREATE TABLE IF NOT EXISTS entries (
  log INTEGER NOT NULL, seq INTEGER NOT NULL, change INTEGER NOT NULL, user TEXT NOT NULL, device TEXT NOT NULL,
  gone INTEGER NOT NULL, entry BLOB NOT NULL, PRIMARY KEY (log, seq));
CREATE INDEX IF NOT EXISTS entries_by_change ON entries (log, change);
CREATE TABLE IF NOT EXISTS sends (
  log INTEGER NOT NULL, user TEXT NOT NULL, client_msg_id BLOB NOT NULL, seq INTEGER NOT NULL, at_ms INTEGER NOT NULL,
  digest BLOB NOT NULL, PRIMARY KEY (log, user, client_msg_id), UNIQUE (log, seq)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS cursors (
  log INTEGER NOT NULL, user TEXT NOT NULL, device TEXT NOT NULL, seq INTEGER NOT NULL,
  PRIMARY KEY (log, user, device)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS marks (
  log INTEGER NOT NULL, user TEXT NOT NULL, read INTEGER NOT NULL, delivered INTEGER NOT NULL, change INTEGER NOT NULL,
  PRIMARY KEY (log, user)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tokens (digest BLOB PRIMARY KEY, user TEXT NOT NULL, expires_at_ms INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS revoked (user TEXT PRIMARY KEY) WITHOUT ROWID;
"""


class StoreInUse(Exception):
    """Two servers are not to have one store."""


class Store:
    """Opens or makes `imwire.sqlite3` in a folder. One process has it at a time."""

    def __init__(self, folder: str) -> None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        # SQLite would let two servers take turns on one file, and each would tell its own sessions only.
        self._lock = open(Path(folder) / "imwire.lock", "w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise StoreInUse(f"another server has the data in {folder}") from None
        self._db = sqlite3.connect(Path(folder) / "imwire.sqlite3", isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        # FULL: a commit returns when the bytes are on the disk, so power may go at any moment behind it.
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.executescript(SCHEMA)
        self.secret = self._meta("secret", secrets.token_bytes(32))
        self.epoch = self._meta("epoch", secrets.token_hex(16))
        self.change: int = self._meta("change", 0)
        self._kept_change = self.change
        self.commit()

    def _meta(self, name: str, first):
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        if row is not None:
            return row[0]
        self.write("INSERT INTO meta VALUES (?, ?)", (name, first))
        return first

    # --- turns -----------------------------------------------------------------------------------------------------------

    def write(self, sql: str, values: tuple = ()) -> sqlite3.Cursor:
        """One change, in the transaction of this turn."""
        if not self._db.in_transaction:
            self._db.execute("BEGIN IMMEDIATE")
        return self._db.execute(sql, values)

    def commit(self) -> None:
        """Makes this turn's changes durable. Raises sqlite3.Error; then nothing is known of them."""
        if self.change != self._kept_change:
            self.write("UPDATE meta SET value = ? WHERE name = 'change'", (self.change,))
        if self._db.in_transaction:
            self._db.execute("COMMIT")
        self._kept_change = self.change

    def rollback(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
        # Numbers of changes may be left out, but never be given again: tokens count by them (SYNC-5).

    @contextmanager
    def one_act(self):
        """Several changes that are made all or not at all, within the turn."""
        if not self._db.in_transaction:
            self._db.execute("BEGIN IMMEDIATE")
        self._db.execute("SAVEPOINT act")
        try:
            yield
        except BaseException:
            # On some faults SQLite undoes the whole turn by itself; then this raises too, and Hub gives the turn up.
            self._db.execute("ROLLBACK TO act")
            self._db.execute("RELEASE act")
            raise
        self._db.execute("RELEASE act")

    def fault(self, on: bool) -> None:
        """Lets every write fail, as on a disk that has become read-only: for the control `storeFault`."""
        self._db.execute(f"PRAGMA query_only = {'ON' if on else 'OFF'}")

    def close(self) -> None:
        self.commit()
        self._db.close()
        self._lock.close()

    def next_change(self) -> int:
        self.change += 1
        return self.change

    def new_epoch(self) -> None:
        """Names the log anew: its seqs may now stand for other messages (ORDER-13). A random name never comes again (ORDER-14)."""
        self.epoch = secrets.token_hex(16)
        self.write("UPDATE meta SET value = ? WHERE name = 'epoch'", (self.epoch,))

    # --- conversations ---------------------------------------------------------------------------------------------------

    def _log(self, where: str, values: tuple) -> Log | None:
        row = self._db.execute(f"SELECT id, kind, one, other, head, floor FROM logs WHERE {where}", values).fetchone()
        return None if row is None else Log(*row[:4], row[4] + SHIFT, row[5] + SHIFT)

    def find_log(self, key: tuple[str, str, str]) -> Log:
        """The conversation with this Log.key, which is one that the store or this turn has made."""
        found = self._log("kind = ? AND one = ? AND other = ?", key)
        return found or Log(0, *key, 0, 1)

    def log(self, log_id: int) -> Log | None:
        return self._log("id = ?", (log_id,))

    def group(self, group: str) -> Log | None:
        return self._log("kind = ? AND one = ?", (GROUP, group))

    def pair(self, user: str, other: str) -> Log:
        """The one conversation that both names of a pair mean (SEC-6). One without an entry is not stored: its id is 0."""
        one, two = sorted((user, other), key=str.encode)
        return self.find_log((PAIR, one, two))

    def keep(self, log: Log) -> None:
        """Gives a pair's conversation its place in the store, with both as members."""
        if log.id == 0:
            log.id = self._make(log.kind, log.one, log.other, log.head, log.floor)
            for user in {log.one, log.other}:
                self.join(log, user)

    def _make(self, kind: str, one: str, other: str, head: int, floor: int) -> int:
        values = (kind, one, other, head - SHIFT, floor - SHIFT)
        return self.write("INSERT INTO logs (kind, one, other, head, floor) VALUES (?, ?, ?, ?, ?)", values).lastrowid

    def make_group(self, group: str, members: list[str], first_seq: int = 1) -> None:
        log = Log(self._make(GROUP, group, "", first_seq - 1, 1), GROUP, group, "", first_seq - 1, 1)
        for user in members:
            self.join(log, user)

    def join(self, log: Log, user: str) -> None:
        values = (log.id, user, log.head + 1 - SHIFT, self.next_change())
        # Who left and comes back before anything was said has missed nothing: the stay goes on.
        self.write("INSERT INTO members VALUES (?, ?, ?, NULL, ?) ON CONFLICT DO UPDATE SET stop = NULL, change = excluded.change", values)

    def leave(self, log: Log, user: str) -> None:
        values = (log.head - SHIFT, self.next_change(), log.id, user)
        self.write("UPDATE members SET stop = ?, change = ? WHERE log = ? AND user = ? AND stop IS NULL", values)

    def members(self, log: Log) -> list[str]:
        """Who is in it now."""
        if log.kind == PAIR:
            return sorted({log.one, log.other})
        rows = self._db.execute("SELECT user FROM members WHERE log = ? AND stop IS NULL", (log.id,))
        return [row[0] for row in rows]

    def view(self, log: Log, user: str) -> View | None:
        """What a user sees of it; None for whom it might as well not exist (SEC-2)."""
        if log.kind == PAIR:
            return View(log, [(1, None)])
        rows = self._db.execute("SELECT start, stop FROM members WHERE log = ? AND user = ? ORDER BY start", (log.id, user))
        stays = [(start + SHIFT, None if stop is None else stop + SHIFT) for start, stop in rows]
        return View(log, stays) if stays else None

    def logs_of(self, user: str) -> list[tuple[Log, int]]:
        """Every stored conversation that a user is or was in, with the change of the latest joining or leaving."""
        rows = self._db.execute("SELECT log, max(change) FROM members WHERE user = ? GROUP BY log", (user,)).fetchall()
        return [(self.log(log), change) for log, change in rows]

    # --- entries ---------------------------------------------------------------------------------------------------------

    def append(self, log: Log, seq: int, user: str, device: str, entry: bytes) -> None:
        """The next entry of a conversation. A seq that is taken already breaks the key (ORDER-2)."""
        change = self.next_change()
        self.write("INSERT INTO entries VALUES (?, ?, ?, ?, ?, 0, ?)", (log.id, seq - SHIFT, change, user, device, entry))
        self.write("UPDATE logs SET head = ? WHERE id = ?", (seq - SHIFT, log.id))
        log.head = seq

    def entries(self, log: Log, first: int, last: int, backwards: bool = False):
        """The encoded entries of a run of seqs, one by one."""
        order = "DESC" if backwards else "ASC"
        sql = f"SELECT entry FROM entries WHERE log = ? AND seq BETWEEN ? AND ? ORDER BY seq {order}"
        return (row[0] for row in self._db.execute(sql, (log.id, first - SHIFT, last - SHIFT)))

    def entry(self, log: Log, seq: int) -> bytes | None:
        return next(self.entries(log, seq, seq), None)

    def sender(self, log: Log, seq: int) -> tuple[str, str] | None:
        """The user and the device that sent an entry."""
        sql = "SELECT user, device FROM entries WHERE log = ? AND seq = ?"
        return self._db.execute(sql, (log.id, seq - SHIFT)).fetchone()

    def unread(self, log: Log, user: str, first: int, last: int) -> int:
        """How many messages from first to last others sent (SYNC-11)."""
        sql = "SELECT count(*) FROM entries WHERE log = ? AND seq BETWEEN ? AND ? AND gone = 0 AND user <> ?"
        return self._db.execute(sql, (log.id, first - SHIFT, last - SHIFT, user)).fetchone()[0]

    def latest_change(self, log: Log, first: int, last: int, until: int) -> int:
        """The change of the newest entry from first to last that was there at the change `until`; 0: none."""
        sql = "SELECT max(change) FROM entries WHERE log = ? AND seq BETWEEN ? AND ? AND change <= ?"
        return self._db.execute(sql, (log.id, first - SHIFT, last - SHIFT, until)).fetchone()[0] or 0

    def bury(self, log: Log, seq: int, tombstone: bytes) -> None:
        """Puts a tombstone in the place of an entry (PULL-15). Its send is still known (DEDUP-13)."""
        self.write("UPDATE entries SET gone = 1, entry = ? WHERE log = ? AND seq = ?", (tombstone, log.id, seq - SHIFT))

    def raise_floor(self, log: Log, floor: int) -> None:
        """Drops what is below a floor, and says so by the floor (PULL-16)."""
        self.write("DELETE FROM entries WHERE log = ? AND seq < ?", (log.id, floor - SHIFT))
        self.write("UPDATE logs SET floor = ? WHERE id = ?", (floor - SHIFT, log.id))
        log.floor = floor

    # --- sends -----------------------------------------------------------------------------------------------------------

    def send(self, log: Log, user: str, client_msg_id: bytes) -> tuple[int, int, bytes] | None:
        """An accepted send: its seq, its time and the digest of its content. The device is no part of the key (DEDUP-1)."""
        sql = "SELECT seq, at_ms, digest FROM sends WHERE log = ? AND user = ? AND client_msg_id = ?"
        row = self._db.execute(sql, (log.id, user, client_msg_id)).fetchone()
        return None if row is None else (row[0] + SHIFT, row[1], row[2])

    def keep_send(self, log: Log, user: str, client_msg_id: bytes, seq: int, at_ms: int, digest: bytes) -> None:
        self.write("INSERT INTO sends VALUES (?, ?, ?, ?, ?, ?)", (log.id, user, client_msg_id, seq - SHIFT, at_ms, digest))

    # --- devices, marks, tokens ------------------------------------------------------------------------------------------

    def cursor(self, log: Log, user: str, device: str) -> int:
        sql = "SELECT seq FROM cursors WHERE log = ? AND user = ? AND device = ?"
        row = self._db.execute(sql, (log.id, user, device)).fetchone()
        return 0 if row is None else row[0] + SHIFT

    def set_cursor(self, log: Log, user: str, device: str, seq: int) -> None:
        self.write("INSERT OR REPLACE INTO cursors VALUES (?, ?, ?, ?)", (log.id, user, device, seq - SHIFT))

    def marks(self, log: Log, user: str) -> tuple[int, int, int]:
        """A user's read mark, delivered mark, and the change with which something of them last rose for this user's devices."""
        row = self._db.execute("SELECT read, delivered, change FROM marks WHERE log = ? AND user = ?", (log.id, user)).fetchone()
        return (0, 0, 0) if row is None else (row[0] + SHIFT, row[1] + SHIFT, row[2])

    def set_marks(self, log: Log, user: str, read: int, delivered: int, change: int) -> None:
        values = (log.id, user, read - SHIFT, delivered - SHIFT, change)
        self.write("INSERT OR REPLACE INTO marks VALUES (?, ?, ?, ?, ?)", values)

    def touch(self, log: Log, user: str) -> None:
        """Lets the conversation stand in the user's next sync."""
        read, delivered, _ = self.marks(log, user)
        self.set_marks(log, user, read, delivered, self.next_change())

    def keep_token(self, digest: bytes, user: str, expires_at_ms: int) -> None:
        self.write("INSERT INTO tokens VALUES (?, ?, ?)", (digest, user, expires_at_ms))

    def token(self, digest: bytes) -> tuple[str, int] | None:
        return self._db.execute("SELECT user, expires_at_ms FROM tokens WHERE digest = ?", (digest,)).fetchone()

    def revoke(self, user: str) -> None:
        self.write("INSERT OR IGNORE INTO revoked VALUES (?)", (user,))

    def is_revoked(self, user: str) -> bool:
        return self._db.execute("SELECT 1 FROM revoked WHERE user = ?", (user,)).fetchone() is not None
