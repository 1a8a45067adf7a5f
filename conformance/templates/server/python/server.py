"""A server of imwire. It takes connections, reads frames and welcomes whoever says Hello.

What is missing stands as TODO, in the order of GUIDE.md. What is in brackets is a clause of the specification:
npx imwire-conformance explain SEND-3

    python3 server.py --port 7800 --data ./data --accounts accounts.json
"""

import argparse
import asyncio
import hashlib
import hmac
import json
import pathlib
import sqlite3
import sys
import time
import uuid
import zlib

import wire
from store import Store
from wire import CODE, DURABILITY, FATE, RETRY, SCOPE, SEND_STATE, Frame

VERSION = 1000

LIMITS = {
    "frame_bytes_max": 1048576,
    "body_bytes_max": 65536,
    "page_entries_max": 100,
    "page_bytes_max": 262144,
    "sync_conversations_max": 100,
    "preview_bytes_max": 1024,
    "send_window": 32,
    "receive_window": 64,
    "query_ids_max": 100,
    "ack_batch_max": 32,
}

TIMERS = {
    "heartbeat_ms": 25000,
    "send_timeout_ms": 10000,
    "send_retry_ms_min": 200,
    "send_retry_ms_base": 1000,
    "send_retry_ms_max": 30000,
    "reconnect_ms_min": 500,
    "reconnect_ms_base": 500,
    "reconnect_ms_max": 20000,
    "healthy_ms": 10000,
    "ack_delay_ms_max": 500,
    "gap_grace_ms": 500,
    "audit_ms": 300000,
    "stalled_ms": 60000,
    "token_grace_ms": 30000,
}

DEDUP_WINDOW_MS = 400 * 86400000  # the store forgets nothing
AUTH_DEADLINE_MS = 5000

# What each code says about trying again: the registry in chapter 9 (ERR-2). What is not here says never.
RETRY_OF = {
    "MALFORMED": "RECONNECT",
    "FRAME_TOO_LARGE": "RECONNECT",
    "PROTOCOL_VIOLATION": "RECONNECT",
    "ACK_TOO_HIGH": "RECONNECT",
    "NOT_AUTHENTICATED": "RECONNECT",
    "TOKEN_REJECTED": "REAUTH",
    "AUTH_TIMEOUT": "RECONNECT",
    "OUT_OF_ORDER": "AFTER_PREDECESSOR",
    "BODY_CORRUPT": "LATER",
    "CURSOR_AHEAD": "AFTER_RESYNC",
    "SYNC_TOKEN_INVALID": "AFTER_RESYNC",
    "HEARTBEAT_TIMEOUT": "RECONNECT",
    "HELLO_STALE": "RECONNECT",
}


def _code(name):
    """The two fields that name a code, wherever it stands."""
    return {"code": CODE[name], "retry": RETRY[RETRY_OF.get(name, "NEVER")]}


class Refusal(Exception):
    """Raised where a request cannot be done; becomes its answer."""

    def __init__(self, code, seq=None):
        super().__init__(code)
        self.code = code
        self.seq = seq


