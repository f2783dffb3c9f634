"""What the simulated workers do, step by step, as `_refresh` and `_key_cache` do it."""

from auth_jwks._cache.refresh import FIRST_POLL_PAUSE, MAX_POLL_PAUSE
from auth_jwks.stores.base import Busy, Granted, Lease, LeaseRequest, Newer
from benchmarks.scale_model import LEASE, Call, Costs, Fleet, Seen, Steps, Work

__all__ = ["cold_start", "killed_holder", "warm"]

PATIENCE = LEASE + 10.0 + 1.0  # of a cold worker: the lease, two documents, a margin
RENEWAL = LEASE / 3
POLL = 60.0
CACHE_TTL = 900.0
ALONE = 30.0
TURN = 0.001


def cold_start(costs: Costs, number: int, *, spread: float = 0.0, seed: int = 0) -> Seen:
    """Start workers without keys, all at once or evenly over `spread` seconds."""
    fleet = Fleet(costs, seed)
    for n in range(number):
        fleet.add(_cold(fleet, f"{n}"), spread * n / number)
    return fleet.run()


def killed_holder(
    costs: Costs, survivors: int, lead: float, *, spread: float = 0.0, seed: int = 0
) -> Seen:
    """Kill a worker that began `lead` seconds before the others, after it renewed its lease."""
    fleet = Fleet(costs, seed)
    fleet.add(_doomed(fleet))
    for n in range(survivors):
        fleet.add(_cold(fleet, f"{n}"), lead + spread * n / survivors)
    return fleet.run()


def warm(costs: Costs, number: int, seconds: float, *, every: float = 0.0, seed: int = 0) -> Seen:
    """Let workers verify a token every so many seconds, whose keys were just fetched."""
    fleet = Fleet(costs, seed)
    version = fleet.publish()
    for n in range(number):
        fleet.add(_warm(fleet, f"{n}", version, seconds, every))
    return fleet.run()


def _cold(fleet: Fleet, name: str) -> Steps:
    wish, pause = LeaseRequest(name, LEASE, "age"), FIRST_POLL_PAUSE
    began = fleet.now
    yield from _computing(fleet, fleet.costs.first)
    while fleet.now <= began + PATIENCE:
        answer = yield Call(wish=wish)
        if answer is None:
            answer = yield Call(wish=wish)  # a worker without keys has two attempts
        match answer:
            case Busy():
                yield fleet.uniform(pause / 2, pause)
                pause = min(MAX_POLL_PAUSE, pause * 2)
                continue
            case Granted():
                yield from _fetch(fleet, wish, answer.lease)
            case None:
                fleet.seen.alone += 1
                yield from _fetch(fleet, wish, None)
        yield Work(fleet.costs.worker)
        fleet.seen.served.append(fleet.now - began)
        return
    fleet.seen.unserved += 1


def _doomed(fleet: Fleet) -> Steps:
    wish = LeaseRequest("doomed", LEASE, "age")
    yield Call(wish=wish)
    fleet.seen.fetches += 1
    yield RENEWAL
    yield Call(wish=wish)


def _warm(fleet: Fleet, name: str, known: int, seconds: float, every: float) -> Steps:
    uniform, wish = fleet.uniform, LeaseRequest(name, LEASE, "age")
    fetched = fleet.now
    due, look = fetched + CACHE_TTL * uniform(0.75, 0.9), POLL * uniform(0.75, 1.25)
    while (then := min(due, look) + uniform(0, every)) <= seconds:
        yield max(0.0, then - fleet.now)
        asked = fleet.now
        answer = yield Call(known, wish if asked >= due else None)
        match answer:
            case Newer():
                known, fetched = answer.version, fleet.now - answer.age
                due = fetched + CACHE_TTL * uniform(0.75, 0.9)
            case Granted():
                yield from _fetch(fleet, wish, answer.lease)
                known, fetched = answer.lease.fence, asked
                due = fetched + CACHE_TTL * uniform(0.75, 0.9)
            case Busy():
                due = min(fleet.now + answer.retry_after, fetched + CACHE_TTL)
            case None:
                fleet.seen.alone += 1
                due = max(due, fleet.now + ALONE)
        look = fleet.now + POLL * uniform(0.75, 1.25)


def _fetch(fleet: Fleet, wish: LeaseRequest, lease: Lease | None) -> Steps:
    """Fetch at the provider, under a lease that is renewed and ends in a commit, or alone."""
    fleet.seen.fetches += 1
    began, left = fleet.now, fleet.costs.provider
    yield from _computing(fleet, fleet.costs.fetch)
    while lease is not None and left > RENEWAL:
        yield RENEWAL
        yield Call(wish=wish)
        left -= RENEWAL
    yield left
    if lease is not None:
        yield Call(lease=lease, took=fleet.now - began)


def _computing(fleet: Fleet, seconds: float) -> Steps:
    """Compute for so long; where cores are shared, in turns with all others who do."""
    turn = TURN if fleet.costs.cores else seconds
    while seconds > 0:
        yield Work(min(turn, seconds))
        seconds -= turn
