"""The ledger of a store: what it has granted and heard, which its next answers are held to.

It is written from the contract (`docs/design.md`, section 8), and knows nothing of the code.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from auth_jwks.stores.base import (
    Answer,
    Busy,
    Cause,
    Cooling,
    Granted,
    Lease,
    LeaseRequest,
    Newer,
)

__all__ = ["Ledger"]

LEASE, WINDOW, REPAIR, MAX_COOLDOWN, LIMIT, DAY = 3.0, 10.0, 300.0, 60.0, 2, 86_400.0
AGREEMENT = 2
UNSCHEDULED = {"unknown_kid", "forced"}
MOMENT = 0.001  # stores count whole microseconds


@dataclass(slots=True)
class _Closed:
    """A lease or, if it `cools`, a cool-down: of whom, since when, and until when."""

    holder: str
    fence: int
    granted: float
    renewed: float
    until: float
    cools: bool = False

    def is_live(self, now: float, doubt: float = 0.0) -> bool:
        """Tell whether it still holds; not if it is of the future, as the clock was set back."""
        return self.renewed <= now < self.until - doubt


class Ledger:
    """Judges the answers of one store, which has one record; `now` is the time of the world."""

    def __init__(self, broken: Callable[[str], None]) -> None:
        self._broken = broken
        self._issued = 0
        self.forget()

    def __repr__(self) -> str:
        return f"Ledger(version={self._version}, closed={self._closed})"

    def forget(self) -> None:
        """Forget everything, as the store does when it is flushed."""
        self._version, self._expires, self._fetched = 0, -inf, -inf
        self._window, self._failures, self._failed_by = WINDOW, 0, ""
        self._closed: _Closed | None = None
        self._unscheduled: list[float] = []
        self._repaired = -inf
        self._issued = 0

    def step(self, seconds: float) -> None:
        """Take note that the store's clock was stepped: to it, all is so much older."""
        self._expires -= seconds
        self._fetched -= max(0.0, seconds)
        if seconds < 0.0:
            self._fetched = -inf  # how old it calls the document is anybody's guess
        self._unscheduled = [at - seconds for at in self._unscheduled]
        self._repaired -= seconds
        if (closed := self._closed) is not None:
            closed.granted -= seconds
            closed.renewed -= seconds
            closed.until -= seconds

    def release(self, holders: set[str]) -> None:
        """Take note that these have died, where a store can tell."""
        if self._closed is not None and self._closed.holder in holders and not self._closed.cools:
            self._closed = None

    def polled(
        self, known: int, request: LeaseRequest | None, answer: Answer, now: float, clock: float
    ) -> None:
        """Hold an answer to what is known. `clock` is the store's own time."""
        known = _plausible(known, clock)
        if isinstance(answer, Newer):
            self._told(known, answer, now, clock)
        elif _plausible(self._version, clock) > known and self._expires > now + MOMENT:
            self._broken(f"told nothing of {self._version} to who knows {known}")
        elif request is not None:
            self._answered(known, request, answer, now, clock)

    def committed(
        self, lease: Lease, version: int | None, now: float, clock: float, *,
        fetched: float, expires: float, window: float,
    ) -> None:  # fmt: skip
        """Take note of a commit, or of its refusal. `fetched` is the truth of it."""
        newest = _plausible(self._version, clock)
        stored = newest if self._expires > now + MOMENT else 0
        closed = self._closed
        mine = self._is_live(lease, now)
        if version is None:
            if lease.fence > newest and (mine or lease.fence <= (clock - MOMENT) * 1e6):
                self._broken(f"refused {lease.fence} though {newest} is older")
            return
        if version != lease.fence or version <= stored:
            self._broken(f"put {version} in the place of {stored}")
        self._version, self._fetched, self._expires = version, fetched, expires
        self._window, self._failures, self._failed_by = window, 0, ""
        self._issued = max(self._issued, version)
        if closed is not None and mine:
            self._closed = None

    def failed(self, lease: Lease, retry_after: float, now: float) -> None:
        """Take note of a failure. It counts if the lease is live, and one holder's count once."""
        if self._is_live(lease, now):
            until = now + min(retry_after, MAX_COOLDOWN)
            self._closed = _Closed(lease.holder, lease.fence, now, now, until, cools=True)
            self._failures += self._failed_by != lease.holder
            self._failed_by = lease.holder

    def _is_live(self, lease: Lease, now: float) -> bool:
        closed = self._closed
        return (
            closed is not None and not closed.cools and closed.is_live(now)
            and (closed.holder, closed.fence) == (lease.holder, lease.fence)
        )  # fmt: skip

    def _told(self, known: int, answer: Newer, now: float, clock: float) -> None:
        if answer.version <= known or answer.version != _plausible(self._version, clock):
            self._broken(f"told of {answer.version} to who knows {known}; {self._version} is there")
        if answer.age < now - self._fetched - MOMENT and self._fetched > -inf:
            self._broken(f"called a set {answer.age:.3f} s old, {now - self._fetched:.3f} in truth")
        if self._expires <= now - MOMENT:
            self._broken("told of a document that has expired")

    def _answered(
        self, known: int, request: LeaseRequest, answer: Answer, now: float, clock: float
    ) -> None:
        who = f"{request.holder[:4]} for {request.cause}"
        match answer:
            case Granted(lease):
                self._granted(known, request, lease, now, clock)
            case Busy(left):
                self._held_back(request, now, left, cools=False)
            case Cooling(left, "budget"):
                if left > max(self._window, REPAIR) or not self._is_spent(request.cause, now, +1):
                    self._broken(f"no budget for {who} for {left:.1f} s")
            case Cooling(left):
                self._held_back(request, now, left, cools=True)
            case _:
                self._broken(f"{answer} to {who}")

    def _held_back(self, request: LeaseRequest, now: float, left: float, *, cools: bool) -> None:
        closed, who = self._standing(now), f"{request.holder[:4]} for {request.cause}"
        if closed is None or closed.cools != cools or left > closed.until - now + MOMENT:
            self._broken(f"holds {who} back for {left:.3f} s at {now:.3f}, amid {closed}")
        elif not cools and closed.holder == request.holder:
            self._broken(f"Busy to {who}, who holds {closed}")
        elif self._may_pass(request, now, +MOMENT):
            self._broken(f"{who} may pass {closed} at {now:.3f}")

    def _granted(
        self, known: int, request: LeaseRequest, lease: Lease, now: float, clock: float
    ) -> None:
        closed, cause = self._standing(now), request.cause
        if lease.failures != self._failures:
            self._broken(f"counts {lease.failures} failures, there were {self._failures}")
        if closed is not None and not closed.cools and closed.holder == request.holder:
            if lease.fence != closed.fence and closed.is_live(now, MOMENT):
                self._broken(f"granted {closed} again with another fence, {lease.fence}")
            if lease.fence == closed.fence:
                closed.renewed, closed.until = now, now + request.ttl
                return
        elif self._is_closed(request, now):
            self._broken(f"granted {request.holder[:4]} for {cause} a lease amid {closed}")
        elif self._is_spent(cause, now, -1):
            self._broken(f"granted a lease for {cause} too many")
        least = max(known, _plausible(self._issued, clock))
        if lease.fence <= least or lease.fence < (clock - MOMENT) * 1e6:
            self._broken(f"issued {lease.fence} after {least} at {clock:.6f}")
        self._issued = lease.fence
        self._closed = _Closed(request.holder, lease.fence, now, now, now + request.ttl)
        if cause in UNSCHEDULED:
            self._unscheduled = [*self._recent(now, 1), now]
        elif cause == "repair":
            self._repaired = now

    def _is_closed(self, request: LeaseRequest, now: float) -> bool:
        """Tell whether the gate lets nobody through for this, for certain."""
        closed = self._closed
        is_live = closed is not None and closed.is_live(now, MOMENT)
        return is_live and not self._may_pass(request, now, -MOMENT)

    def _standing(self, now: float) -> _Closed | None:
        """Return what closes the gate; what has just ended perhaps still does."""
        closed = self._closed
        return closed if closed is not None and closed.is_live(now, -MOMENT) else None

    def _may_pass(self, request: LeaseRequest, now: float, doubt: float) -> bool:
        """Tell whether a closed gate lets it through; a `doubt` above 0 says: for certain."""
        closed = self._standing(now)
        if closed is None:
            return False
        is_search = request.cause in UNSCHEDULED
        side = 1 if doubt > 0 else -1
        if self._is_spent(request.cause, now, side):
            return False
        if not closed.cools:
            return is_search and now - closed.granted >= LEASE + doubt
        if closed.holder != request.holder:
            return is_search or self._failures < AGREEMENT
        return request.cause == "forced" and len(self._recent(now, side)) < LIMIT - 1

    def _is_spent(self, cause: Cause, now: float, side: int) -> bool:
        """Tell whether the budget is spent; with `side` -1 for certain, with 1 perhaps."""
        if cause == "repair":
            return 0 <= now - self._repaired < REPAIR + side * MOMENT
        return cause in UNSCHEDULED and len(self._recent(now, side)) >= LIMIT

    def _recent(self, now: float, side: int) -> list[float]:
        window = self._window + side * MOMENT
        return [at for at in self._unscheduled if 0 <= now - at < window][-LIMIT:]


def _plausible(version: int, clock: float) -> int:
    """Return a version, 0 if it is more than a day ahead of the store's time."""
    return version if version <= (clock + DAY) * 1e6 else 0
