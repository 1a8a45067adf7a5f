"""The command: `/usr/bin/python3 peers/python/server/server.py --help`."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import signal
import sqlite3
import sys
from pathlib import Path

# It is started as a file; its packages, `wire` and `server`, lie in the folder above.
sys.path[0] = str(Path(__file__).resolve().parents[1])

try:
    import google.protobuf  # noqa: F401
    import websockets  # noqa: F401
except ImportError as missing:
    sys.exit(f"imwire-python-server: {missing}. Debian has it as python3-protobuf or python3-websockets; {sys.executable} is running.")

from server.control import control  # noqa: E402
from server.hub import Clock, Hub  # noqa: E402
from server.link import Link, WebSocketLink  # noqa: E402
from server.people import AccountsError, People  # noqa: E402
from server.settings import SettingsError, read_settings  # noqa: E402
from server.store import Store  # noqa: E402

NAME, VERSION = "imwire-python-server", "1.0.0-dev"

CAPABILITIES = [
    "server.groups",
    "server.admin",
    "server.retention",
    "server.store-fault",
    "server.restore",
    "server.tokens",
    "server.preset-seq",
    "server.versions",
]

USAGE_FAULT, OWN_FAULT = 2, 70


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="server.py",
        description="A server of imwire. It is ready when it writes a line {\"ready\":true} to stdout; logs go to stderr.",
        epilog="Lines of JSON on stdin control it (conformance/PEERS.md). It ends on SIGTERM and on Ctrl-C, with a GoAway to everybody.",
    )
    parser.add_argument("--port", type=int, default=7800, help="for WebSocket (default: %(default)s); 0 takes any")
    parser.add_argument("--tcp-port", type=int, help="for TCP; without it there is no TCP; 0 takes any")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen at (default: %(default)s)")
    parser.add_argument("--data", required=True, metavar="FOLDER", help="where everything is kept; made when it is not there")
    parser.add_argument("--accounts", required=True, metavar="FILE", help="users, tokens, groups: conformance/schema/accounts.schema.json")
    parser.add_argument("--settings", metavar="FILE", help="limits and timers: conformance/schema/settings.schema.json")
    parser.add_argument("--verbose", action="store_true", help="logs sessions as they open and end")
    return parser.parse_args()


async def listen_to_control(hub: Hub) -> None:
    """Answers control lines until stdin ends; the server goes on without it."""
    reader = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        answer = control(hub, line.decode("utf-8", "replace"))
        if answer is not None:
            print(answer, flush=True)


async def serve(given: argparse.Namespace) -> int:
    settings = read_settings(given.settings)
    store = Store(given.data)
    if settings.new_epoch:
        store.new_epoch()
    people = People(given.accounts, store)
    people.make_groups()
    store.commit()
    hub = Hub(store, people, settings, Clock())

    loop = asyncio.get_running_loop()
    places = [("ws", WebSocketLink, given.port)]
    if given.tcp_port is not None:
        places.append(("tcp", Link, given.tcp_port))
    listeners, urls = [], []
    for scheme, kind, port in places:
        listener = await loop.create_server(lambda kind=kind: kind(hub), given.host, port)
        listeners.append(listener)
        urls.append(f"{scheme}://{given.host}:{listener.sockets[0].getsockname()[1]}")

    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    ready = {"ready": True, "name": NAME, "version": VERSION, "urls": urls, "capabilities": CAPABILITIES, "control": True}
    print(json.dumps(ready), flush=True)
    lines = None
    try:
        lines = loop.create_task(listen_to_control(hub))
        await ended.wait()
    finally:
        if lines is not None:
            lines.cancel()
        for listener in listeners:
            listener.close()
    await leave(hub)
    store.close()
    return 0


async def leave(hub: Hub) -> None:
    """Tells everybody, and goes when they have closed, at the latest after `closeAfterMs` (AWAY-1, AWAY-5)."""
    for session in hub.all_sessions():
        session.go_away("DRAINING", 1_000)
    hub.end_turn()
    until = hub.clock.now_ms() + hub.settings.close_after_ms
    while hub.links and hub.clock.now_ms() < until:
        await asyncio.sleep(0.01)


def main() -> int:
    given = arguments()
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO if given.verbose else logging.WARNING, format="%(asctime)s %(levelname)s %(message)s"
    )
    # The library logs requests, in which there is nothing that is ours to log.
    logging.getLogger("websockets").setLevel(logging.CRITICAL)
    try:
        return asyncio.run(serve(given))
    except (AccountsError, SettingsError) as error:
        print(f"{NAME}: {error}", file=sys.stderr)
        return USAGE_FAULT
    except sqlite3.Error as error:
        print(f"{NAME}: the store in {given.data} cannot be used: {error}. Does another server have it?", file=sys.stderr)
        return USAGE_FAULT
    except OSError as error:
        print(f"{NAME}: {error}. Is the port taken, or the folder not writable?", file=sys.stderr)
        return USAGE_FAULT


if __name__ == "__main__":
    sys.exit(main())
