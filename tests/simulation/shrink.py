"""Make a world smaller while the same promise is broken in it: delta debugging by running again."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from tests.simulation.keyring import Keyring
from tests.simulation.oracle import Violation
from tests.simulation.plan import Plan, Staff
from tests.simulation.promises import PROMISES, Promises
from tests.simulation.world import simulate

__all__ = ["script", "shrunk"]

MARGIN = 1.0
WARM_UP = 120.0
SHORTEST = 20.0


def shrunk(
    plan: Plan, name: str, ring: Keyring, *, runs: int = 150, promises: Promises = PROMISES
) -> tuple[Plan, Violation]:
    """Return the smallest world found in so many runs that still breaks that promise."""
    search = _Search(name, ring, promises, runs)
    found = search.attempt(plan)
    if found is None:
        raise ValueError(f"{name!r} is not broken in this world")
    progress = True
    while progress and search.left > 0:
        progress = False
        for candidate in _smaller(plan, found):
            broken = search.attempt(candidate)
            if broken is not None:
                plan, found, progress = candidate, broken, True
                break
    return plan, found


class _Search:
    """Attempts at one broken promise, a limited number of them."""

    def __init__(self, name: str, ring: Keyring, promises: Promises, runs: int) -> None:
        self._name = name
        self._ring = ring
        self._promises = promises
        self.left = runs

    def __repr__(self) -> str:
        return f"_Search({self._name!r}, left={self.left})"

    def attempt(self, plan: Plan) -> Violation | None:
        """Run a world, and return how the promise is broken in it, if it is."""
        if self.left <= 0:
            return None
        self.left -= 1
        outcome = simulate(plan, self._ring, wanted=self._name, promises=self._promises)
        return outcome.violations.get(self._name)


def script(plan: Plan) -> str:
    """Return the world as Python, to be run again: `simulate(<that>, Keyring())`."""
    text = repr(plan)
    for part in ("Staff(", "Happening("):
        text = text.replace(part, f"\n    {part}")
    return text


def _smaller(plan: Plan, found: Violation) -> Iterator[Plan]:
    """Give smaller worlds, the boldest cuts first."""
    if found.at + MARGIN < plan.duration - 1.0:
        yield _within(plan, round(found.at + MARGIN, 1))
    yield from _fewer_workers(plan, found)
    yield from _fewer_happenings(plan)
    yield from _earlier(plan)
    yield from _plainer(plan)
    yield from _shorter(plan)


def _within(plan: Plan, duration: float) -> Plan:
    happenings = tuple(one for one in plan.happenings if one.at < duration)
    return replace(plan, duration=duration, happenings=happenings)


def _fewer_workers(plan: Plan, found: Violation) -> Iterator[Plan]:
    others = [one for one in plan.staff if one.name != found.who]
    for count in (len(others), len(others) // 2, 1):
        for first in range(0, len(others), max(count, 1)):
            gone = {one.name for one in others[first : first + count]}
            if gone:
                yield _without(plan, gone)


def _without(plan: Plan, gone: set[str]) -> Plan:
    staff = tuple(one for one in plan.staff if one.name not in gone)
    happenings = tuple(one for one in plan.happenings if one.who not in gone)
    return replace(plan, staff=staff, happenings=happenings)


def _fewer_happenings(plan: Plan) -> Iterator[Plan]:
    every = plan.happenings
    count = len(every)
    while count:
        for first in range(0, len(every), count):
            fewer = replace(plan, happenings=every[:first] + every[first + count :])
            yield fewer
            if count == 1:  # who is asked when depends on what happens: other dice may do
                yield replace(fewer, seed=plan.seed + 1)
        count //= 2


def _earlier(plan: Plan) -> Iterator[Plan]:
    """Leave out what comes before the first happening, and between two of them."""
    every = plan.happenings
    edges = [WARM_UP, *(one.at + one.seconds + WARM_UP for one in every)]
    for number in range(len(every)):
        shift = every[number].at - max(edges[: number + 1])
        if shift > WARM_UP:
            moved = tuple(replace(one, at=round(one.at - shift, 1)) for one in every[number:])
            happenings = every[:number] + moved
            yield replace(plan, happenings=happenings, duration=round(plan.duration - shift, 1))


def _shorter(plan: Plan) -> Iterator[Plan]:
    every = plan.happenings
    for number, one in enumerate(every):
        if one.seconds >= SHORTEST:
            half = replace(one, seconds=round(one.seconds / 2))
            yield replace(plan, happenings=(*every[:number], half, *every[number + 1 :]))


def _plainer(plan: Plan) -> Iterator[Plan]:
    """Give the usual in place of the unusual, one thing at a time."""
    simpler: tuple[Callable[[Staff], Staff], ...] = (
        lambda one: replace(one, skew=0.0),
        lambda one: replace(one, impatience=0.0),
        lambda one: replace(one, loop_per_call=False),
        lambda one: replace(one, token_cache=1024),
        lambda one: replace(one, is_abrupt=False),
        lambda one: replace(one, is_eager=False),
    )
    for change in simpler:
        staff = tuple(change(one) for one in plan.staff)
        if staff != plan.staff:
            yield replace(plan, staff=staff)
    if plan.store == "files":
        yield replace(plan, store="shared")
    if plan.max_age and not plan.http_cache:
        yield replace(plan, max_age=0.0)
    if plan.discovers and not any(one.kind == "other_issuer" for one in plan.happenings):
        yield replace(plan, discovers=False)
