"""A client of imwire. It connects, says Hello, is welcomed, and comes back when the connection is lost.

What is missing stands as TODO, in the order of GUIDE.md. What is in brackets is a clause of the specification:
npx imwire-conformance explain SEND-1
"""

import asyncio
import os
import pathlib
import random
import sqlite3
import sys
import time
import zlib

import wire
from wire import CODE, CODE_NAMES, FATE, RETRY, SCOPE, SEND_STATE, Frame

CAPABILITIES = [
    "transport.websocket",
    "transport.tcp",
    # TODO 2a: the program may be killed: what it has promised is in its store
]

VERSION = 1000

SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value);
CREATE TABLE IF NOT EXISTS outbox (
    n INTEGER PRIMARY KEY AUTOINCREMENT, id BLOB, conversation TEXT, content_type TEXT, body BLOB, client_time_ms INT,
    first_sent_ms INT, state TEXT, code TEXT);
CREATE TABLE IF NOT EXISTS conversation (
    name TEXT PRIMARY KEY, cursor INT DEFAULT 0, head INT DEFAULT 0, read_seq INT DEFAULT 0);
CREATE TABLE IF NOT EXISTS entry (
    conversation TEXT, seq INT, sender TEXT, id BLOB, content_type TEXT, body BLOB, own INT, condition TEXT,
    PRIMARY KEY (conversation, seq));
