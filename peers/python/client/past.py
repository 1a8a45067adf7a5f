"""Looking back: pages of the past that the application waits for. It moves no cursor and stores nothing (HIST-2). Chapter 6."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from wire.messages import message_class

from .names import Entry, Key, conversation_of, entry_of

Frame, PullHistory = message_class("Frame"), message_class("PullHistory")


@dataclass(eq=False)
class History:
    """One page that is waited for, over as many sessions as it takes. `done(entries, "")`, or `done(None, code)`."""

    key: Key
    before: int
    limit: int
    done: Callable[[list[Entry] | None, str], None]
    asked: bool = False


class Past:
    """The histories that have no answer yet."""

    def __init__(self) -> None:
        self._waiting: list[History] = []

    def add(self, history: History) -> None:
        self._waiting.append(history)

    def lost(self) -> None:
        """The session is gone: they are asked for again in the next one."""
        for history in self._waiting:
            history.asked = False

    def pump(self, ask: Callable[[object, object], bool]) -> None:
        for history in self._waiting:
            if not history.asked:
                request = PullHistory(
                    conversation=conversation_of(history.key), before=history.before, entries_max=history.limit
                )
                history.asked = ask(Frame(pull_history=request), history)

    def answered(self, history: History, page, user: str) -> None:
        self._waiting.remove(history)
        history.done([entry_of(entry, user) for entry in page.entries], "")

    def refused(self, history: History, code: str) -> None:
        self._waiting.remove(history)
        history.done(None, code)

    def close(self) -> None:
        """The application closes: nobody will answer any more."""
        for history in self._waiting:
            history.done(None, "the client was closed")
        self._waiting.clear()
