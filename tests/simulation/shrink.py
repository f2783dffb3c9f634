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


def shrunk(
    plan: Plan, name: str, ring: Keyring, *, runs: int = 150, promises: Promises = PROMISES
) -> tuple[Plan, Violation]:
    """Return the smallest world found in so many runs that still breaks that promise."""
    left = runs

    def attempt(candidate: Plan) -> Violation | None:
        nonlocal left
        left -= 1
        return simulate(candidate, ring, wanted=name, promises=promises).violations.get(name)

    found = attempt(plan)
    if found is None:
        raise ValueError(f"{name!r} is not broken in this world")
    progress = True
    while progress and left > 0:
        progress = False
        for candidate in _smaller(plan, found):
            if left <= 0:
                break
            broken = attempt(candidate)
            if broken is not None:
                plan, found, progress = candidate, broken, True
                break
    return plan, found


def script(plan: Plan) -> str:
    """Return the world as Python, to be run again: `simulate(<that>, Keyring())`."""
    text = repr(plan)
    for part in ("Staff(", "Happening("):
        text = text.replace(part, f"\n    {part}")
    return text


def _smaller(plan: Plan, found: Violation) -> Iterator[Plan]:
    """Give smaller worlds, the boldest cuts first."""
    if found.at + MARGIN < plan.duration:
        yield _within(plan, found.at + MARGIN)
    yield from _fewer_workers(plan, found)
    yield from _fewer_happenings(plan)
    yield from _plainer(plan)


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
            yield replace(plan, happenings=every[:first] + every[first + count :])
        count //= 2


def _plainer(plan: Plan) -> Iterator[Plan]:
    """Give the usual in place of the unusual, one thing at a time."""
    simpler: tuple[Callable[[Staff], Staff], ...] = (
        lambda one: replace(one, skew=0.0),
        lambda one: replace(one, impatience=0.0),
        lambda one: replace(one, loop_per_call=False),
        lambda one: replace(one, token_cache=1024),
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
