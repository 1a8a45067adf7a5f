"""The adapter by which the conformance suite drives this client: lines of JSON on stdin and stdout, as conformance/PEERS.md says."""

from __future__ import annotations

import asyncio
import json
import sys
import traceback
from base64 import b64decode, b64encode
from pathlib import Path
from threading import Thread

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from client.client import Client, RefusedError, UsageError  # noqa: E402
from client.engine import CLIENT_VERSION, NAME  # noqa: E402
from client.names import Entry, Key  # noqa: E402
from client.outbox import Send  # noqa: E402
from client.store import StoreError  # noqa: E402

CAPABILITIES = ["client.kill", "transport.websocket", "transport.tcp"]

END_S = 1.5
"""How long the client has to close in good order when stdin ends: the suite gives 2 s."""


def text_of(data: bytes) -> str:
    return b64encode(data).decode()


def key_of(conversation: dict) -> Key:
    if "user" in conversation:
        return ("user", conversation["user"])
    return ("group", conversation["group"])


def conversation_of(key: Key) -> dict:
    return {key[0]: key[1]}


def line_of_entry(key: Key, entry: Entry) -> dict:
    return {
        "conversation": conversation_of(key),
        "seq": str(entry.seq),
        "sender": entry.sender,
        "clientMsgId": text_of(entry.client_msg_id),
        "contentType": entry.content_type,
        "body": text_of(entry.body),
        "own": entry.own,
        "condition": entry.condition,
    }


class Adapter:
    """One process, one client at a time."""

    def __init__(self) -> None:
        self._client: Client | None = None
        self._refs: dict[bytes, str] = {}
        self._tasks: set[asyncio.Task] = set()

    def write(self, line: dict) -> None:
        sys.stdout.write(json.dumps(line, separators=(",", ":")) + "\n")
        sys.stdout.flush()

    def take(self, text: bytes) -> None:
        """One line of the suite."""
        try:
            line = json.loads(text)
            id, command = line["id"], line["do"]
        except (ValueError, KeyError, TypeError):
            print("adapter: a line that is no command", file=sys.stderr)
            return
        handle = getattr(self, "do_" + command, None) if isinstance(command, str) else None
        if handle is None:
            self.write({"id": id, "unsupported": True})
            return
        task = asyncio.get_running_loop().create_task(self._answer(id, handle, line))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, id: int, handle, line: dict) -> None:
        try:
            answer = await handle(line) or {}
        except (UsageError, StoreError, RefusedError) as error:
            self.write({"id": id, "error": str(error)})
        except KeyError as error:
            self.write({"id": id, "error": f"the command lacks {error}"})
        except Exception as error:  # every command has its one answer
            traceback.print_exc()
            self.write({"id": id, "error": f"{type(error).__name__}: {error}"})
        else:
            self.write({"id": id, "ok": True, **answer})

    @property
    def client(self) -> Client:
        if self._client is None:
            raise UsageError("there is no client: start it first")
        return self._client

    # --- commands

    async def do_hello(self, line: dict) -> dict:
        if line.get("protocol") != 1:
            raise UsageError("this adapter speaks protocol 1 of lines")
        return {"protocol": 1, "name": NAME, "version": CLIENT_VERSION, "capabilities": CAPABILITIES}

    async def do_start(self, line: dict) -> None:
        if self._client is not None:
            raise UsageError("there is a client already: stop it first")
        self._client = Client(
            line["url"],
            line["device"],
            line["token"],
            line["data"],
            self._told,
            receive_window=line.get("receiveWindow"),
            looked_only=line.get("pull") == "lookedAt",
        )
        self._client.start()

    async def do_stop(self, line: dict) -> None:
        client, self._client = self.client, None
        await client.close()

    async def do_send(self, line: dict) -> dict:
        id = self.client.send(key_of(line["conversation"]), line["contentType"], b64decode(line["body"]))
        self._refs[id] = line["ref"]
        return {"clientMsgId": text_of(id)}

    async def do_resend(self, line: dict) -> None:
        id = b64decode(line["clientMsgId"])
        self._refs[id] = line["ref"]
        self.client.resend(id)

    async def do_withdraw(self, line: dict) -> None:
        self.client.withdraw(b64decode(line["clientMsgId"]))

    async def do_look(self, line: dict) -> None:
        self.client.look(key_of(line["conversation"]))

    async def do_sync(self, line: dict) -> None:
        self.client.sync()

    async def do_history(self, line: dict) -> dict:
        key = key_of(line["conversation"])
        entries = await self.client.history(key, int(line.get("before", "0")), line.get("limit", 0))
        return {"entries": [line_of_entry(key, entry) for entry in entries]}

    async def do_markRead(self, line: dict) -> None:
        self.client.mark_read(key_of(line["conversation"]), int(line["upTo"]))

    async def do_messages(self, line: dict) -> dict:
        key = key_of(line["conversation"])
        entries, sends = self.client.messages(key)
        return {"messages": [line_of_entry(key, entry) for entry in entries] + [self._line_of_send(send) for send in sends]}

    async def do_token(self, line: dict) -> None:
        self.client.token(line["token"])

    # --- events

    def _told(self, event: str, fields: dict) -> None:
        line = {"event": event}
        for name, value in fields.items():
            if name == "why":
                continue  # for people; the suite has no use for it
            if name == "conversation":
                line["conversation"] = conversation_of(value)
            elif name == "entry":
                line.update(line_of_entry(fields["conversation"], value))
            elif name == "client_msg_id":
                line.update(self._named(value))
            elif name in ("seq", "up_to", "first", "last", "delivered", "read", "above"):
                line[{"up_to": "upTo", "first": "from", "last": "upTo"}.get(name, name)] = str(value)
            else:
                line["loginNeeded" if name == "login_needed" else name] = value
        self.write(line)

    def _named(self, id: bytes) -> dict:
        ref = self._refs.get(id)
        return {"clientMsgId": text_of(id), **({"ref": ref} if ref else {})}

    def _line_of_send(self, send: Send) -> dict:
        line = {"conversation": conversation_of(send.key), **self._named(send.id), "state": send.state}
        if send.code is not None:
            line["code"] = send.code
        return {**line, "contentType": send.content_type, "body": text_of(send.body), "own": True}

    async def end(self) -> None:
        """stdin has ended: the client is closed, if it can be in time."""
        if self._client is not None:
            await asyncio.wait_for(self._client.close(), END_S)


def read_lines(loop: asyncio.AbstractEventLoop, take, ended: asyncio.Event) -> None:
    """Reads stdin in a thread of its own: whatever it is, a pipe, a file or a terminal, a blocking read is right for it."""
    for line in sys.stdin.buffer:
        loop.call_soon_threadsafe(take, line)
    loop.call_soon_threadsafe(ended.set)


async def main() -> None:
    adapter, ended = Adapter(), asyncio.Event()
    loop = asyncio.get_running_loop()
    # A daemon, so that Ctrl-C need not wait for a line.
    Thread(target=read_lines, args=(loop, adapter.take, ended), daemon=True).start()
    await ended.wait()
    try:
        await adapter.end()
    except asyncio.TimeoutError:
        print("adapter: the client did not close in time", file=sys.stderr)


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        sys.exit(130)