class Session:
    """One connection, and the session that it becomes."""

    def __init__(self, server, connection):
        self._server = server
        self._connection = connection
        self._records = wire.Records()
        self._timers = set()
        self.phase = "waiting"  # for Hello; then "greeting", "open", "closed"
        self.user = self.device = ""
        self.turn = (0, 0)  # run and attempt of its Hello
        self.last_heard = self.last_sent = time.monotonic()
        self.frames_handled = 0  # Hello included
        # Delivery, step 5 of the guide. Pushes without a DeliverAck are (push_seq, conversation, seq). By key of a
        # conversation: up to where everything was handed to the session, and what it was told of.
        self.window = 0
        self.push_seq = 0
        self.unacknowledged = []
        self.handed = {}
        self.notified = {}

    async def run(self):
        """From the first byte to the last. What comes to a closed session is read and dropped."""
        # TODO 8a: do not wait for ever for a Hello
        try:
            while True:
                data = await self._connection.read()
                if data is None:
                    return
                self.last_heard = time.monotonic()  # every byte is a sign of life (BEAT-1)
                if self.phase != "closed":
                    self._read(data)
        finally:
            self._left()

    # TODO 8b: what happens when no Hello comes

    def _read(self, data):
        try:
            for record in self._records.feed(data, self._connection.is_message):
                if self.phase == "closed":
                    return
                self._take(*wire.decode(record))
        except wire.Broken as broken:
            print("broken bytes:", broken, file=sys.stderr)
            # TODO 8c: say what is wrong with the bytes
            self._close()

    def after(self, ms, act):
        """Calls act later, unless the session has ended by then."""

        def fire():
            self._timers.discard(timer)
            act()

        timer = asyncio.get_running_loop().call_later(ms / 1000, fire)
        self._timers.add(timer)

    def send(self, kind, **fields):
        """Sends a frame: send("pong", nonce=7). A message may be given as a dict; what is None is not set."""
        frame = Frame(**{kind: fields})
        getattr(frame, kind).SetInParent()
        self._connection.write(wire.encode(frame))
        self.last_sent = time.monotonic()

    def error(self, code, scope="REQUEST", **more):
        """Sends an Error; of request scope, unless it says otherwise."""
        self.send("error", scope=SCOPE[scope], **_code(code), **more)

    def end(self, code, **more):
        """Ends it with an Error of session scope: nothing comes behind it (ERR-6)."""
        self.error(code, "SESSION", **more)
        self._close()

    def go_away(self, code):
        """Ends it by plan (AWAY-1): the client learns what has counted."""
        self.send("go_away", frames_handled=self.frames_handled, close_after_ms=1000, **_code(code))
        self._close()

    def _close(self):
        self._left()
        self._connection.close()

    def _left(self):
        self.phase = "closed"
        for timer in self._timers:
            timer.cancel()
        self._server.left(self)

    def _take(self, number, message):
        """Takes in a frame; message is None for a kind that 1.0 does not know."""
        kind = wire.KINDS.get(number)
        if self.phase != "open":
            if self.phase == "waiting" and kind == "hello":
                return self._greet(message)
            return self.end("NOT_AUTHENTICATED", frame_kind=number)  # CONN-2
        self.frames_handled += 1
        # TODO 8d: answer kinds of frames that are not known, and kinds that only servers send
        if kind is not None:
            self._server.take(self, number, kind, message)

    def _greet(self, hello):
        self.phase = "greeting"
        self.frames_handled += 1
        # In a later turn of the loop: what was written together with Hello is not taken in (CONN-2).
        asyncio.get_running_loop().call_soon(self._welcome, hello)

    def _welcome(self, hello):
        if self.phase != "greeting":
            return
        hello_kind = Frame.HELLO_FIELD_NUMBER
        if 1 <= hello.version_min <= hello.version_max and not hello.version_min <= VERSION <= hello.version_max:
            self.end("VERSION_UNSUPPORTED", frame_kind=hello_kind, version_min=VERSION, version_max=VERSION)
            return  # CONN-5
        # TODO 1a: look at Hello before it is answered
        self.device = hello.device_id
        self.turn = (hello.run, hello.attempt)
        # TODO 7a: one session of a device
        self.phase = "open"
        self.window = LIMITS["receive_window"]
        if hello.HasField("receive_window"):
            self.window = min(hello.receive_window, self.window)
        self._records.frame_bytes_max = LIMITS["frame_bytes_max"]
        self._server.entered(self)
        self.send(
            "welcome",
            version=VERSION,
            session_id=str(uuid.uuid4()),
            user_id=self.user,
            epoch=self._server.epoch,
            server_time_ms=int(time.time() * 1000),
            dedup_window_ms=DEDUP_WINDOW_MS,
            durability=DURABILITY["POWER_LOSS"],
            limits={**LIMITS, "receive_window": self.window},
            timers=TIMERS,
        )
        # TODO 7b: keep the connection alive

    # TODO 7c: heartbeat


