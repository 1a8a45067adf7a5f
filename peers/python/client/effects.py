"""What the state machines ask for, in the order in which it is to happen. The client carries it out."""

from __future__ import annotations

from dataclasses import dataclass, field


def soonest(*times: float | None) -> float | None:
    """The earliest of these times; None where there is none."""
    known = [time for time in times if time is not None]
    return min(known) if known else None


@dataclass
class Effects:
    """("transmit", frame), ("tell", event, fields), ("dial",), ("hang up",): `take` gives them and forgets them."""

    waiting: list[tuple] = field(default_factory=list)

    def transmit(self, frame) -> None:
        """A frame for the connection that there is."""
        self.waiting.append(("transmit", frame))

    def tell(self, event: str, **fields) -> None:
        """An event for the application."""
        self.waiting.append(("tell", event, fields))

    def dial(self) -> None:
        """A new connection, which is greeted with Hello."""
        self.waiting.append(("dial",))

    def hang_up(self, *, at_once: bool = False) -> None:
        """The end of the connection: behind what was transmitted, or at once where nobody listens any more."""
        self.waiting.append(("hang up", at_once))

    def take(self) -> list[tuple]:
        waiting, self.waiting = self.waiting, []
        return waiting