"""


class Session:
    """What begins with a connection and ends with it: nothing of it goes into the next one (RECON-4)."""

    def __init__(self, connection):
        self.connection = connection
        self.records = wire.Records()
        self.welcome = self.limits = self.timers = None
        self.is_open = False  # from Welcome to GoAway
        self.last_sent = self.last_heard = time.monotonic()
        self.tasks = []
        self.last_request_id = 0
        # Sends without a SendAck; those of them whose time is not over; and those that are asked about, by request id.
        self.unanswered = set()
        self.in_flight = set()
        self.queries = {}
        # The highest push that came, and (push_seq, conversation, seq) of those that are not acknowledged.
        self.pushed = 0
        self.unacknowledged = []
        # The conversations of open pulls, by request id; and those that grew meanwhile.
        self.pulls = {}
        self.pull_again = set()
        # The request id of the open sync, and what it has named so far.
        self.sync_id = 0
        self.sync_states = []

    def later(self, seconds, act):
        """Calls act later, unless the session has ended by then."""

        async def wait():
            await asyncio.sleep(seconds)
            act()

        self.tasks.append(asyncio.ensure_future(wait()))

    def send(self, kind, **fields):
        """Sends a frame: send("ping", nonce=7)."""
        frame = Frame()
        content = getattr(frame, kind)
        content.SetInParent()
        for name, value in fields.items():
            if isinstance(value, list):
                getattr(content, name).extend(value)
            elif hasattr(value, "DESCRIPTOR"):
                getattr(content, name).CopyFrom(value)
            else:
                setattr(content, name, value)
        self.connection.write(wire.encode(frame))
        self.last_sent = time.monotonic()

    def request(self, kind, **fields):
        """Sends a request. Returns its request id, which no other request of the session has (PULL-17)."""
        self.last_request_id += 1
        self.send(kind, request_id=self.last_request_id, **fields)
        return self.last_request_id


class Client:
    def __init__(self, url, device, token, folder, receive_window, tell):
        self._url = url
        self._device = device
        self._token = token
        self._receive_window = receive_window
        self._tell = tell  # tell("state", clientMsgId=..., state="sent")
        self._session = None
        self._running = None
        self._is_stopped = False  # a server has said never
        self._new_token = None  # a future, while a token is waited for
        self._store = sqlite3.connect(str(pathlib.Path(folder) / "client.db"), isolation_level=None)
        self._store.row_factory = sqlite3.Row
        self._store.executescript(SCHEMA)
        # A counter of starts tells an old Hello from a new one (DEV-10).
        self._run = int(self._meta("run", 0)) + 1
        self._set_meta("run", self._run)
        self._attempt = 0
        self._user = self._meta("user", "")
        # Least, base and most, milliseconds, until a Welcome says otherwise (RECON-1).
        self._reconnect = (500, 500, 20000)
        self._failures = 0
        self._not_before = 0.0
        # Of a send: how often it went out, and when it may go out again.
        self._attempts = {}
        self._due = {}
        # Pulls of a conversation in a row that brought nothing; how often an entry came damaged.
        self._vain = {}
        self._damaged = {}
        self._receipts = {}

    # ---- The store: complete ----

    def _rows(self, sql, *values):
        return self._store.execute(sql, values).fetchall()

    def _meta(self, name, otherwise=None):
        rows = self._rows("SELECT value FROM meta WHERE name = ?", name)
        return rows[0]["value"] if rows else otherwise

    def _set_meta(self, name, value):
        self._rows("INSERT OR REPLACE INTO meta VALUES (?, ?)", name, value)

    def _cursor(self, conversation):
        """The seq up to which everything is stored."""
        rows = self._rows("SELECT cursor FROM conversation WHERE name = ?", conversation)
        return rows[0]["cursor"] if rows else 0

    def _behind(self, conversation, head):
        """Remembers that a conversation reaches up to head (SYNC-17)."""
        self._rows("INSERT OR IGNORE INTO conversation (name) VALUES (?)", conversation)
        self._rows("UPDATE conversation SET head = max(head, ?) WHERE name = ?", head, conversation)

    def _advance(self, conversation):
        """Moves the cursor over everything that joins without a hole (GAP-1). Returns the entries that it passed."""
        cursor = self._cursor(conversation)
        passed = []
        for row in self._rows(
            "SELECT * FROM entry WHERE conversation = ? AND seq > ? ORDER BY seq", conversation, cursor
        ):
            if row["seq"] != cursor + 1:
                break
            cursor += 1
            passed.append(row)
        self._behind(conversation, cursor)
        self._rows("UPDATE conversation SET cursor = ? WHERE name = ?", cursor, conversation)
        return passed

    # ---- The connection: complete but for its TODOs ----

    def start(self):
        self._running = asyncio.ensure_future(self._run_forever())

    async def stop(self):
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)
        self._tell("connection", state="stopped")
        self._store.close()

    async def _run_forever(self):
        while not self._is_stopped:
            self._tell("connection", state="connecting")
            try:
                await self._one_connection()
            except Exception as error:  # a connection can fail in many ways, and all of them end in another try
                print("the connection failed:", repr(error), file=sys.stderr)
            if self._is_stopped:
                return
            self._tell("connection", state="waiting")
            # Bounded, and never the same for two clients (RECON-1).
            least, base, most = self._reconnect
            delay = (least + random.uniform(0, min(most, base * 2**self._failures))) / 1000
            self._failures = min(self._failures + 1, 30)
            await asyncio.sleep(max(delay, self._not_before - time.monotonic()))
            if self._new_token:
                token = await self._new_token
                self._new_token = None
                if token is None:
                    self._tell("connection", state="stopped", loginNeeded=True)
                    return
                self._token = token

    async def _one_connection(self):
        connection = await asyncio.wait_for(wire.connect(self._url), 10)
        session = self._session = Session(connection)
        try:
            self._hello(session)
            while True:
                data = await connection.read()
                if data is None:
                    return
                session.last_heard = time.monotonic()
                for record in session.records.feed(data, connection.is_message):
                    if not self._take(session, *wire.decode(record)):
                        return
        except wire.Broken as broken:
            print("broken bytes:", broken, file=sys.stderr)
            # TODO 7a: say what is wrong before the connection is closed
        finally:
            session.is_open = False
            self._session = None
            for task in session.tasks:
                task.cancel()
            await asyncio.shield(connection.close())

    def _hello(self, session):
        self._attempt += 1
        session.send(
            "hello",
            version_min=VERSION,
            version_max=VERSION,
            token=self._token,
            device_id=self._device,
            client_name="my-client",
            client_version="0.1",
            run=self._run,
            attempt=self._attempt,
            **({} if self._receive_window is None else {"receive_window": self._receive_window}),
        )

    def _take(self, session, number, message):
        """Takes in a frame; message is None for a kind that 1.0 does not know. Returns False to end the connection."""
        kind = wire.KINDS.get(number)
        if session.welcome is None and kind not in ("welcome", "error"):
            return False
        # TODO 7b: answer kinds of frames that are not known, and kinds that only clients send
        act = getattr(self, "_on_%s" % kind, None)
        return act is None or act(session, message) is not False

    def _on_welcome(self, session, welcome):
        timers = [getattr(welcome.timers, field.name) for field in welcome.timers.DESCRIPTOR.fields]
        limits = [field.name for field in welcome.limits.DESCRIPTOR.fields if field.name != "receive_window"]
        if welcome.version != VERSION or not all(1 <= each <= 86400000 for each in timers):
            return False  # CONN-7, CONN-15
        if not all(getattr(welcome.limits, name) for name in limits):
            return False  # CONN-21
        if self._user not in ("", welcome.user_id):
            # What is stored is another user's (CONN-22).
            self._is_stopped = True
            self._tell("connection", state="stopped", loginNeeded=True)
            return False
        session.welcome, session.limits, session.timers = welcome, welcome.limits, welcome.timers
        session.records.frame_bytes_max = session.limits.frame_bytes_max
        session.is_open = True
        self._user = welcome.user_id
        self._set_meta("user", self._user)
        timers = session.timers
        self._reconnect = (timers.reconnect_ms_min, timers.reconnect_ms_base, timers.reconnect_ms_max)
        session.later(timers.healthy_ms / 1000, self._proved)
        self._tell("connection", state="open")
        # TODO 8a: look whether the log is still the same
        # TODO 1c: begin to beat
        # TODO 2f: send what waits
        # TODO 1a: ask what has changed

    def _proved(self):
        """Only a session that has lived for a while resets the backoff (RECON-2)."""
        self._failures = 0

    # TODO 1b: sync

    # TODO 1d: heartbeat

    # ---- 2: Sending ----

    def send(self, conversation, content_type, body, named):
        """Takes over a message. named(id) comes before anything that is told about it."""
        id = os.urandom(16)
        named(id)
        # TODO 2b: keep the send before anything else happens
        self._tell("state", clientMsgId=id, state="queued")
        # TODO 2c: let it go out
        return {"clientMsgId": id}

    # TODO 2d: transmit, and take in the answer

    def messages(self, conversation):
        """What the application shows: the confirmed messages by seq, behind them the open ones (ORDER-11)."""
        name = _name(conversation)
        shown = []
        # TODO 2e: show what is there
        return {"messages": shown}

    # TODO 3c: repeating

    # TODO 4c: asking, and sending again by hand

    # TODO 5a: receiving

    # TODO 6d: pull

    # TODO 7c: errors and farewells

    # TODO 8e: read marks, receipts and a new log


# ---- Names: {"user": "ben"} for the suite, user:ben in the store, a Conversation on the wire ----


def _name(conversation):
    return "user:" + conversation["user"] if "user" in conversation else "group:" + conversation["group"]


def _json_name(name):
    kind, _, id = name.partition(":")
    return {kind: id}


def _name_of(conversation):
    if conversation.WhichOneof("peer") == "group_id":
        return "group:" + conversation.group_id
    return "user:" + conversation.user_id


def _address(name):
    kind, _, id = name.partition(":")
    return wire.message("Conversation", **{kind + "_id": id})


def _message(row):
    """An entry as the application is given it."""
    return {
        "conversation": _json_name(row["conversation"]),
        "seq": row["seq"],
        "sender": row["sender"],
        "clientMsgId": row["id"],
        "contentType": row["content_type"],
        "body": row["body"],
        "own": bool(row["own"]),
        "condition": "intact" if row["condition"] == "confirmed" else row["condition"],
    }


class _transaction:
    """All of it is on the disk behind it, or nothing."""

    def __init__(self, store):
        self._store = store

    def __enter__(self):
        self._store.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind, *_):
        self._store.execute("ROLLBACK" if kind else "COMMIT")
