"""What happened, in words: a bounded timeline, of the world and of each worker."""

from collections import deque
from dataclasses import dataclass

__all__ = ["Line", "Story", "clock_time"]

LENGTH = 4000


@dataclass(frozen=True, slots=True)
class Line:
    """One happening: when, at whom (empty for the provider, the store and the world), what."""

    at: float
    who: str
    what: str

    def __str__(self) -> str:
        return f"{clock_time(self.at)}  {self.who or '-':<6} {self.what}"


class Story:
    """The last lines of a world; what repeats itself at a worker is told once and counted."""

    def __init__(self) -> None:
        self._lines: deque[tuple[Line, list[int]]] = deque(maxlen=LENGTH)
        self._last: dict[str, tuple[str, list[int]]] = {}

    def __repr__(self) -> str:
        return f"Story({len(self._lines)} lines)"

    def tell(self, at: float, who: str, what: str) -> None:
        """Add a line."""
        last = self._last.get(who)
        if last is not None and last[0] == what:
            last[1][0] += 1
            return
        times = [1]
        self._last[who] = what, times
        self._lines.append((Line(at, who, what), times))

    def about(self, who: str, until: float, *, limit: int = 40) -> list[str]:
        """Return the last lines that concern a worker, oldest first."""
        found = [
            f"{line}{f'  ({times[0]} times)' if times[0] > 1 else ''}"
            for line, times in self._lines
            if line.at <= until and (not who or line.who in {who, ""})
        ]
        return found[-limit:]


def clock_time(seconds: float) -> str:
    """Return a time of the world, as days, hours, minutes and seconds."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    days, hours = divmod(hours, 24)
    return f"{days}d {hours:02}:{minutes:02}:{rest:06.3f}"
