"""The command: `/usr/bin/python3 peers/python/server/server.py --help`."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import signal
import sqlite3
import sys
import threading
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
from server.store import Store, StoreInUse  # noqa: E402

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

USAGE_FAULT = 2


def port_number(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"a port is 0 to 65535, and not {text!r}")
    return int(text)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="server.py",
        description="A server of imwire. It is ready when it writes a line {\"ready\":true} to stdout; logs go to stderr.",
        epilog="Lines of JSON on stdin control it (conformance/PEERS.md). It ends on SIGTERM and on Ctrl-C, with a GoAway to everybody.",
    )
    parser.add_argument("--port", type=port_number, default=7800, help="for WebSocket (default: %(default)s); 0 takes any")
    parser.add_argument("--tcp-port", type=port_number, help="for TCP; without it there is no TCP; 0 takes any")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen at (default: %(default)s)")
    parser.add_argument("--data", required=True, metavar="FOLDER", help="where everything is kept; made when it is not there")
    parser.add_argument("--accounts", required=True, metavar="FILE", help="users, tokens, groups: conformance/schema/accounts.schema.json")
    parser.add_argument("--settings", metavar="FILE", help="limits and timers: conformance/schema/settings.schema.json")
    parser.add_argument("--verbose", action="store_true", help="logs sessions as they open and end")
    return parser.parse_args()


def listen_to_control(hub: Hub, loop: asyncio.AbstractEventLoop) -> None:
    """Answers control lines until stdin ends; the server goes on without it. A thread, since stdin may be anything, also a file."""

    def answer(line: str) -> None:
        said = control(hub, line)
        if said is not None:
            print(said, flush=True)

    def read() -> None:
        for line in sys.stdin.buffer:
            try:
                loop.call_soon_threadsafe(answer, line.decode("utf-8", "replace"))
            except RuntimeError:
                return  # the loop has ended, and with it the server

    threading.Thread(target=read, daemon=True).start()


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
    listen_to_control(hub, loop)
    await ended.wait()
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
    if hub.links:
        await asyncio.wait({asyncio.ensure_future(hub.empty.wait())}, timeout=hub.settings.close_after_ms / 1000)


def main() -> int:
    given = arguments()
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO if given.verbose else logging.WARNING, format="%(asctime)s %(levelname)s %(message)s"
    )
    # The library logs requests, in which there is nothing that is ours to log.
    logging.getLogger("websockets").setLevel(logging.CRITICAL)
    try:
        return asyncio.run(serve(given))
    except (AccountsError, SettingsError, StoreInUse) as error:
        print(f"{NAME}: {error}", file=sys.stderr)
        return USAGE_FAULT
    except sqlite3.Error as error:
        print(f"{NAME}: the store in {given.data} cannot be used: {error}", file=sys.stderr)
        return USAGE_FAULT
    except OSError as error:
        print(f"{NAME}: {error}", file=sys.stderr)
        return USAGE_FAULT


if __name__ == "__main__":
    sys.exit(main())
