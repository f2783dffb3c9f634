"""A model of a store, from its answers alone, by the rules of `auth_jwks.stores.gate`.

From outside, nobody sees when exactly a lease, cool-down, window or document ends. So the model
keeps every possible record, and drops those that an answer rules out.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import permutations, product

from auth_jwks.stores.base import LEASE, Answer, Cooling, Granted, Lease, LeaseRequest, Newer
from auth_jwks.stores.gate import EMPTY, Record, committed, failed, microseconds, polled

__all__ = ["Call", "Committed", "Failed", "Model", "Polled"]

# The contract does not fix the window before the first commit.
EMPTY_RECORDS = frozenset({EMPTY, replace(EMPTY, window=0)})


@dataclass(frozen=True, slots=True)
class Polled:
    """A poll and its answer."""

    known: int
    request: LeaseRequest | None
    answer: Answer

    def after(self, record: Record, now: int) -> Record | None:
        """Return the record after the call, None if the rules give another answer."""
        after, expected = polled(record, now, "", self.known, self.request, started=0.0)
        if without_times(expected) != without_times(self.answer):
            return None
        if not isinstance(expected, Granted) or not isinstance(self.answer, Granted):
            return after
        fence, gate = self.answer.lease.fence, record.gate
        if gate is not None and gate.fence == expected.lease.fence:
            return after if fence == gate.fence else None
        if fence <= record.issued:
            return None
        gate = None if after.gate is None else replace(after.gate, fence=fence)
        return replace(after, gate=gate, issued=fence)


@dataclass(frozen=True, slots=True)
class Committed:
    """A commit under a lease that was granted `took` seconds ago, and its answer."""

    lease: Lease
    payload: bytes
    took: float
    ttl: float
    window: float
    version: int | None

    def after(self, record: Record, now: int) -> Record | None:
        """Return the record after the call, None if the rules give another answer."""
        after, version = committed(
            record, now, self.lease, self.payload,
            took=self.took, ttl=self.ttl, window=self.window,
        )  # fmt: skip
        return after if version == self.version else None


@dataclass(frozen=True, slots=True)
class Failed:
    """A reported failure, which has no answer."""

    lease: Lease
    retry_after: float
    mismatch: bool

    def after(self, record: Record, now: int) -> Record:
        """Return the record after the call."""
        return failed(record, now, self.lease, self.retry_after, mismatch=self.mismatch)


Call = Polled | Committed | Failed


class Model:
    """Every record that the store may hold.

    The store's clock may be ahead of `now`, as calls take time. So whatever ends within that time,
    within `short` seconds or within half a lease may be over or not.
    """

    def __init__(self, now: int, short: float) -> None:
        self.now = now
        self._synchronized = time.monotonic()
        self._margin = max(short * 1.01, LEASE / 2)
        self._records = EMPTY_RECORDS

    def pass_time(self, seconds: float) -> None:
        """Let time pass; the store's clock moves at least as far."""
        self.now += microseconds(seconds)

    def wipe(self) -> None:
        """Lose everything."""
        self._records = EMPTY_RECORDS

    def see(self, *calls: Call) -> None:
        """Add calls that were made at once, so they may have run in any order."""
        orders = list(permutations(calls))
        after = frozenset(record for order in orders for record in self._through(order))
        if not after:
            raise AssertionError(
                f"no order of {calls!r} fits any of {sorted(self._records, key=repr)}"
            )
        self._records = after
        for call in calls:
            if isinstance(call, Polled) and isinstance(call.answer, Granted):
                self._synchronize(call.answer.lease.fence)

    def _synchronize(self, fence: int) -> None:
        """Catch up with a fence: it is never ahead of the store's clock."""
        if fence > self.now:
            self.now, self._synchronized = fence, time.monotonic()

    def _through(self, calls: tuple[Call, ...]) -> set[Record]:
        records = set(self._records)
        for call in calls:
            before = {each for record in records for each in self._aged(record)}
            after = {call.after(record, self.now) for record in before}
            records = {record for record in after if record is not None}
        return records

    def _aged(self, record: Record) -> Iterator[Record]:
        """Yield the record as it is, and with every choice of the parts that may be over ended."""
        soon = self.now + microseconds(self._margin + time.monotonic() - self._synchronized)
        gates, ends, times = [record.gate], [record.expires], [record.unscheduled]
        if record.gate is not None:
            if record.gate.left(soon) <= 0:
                gates.append(None)
            if soon - record.gate.granted >= microseconds(LEASE):
                gates.append(replace(record.gate, granted=0))
        if record.expires <= soon:
            ends.append(0)
        for number, at in enumerate(record.unscheduled, 1):
            if at + record.window <= soon:
                times.append(record.unscheduled[number:])
        for gate, expires, unscheduled in product(gates, ends, times):
            yield replace(record, gate=gate, expires=expires, unscheduled=unscheduled)


def without_times(answer: Answer) -> tuple[object, ...]:
    """Return an answer without the fields that depend on time alone."""
    match answer:
        case Newer(version, payload):
            return Newer, version, payload
        case Granted(lease):
            return Granted, lease.holder, lease.ttl, lease.failures
        case Cooling(_, reason):
            return Cooling, reason
        case _:
            return (type(answer),)
