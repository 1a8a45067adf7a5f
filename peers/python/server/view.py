"""What one user can see of one conversation. PULL-9, PULL-14, and the fields head and floor everywhere."""

from __future__ import annotations

from dataclasses import dataclass

from wire.messages import enum_values, message_class

Conversation = message_class("Conversation")
SkippedRange = message_class("SkippedRange")
_REASON = enum_values("SkipReason")

PAIR, GROUP = "pair", "group"


@dataclass
class Log:
    """One conversation as the store has it. Of a pair, `one` and `other` are the users in the order of their bytes."""

    id: int
    kind: str
    one: str
    other: str
    head: int  # the highest seq given out; 0: none
    floor: int  # the lowest seq still kept

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells it from all others, stored or not."""
        return self.kind, self.one, self.other

    def named_for(self, user: str) -> Conversation:
        """The conversation's name from the side of this user (SEC-6)."""
        if self.kind == GROUP:
            return Conversation(group_id=self.one)
        return Conversation(user_id=self.other if user == self.one else self.one)

    def partner(self, user: str) -> str | None:
        """The other user of a one-to-one conversation; None for groups and for the conversation with oneself."""
        if self.kind == GROUP or self.one == self.other:
            return None
        return self.other if user == self.one else self.one


class View:
    """A log through the times of a user's membership: (from, to) with to None while it lasts, rising."""

    def __init__(self, log: Log, stays: list[tuple[int, int | None]]) -> None:
        self.log = log
        self.member = bool(stays) and stays[-1][1] is None
        seen = [(start, log.head if end is None else min(end, log.head)) for start, end in stays]
        self.seen = [(start, end) for start, end in seen if start <= end]
        self.head = self.seen[-1][1] if self.seen else 0
        self.kept = [(max(start, log.floor), end) for start, end in self.seen if end >= log.floor]
        self.floor = self.kept[0][0] if self.kept else self.head + 1

    def sees(self, seq: int) -> bool:
        return any(start <= seq <= end for start, end in self.seen)

    def run_after(self, after: int) -> tuple[int, int] | None:
        """The first unbroken run of kept entries above `after`, as (first, last)."""
        for start, end in self.kept:
            if end > after:
                return max(start, after + 1), end
        return None

    def run_before(self, before: int) -> tuple[int, int] | None:
        """The last unbroken run of kept entries below `before`, as (first, last)."""
        for start, end in reversed(self.kept):
            if start < before:
                return start, min(end, before - 1)
        return None

    def skipped(self, first: int, last: int) -> SkippedRange:
        """The range in front of a page, and why it is not given (PULL-9)."""
        reason = "RETENTION" if last < self.log.floor else "NOT_VISIBLE"
        return SkippedRange(up_to=last, reason=_REASON[f"SKIP_REASON_{reason}"], **{"from": first})