def _bytes(text):
    return len(text.encode())


def _is_name(text):
    return 1 <= _bytes(text) <= 64


# TODO 1b: what a Hello has to be


# TODO 3b: how much fits into a page


class Server:
    """A frame of an open session is taken in by the method that is called as its kind: _on_ping, _on_send_req."""

    def __init__(self, folder, accounts):
        self._store = Store(folder, accounts)
        self._tokens = {user["token"]: user["id"] for user in accounts["users"]}
        self._blocked = {frozenset(pair) for pair in accounts.get("blocked", [])}
        self._sessions = {}
        self._told = {}  # the marks that were told, by conversation and user: step 7 of the guide

    @property
    def epoch(self):
        return self._store.epoch

    def user_of(self, token):
        return self._tokens.get(token)

    def sessions_of(self, user):
        return list(self._sessions.get(user, []))

    def entered(self, session):
        self._sessions.setdefault(session.user, []).append(session)

    def left(self, session):
        if session in self.sessions_of(session.user):
            self._sessions[session.user].remove(session)

    def take(self, session, number, kind, message):
        """Does what a frame asks for. Each is done before the next one is looked at (BEAT-8)."""
        act = getattr(self, "_on_" + kind, None)
        if act is None:
            return  # nothing of it is there yet
        try:
            if getattr(message, "request_id", None) == 0:
                raise Refusal("INVALID_ARGUMENT")
            act(session, message)
        except Refusal as refusal:
            # It names what it is about: the request, the kind and the conversation (ERR-7).
            named = {
                field.name: value
                for field, value in message.ListFields()
                if field.name in ("request_id", "conversation")
            }
            session.error(refusal.code, frame_kind=number, seq=refusal.seq, **named)

    def _conversation(self, session, address):
        """The conversation that a request means."""
        peer = address.WhichOneof("peer")
        if peer is None or not _is_name(getattr(address, peer)):
            raise Refusal("INVALID_ARGUMENT")  # LIM-3
        found = self._store.find(session.user, address)
        if found is None:
            raise Refusal("NOT_FOUND")  # SEC-2
        return found

    # TODO 1c: answer each Ping

    # TODO 2a: take sends

    # TODO 3a: give pages

    # TODO 4b: what a send has to be

    # TODO 5d: the push rule

    # TODO 6a: sync, and what became of a send

    # TODO 7f: read marks, receipts and newer tokens


async def main():
    parser = argparse.ArgumentParser(description="A server of imwire.")
    parser.add_argument("--port", type=int, help="takes WebSocket connections")
    parser.add_argument("--tcp-port", type=int, help="takes TCP connections")
    parser.add_argument("--data", required=True, help="a folder: what has to survive is in it")
    parser.add_argument("--accounts", required=True, help="a JSON file with users, groups and who is blocked")
    flags = parser.parse_args()
    if flags.port is None and flags.tcp_port is None:
        parser.error("give --port or --tcp-port")
    try:
        accounts = json.loads(pathlib.Path(flags.accounts).read_text("utf-8"))
        pathlib.Path(flags.data).mkdir(parents=True, exist_ok=True)
        server = Server(flags.data, accounts)
        await wire.listen(flags.port, flags.tcp_port, lambda connection: Session(server, connection).run())
    except (OSError, ValueError, LookupError, TypeError, sqlite3.Error) as error:
        # A file that is not there or not what it should be, a port that is taken.
        parser.error("it cannot start with these. %s: %s" % (type(error).__name__, error))
    # The suite waits for this line. Everything else is for stderr.
    print(json.dumps({"ready": True, "name": "my-server", "version": "0.1"}), flush=True)
    await asyncio.Event().wait()  # for ever


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        pass
