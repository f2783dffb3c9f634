"""What the hour benchmark shows: ours beside the quickest of the others, and beside all."""

from collections.abc import Iterator
from typing import Any

from rich.console import Console

from benchmarks.hour.mix import Plan
from benchmarks.hour.peers import ATTENDANTS
from benchmarks.report import Row, Rule, grid
from benchmarks.verify.crew import Hired
from benchmarks.verify.peers import OURS

__all__ = ["Results", "Told"]

Told = dict[Plan, dict[str, list[dict[str, float]]]]


class Results:
    """The quickest round of each verifier in each hour; the first hour has the targets."""

    def __init__(self, told: Told, present: list[Hired], missing: list[Hired]) -> None:
        self._told = told
        self._present = present
        self._missing = missing

    def microseconds(self, plan: Plan, name: str, clock: str) -> float:
        """Return what a token took, in the round that was the quickest."""
        return min(each[clock] for each in self._told[plan][name]) / plan.calls * 1e6

    def rows(self) -> list[Row]:
        """Return how many answers were wrong, and what a token took."""
        rows: list[Row] = []
        for plan in self._told:
            rule: Rule = "beside" if rows else "at most"
            rows += [*self._answers(plan), *self._times(plan, rule)]
        return rows

    def notes(self) -> list[str]:
        """Say who was not measured, and what each did about the rotation."""
        told = [
            f"{worker.name}: not measured on Python {worker.about['python']}:"
            f" {worker.about['missing']}"
            for worker in self._missing
        ]
        for worker in self._present:
            told.append(f"{worker.name}: at the rotation it {ATTENDANTS[worker.name].rotation}")
            if not worker.peer.audience:
                told.append(f"{worker.name}: refuses an audience, so its tokens have none")
        return told

    def versions(self) -> dict[str, Any]:
        """Return the workers' interpreter and libraries, not this program's."""
        libraries = {worker.name: worker.about[worker.peer.distribution]
                     for worker in self._present}  # fmt: skip
        return {"python": self._present[0].about["python"], "libraries": libraries}

    def printed(self, console: Console) -> None:
        """Print what was verified, and what it took, the quickest first."""
        for plan in self._told:
            console.print(plan.told(), highlight=False)
            head = ("", "µs of CPU", "µs", "key sets", "made anew", "wrong")
            grid(plan.name, head, self._lines(plan), console)
            console.print()
        for note in self.notes():
            console.print(note, style="dim", markup=False, highlight=False)

    def _answers(self, plan: Plan) -> Iterator[Row]:
        spent = [each for rounds in self._told[plan].values() for each in rounds]
        of = f"of {plan.calls * len(spent):,}"
        refused = sum(each["refused"] for each in spent)
        yield Row(plan.name, f"good ones refused, {of}", refused, "exactly", 0)
        let_in = sum(each["let_in"] for each in spent)
        yield Row(plan.name, f"others let in, {of}", let_in, "exactly", 0)

    def _times(self, plan: Plan, rule: Rule) -> Iterator[Row]:
        ours, *others = sorted(self._by_time(plan), key=lambda name: name != OURS)
        mine = self.microseconds(plan, ours, "cpu")
        for number, name in enumerate(others):
            time = self.microseconds(plan, name, "cpu")
            if not number:
                yield Row(plan.name, f"{OURS} beside {name}", mine, rule, time, "µs")
            yield Row(plan.name, name, time, "beside", mine, "µs")

    def _by_time(self, plan: Plan) -> list[str]:
        return sorted(self._told[plan], key=lambda name: self.microseconds(plan, name, "cpu"))

    def _lines(self, plan: Plan) -> Iterator[tuple[str, ...]]:
        for name in self._by_time(plan):
            last = self._told[plan][name][-1]
            times = (f"{self.microseconds(plan, name, clock):.1f}" for clock in ("cpu", "wall"))
            wrong = sum(each["refused"] + each["let_in"] for each in self._told[plan][name])
            yield name, *times, f"{last['fetches']}", f"{last['remade']}", f"{wrong}"
