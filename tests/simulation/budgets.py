"""How often a fleet may ask the provider, and its workers the store."""

from collections.abc import Sequence
from math import ceil, inf

from tests.simulation.network import Exchange
from tests.simulation.oracle import Oracle, Record
from tests.simulation.plan import Happening, Plan
from tests.simulation.promises import Promises
from tests.simulation.worker import Worker

__all__ = ["judge_budgets"]

TROUBLE = frozenset({
    "outage", "unreachable", "no_route", "slow", "other_issuer", "store_refuses", "store_loses",
    "store_slow", "store_hangs", "store_flush", "store_clock", "clock_step", "asleep", "freeze",
    "kill",
})  # fmt: skip
PROVIDER_TROUBLE = frozenset({"outage", "unreachable", "no_route", "slow", "other_issuer"})
STORE_TROUBLE = frozenset({"store_refuses", "store_loses", "store_slow", "store_hangs"})
AFTERMATH = 120.0
SPANS = (60.0, 600.0, 3600.0)


def judge_budgets(
    plan: Plan, promises: Promises, oracle: Oracle, workers: Sequence[Worker],
    exchanges: Sequence[Exchange],
) -> None:  # fmt: skip
    """Hold what was asked to what may be."""
    for span in SPANS:
        most, at = busiest([one.at for one in exchanges], span)
        allowed = _allowed(plan, promises, at, span)
        if most > allowed:
            who = next(one.who for one in exchanges if one.at >= at)
            record = next(worker.record for worker in workers if worker.staff.name == who)
            what = f"{most} requests at the provider within {span:.0f} s, {allowed} are allowed"
            oracle.broken(f"I5 provider in {span:.0f} s", at, record, what)
    for worker in workers:
        _judge_rests(plan, oracle, worker.record, exchanges)
        most, at = busiest(worker.store_way.calls, 60.0)
        if most > promises.store_calls_a_minute:
            what = f"{most} calls to the store within a minute"
            oracle.broken("I5 store in a minute", at, worker.record, what)
        most, at = busiest(worker.store_way.calls, 3600.0)
        if most > promises.quiet_store_calls and not plan.happenings and plan.cache_ttl >= 900.0:
            what = f"{most} calls to the store within an hour in which nothing happened"
            oracle.broken("I5 store in an hour", at, worker.record, what)


def _judge_rests(plan: Plan, oracle: Oracle, record: Record, exchanges: Sequence[Exchange]) -> None:
    """Hold a worker to the `Retry-After` that it was told, unless its clock was set meanwhile."""
    steps = [one.at for one in plan.happenings if one.kind == "clock_step"]
    for since, until in record.rests:
        early = [one.at for one in exchanges
                 if one.who == record.staff.name and since < one.at < until]  # fmt: skip
        if early and not any(since <= step + AFTERMATH and step <= until for step in steps):
            what = f"asks {until - early[0]:.0f} s before the provider wants to be asked"
            oracle.broken("I5 Retry-After", early[0], record, what)


def busiest(times: Sequence[float], span: float) -> tuple[int, float]:
    """Return how many of the sorted times fall into one span at most, and where that begins."""
    most, at, first = 0, 0.0, 0
    for last, time in enumerate(times):
        while time - times[first] > span:
            first += 1
        if last - first + 1 > most:
            most, at = last - first + 1, times[first]
    return most, at


def _allowed(plan: Plan, promises: Promises, at: float, span: float) -> int:
    """Return how many requests a span may see that begins at a time."""
    near = [one for one in plan.happenings
            if one.at <= at + span and _ends(one) + AFTERMATH >= at]  # fmt: skip
    kinds = {one.kind for one in near}
    life = max(_life(plan, promises), promises.shortest_life)
    fetches = 1 + ceil(span / (promises.soonest_refresh * life))
    window = min(promises.noise_window, life / 2)
    noise = promises.noise_refreshes * (1 + ceil(span / window))
    searches = min(_searches(plan, at, span), noise)
    fetches += searches + 2 * sum(one.kind in TROUBLE for one in near)
    requests = (2 if plan.discovers else 1) * fetches * len({one.seal for one in plan.staff})
    if kinds & PROVIDER_TROUBLE:
        # One attempt in a cool-down; and of each worker one search in a cool-down of its own, for
        # an unknown key or as it has no keys at all.
        failures = 4 + ceil(span / promises.longest_cooldown)
        reasons = noise if _may_lack_keys(plan, near) else searches
        failures += min(reasons, len(plan.staff) * failures)
        requests += promises.tries * failures
    if "slow" in kinds:  # then each document is asked for again beside what has not answered
        requests *= promises.tries
    return requests * _loners(plan, near)


def _ends(one: Happening) -> float:
    """Return when it is over. Some happen when the worker asks the provider next, whenever."""
    is_armed = one.kind in {"freeze", "asleep", "kill"} and one.value > 0.0
    return inf if is_armed else one.at + one.seconds


def _may_lack_keys(plan: Plan, near: Sequence[Happening]) -> bool:
    """Tell whether the provider may be away from a worker that has no keys, not even stale ones."""
    longest = max((one.seconds for one in near if one.kind in PROVIDER_TROUBLE), default=0.0)
    return plan.max_stale < longest or any(one.kind == "kill" or one.at < 60.0 for one in near)


def _life(plan: Plan, promises: Promises) -> float:
    """Return the shortest life of a set: a copy of an HTTP cache may be as old as it can be."""
    if not plan.max_age:
        return plan.cache_ttl
    stated = 0.0 if plan.http_cache else plan.max_age
    return min(plan.cache_ttl, max(promises.least_life, stated))


def _loners(plan: Plan, near: Sequence[Happening]) -> int:
    """Return how many gates there are: the store's, and the own one of who can't rely on it."""
    cut_off = {one.who for one in near if one.kind in STORE_TROUBLE}
    if plan.store == "own":
        return len(plan.staff)
    return 1 + (len(plan.staff) if "" in cut_off else len(cut_off))


def _searches(plan: Plan, at: float, span: float) -> int:
    """Return how many searches there may be reason for: made-up keys, and new ones."""
    if not plan.names_keys:
        return 10_000
    strangers = any(
        one.kind == "strangers" and one.at <= at + span and one.at + one.seconds >= at - 60
        for one in plan.happenings
    )
    changed = any(one.kind in {"rotate", "retire", "publish", "reuse_kid"} and one.at <= at + span
                  for one in plan.happenings)  # fmt: skip
    return 10_000 if strangers or changed else 0
