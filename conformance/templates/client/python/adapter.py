"""Lets the conformance suite lead the client: a line of JSON is a command, a line is its answer or an event.

conformance/PEERS.md is its description; this file is complete. Each command that the class Client has a method for is
done by that method; all others are answered with "unsupported", and the cases that need them are not judged.
Nothing but lines of JSON may go to stdout: print(..., file=sys.stderr) is for logs.
"""

import asyncio
import base64
import inspect
import json
import os
import sys

from client import CAPABILITIES, Client

# Commands and the method of Client that does them.
COMMANDS = {
    "send": "send",
    "resend": "resend",
    "withdraw": "withdraw",
    "look": "look",
    "sync": "sync",
    "history": "history",
    "markRead": "mark_read",
    "messages": "messages",
    "token": "new_token",
}


def say(line):
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


class Adapter:
    def __init__(self):
        self._client = None
        # The suite's names for sends, by clientMsgId.
        self._refs = {}

    def _event(self, event, **more):
        """What the client tells its application. Bytes go out as base64, numbers of 64 bits as text."""
        line = {"event": event, **_json(more)}
        if line.get("clientMsgId") in self._refs and event == "state":
            line["ref"] = self._refs[line["clientMsgId"]]
        say(line)

    async def do(self, command):
        what = command["do"]
        if what == "hello":
            return {"protocol": 1, "name": "my-client", "version": "0.1", "capabilities": CAPABILITIES}
        if what == "start":
            if self._client:
                raise ValueError("There is a client already: stop it first.")
            self._client = Client(
                url=command["url"],
                device=command["device"],
                token=command["token"],
                folder=command["data"],
                receive_window=command.get("receiveWindow"),
                tell=self._event,
            )
            self._client.start()
            return {}
        if what not in COMMANDS and what != "stop":
            return None
        if not self._client:
            raise ValueError("There is no client: start one first.")
        if what == "stop":
            client, self._client = self._client, None
            await client.stop()
            return {}
        method = getattr(self._client, COMMANDS[what], None)
        if method is None:
            return None
        arguments = {_snake(name): value for name, value in command.items() if name not in ("id", "do", "ref")}
        for name in ("body", "client_msg_id"):
            if name in arguments:
                arguments[name] = base64.b64decode(arguments[name])
        if "ref" in command and what == "send":
            arguments["named"] = lambda id: self._refs.__setitem__(base64.b64encode(id).decode(), command["ref"])
        answer = method(**arguments)
        if inspect.isawaitable(answer):
            answer = await answer
        if what == "messages":
            for message in answer["messages"]:
                if "state" in message:
                    message["ref"] = self._refs.get(base64.b64encode(message["clientMsgId"]).decode())
        return _json(answer or {})


def _snake(name):
    return "".join("_" + letter.lower() if letter.isupper() else letter for letter in name)


def _json(value):
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dict):
        return {key: _json(each) for key, each in value.items() if each is not None}
    if isinstance(value, list):
        return [_json(each) for each in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value


async def main():
    adapter = Adapter()
    loop = asyncio.get_running_loop()
    stdin = asyncio.StreamReader(limit=2**24)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    while True:
        line = await stdin.readline()
        if not line:
            break
        command = json.loads(line)
        try:
            answer = await adapter.do(command)
            say({"id": command["id"], "unsupported": True} if answer is None else {"id": command["id"], "ok": True, **answer})
        except Exception as error:  # whatever it is, the suite is told, and the adapter goes on
            print(repr(error), file=sys.stderr)
            say({"id": command["id"], "error": str(error)})
    # The suite has left: nothing is kept up for it.
    os._exit(0)


asyncio.run(main())
