"""What the verify benchmark shows: ratios first, and whether the targets are met."""

from collections.abc import Iterator

from rich.console import Console

from benchmarks.report import Row, grid
from benchmarks.verify.crew import Hired, Mode, Times
from benchmarks.verify.peers import OLD, OURS
from benchmarks.verify.tokens import ALGORITHMS, SIZES, Cell

__all__ = ["Results"]

MODES: tuple[Mode, ...] = ("seen before", "seen first")
MAIN = Cell("RS256", "0.9 KiB")
BARE = "bare cryptography"
FIRST = {"RS256": 1.5, "ES256": 1.3, "EdDSA": 1.35}  # times the bare check of the signature
COMPILED = ("ryjwt adecode", "ryjwt decode", "clasp-jwt")


class Results:
    """The quickest round of each verifier, and what it is beside ours."""

    def __init__(self, times: Times, present: list[Hired], missing: list[Hired]) -> None:
        self._best = {key: min(rounds) * 1e6 for key, rounds in times.items()}
        self._names = [worker.name for worker in present]
        self._present = present
        self._missing = missing

    def microseconds(self, mode: Mode, cell: Cell, name: str) -> float | None:
        """Return the microseconds a call takes; None if the verifier has no such tokens."""
        return self._best.get((mode, cell, name))

    def targets(self) -> Iterator[Row]:
        """Yield what is promised of tokens of about 0.9 KiB, as far as it was measured."""
        again = self._best["seen before", MAIN, OURS]
        yield Row("RS256, 0.9 KiB", "seen before", again, "at most", 3, "µs")
        old = self.microseconds("seen before", MAIN, f"auth-jwks {OLD}")
        if old is not None:
            what = f"before: faster than {OLD}"
            yield Row("RS256, 0.9 KiB", what, old / again, "at least", 25, "x")
        compiled = [self.microseconds("seen before", MAIN, name) for name in COMPILED]
        if known := [time for time in compiled if time is not None]:
            what = "before: faster than compiled"
            yield Row("RS256, 0.9 KiB", what, min(known) / again, "at least", 4, "x")
        for algorithm, limit in FIRST.items():
            cell = Cell(algorithm, "0.9 KiB")
            ours, bare = (self._best["seen first", cell, name] for name in (OURS, BARE))
            name = f"{algorithm}, 0.9 KiB"
            yield Row(name, "first: slower than bare", ours / bare, "at most", limit, "x")

    def rows(self) -> Iterator[Row]:
        """Yield every verifier's microseconds, beside ours of the same tokens."""
        for (mode, cell, name), time in sorted(self._best.items(), key=str):
            ours = self._best[mode, cell, OURS]
            scenario = f"{mode}, {cell.algorithm}, {cell.size}"
            yield Row(scenario, name, time, "beside", ours, "µs", OURS, kept=cell == MAIN)

    def notes(self) -> Iterator[str]:
        """Say what could not be measured, and why."""
        for worker in self._missing:
            python = worker.about["python"]
            yield f"{worker.name}: not measured on Python {python}: {worker.about['missing']}"
        for worker in self._present:
            for algorithm, problem in worker.problems.items():
                yield f"{worker.name}, {algorithm}: {problem}"
            if not worker.peer.audience:
                yield f"{worker.name}: refuses tokens with an audience, so its tokens have none"

    def printed(self, console: Console) -> None:
        """Print a table for each size, seen before and seen first, and who is faster there."""
        for mode in MODES:
            for size in SIZES:
                title = f"{mode}, {size}: time as a multiple of {OURS}'s"
                grid(title, ["", *ALGORITHMS], self._table(mode, size), console)
                for algorithm in ALGORITHMS:
                    if names := self._faster(mode, Cell(algorithm, size)):
                        told = f"Faster than {OURS}, {algorithm}: {', '.join(names)}"
                        console.print(told, style="yellow", highlight=False)
                console.print()
        for note in self.notes():
            console.print(note, style="dim", markup=False, highlight=False)

    def _table(self, mode: Mode, size: str) -> Iterator[list[str]]:
        for name in self._names:
            cells = [Cell(algorithm, size) for algorithm in ALGORITHMS]
            yield [name, *(self._cell(mode, cell, name) for cell in cells)]

    def _cell(self, mode: Mode, cell: Cell, name: str) -> str:
        time = self.microseconds(mode, cell, name)
        if time is None:
            return "-"
        ratio = time / self._best[mode, cell, OURS]
        return f"{_short(ratio)}x {_short(time):>4} µs"

    def _faster(self, mode: Mode, cell: Cell) -> list[str]:
        ours = self._best[mode, cell, OURS]
        times = ((self.microseconds(mode, cell, name), name) for name in self._names)
        return [name for time, name in times if time is not None and time < ours]


def _short(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
