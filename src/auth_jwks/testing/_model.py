"""What a store may hold, as far as its answers tell: the rules of `auth_jwks.stores.gate`.

Seen from outside, nobody knows the moment at which a short lease, cool-down, window or document is
over. So the model keeps every record there may be, and drops those that an answer rules out.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import permutations, product

from auth_jwks.stores.base import Answer, Cooling, Granted, Lease, LeaseRequest, Newer
from auth_jwks.stores.gate import EMPTY, Record, committed, failed, microseconds, polled

__all__ = ["Call", "Committed", "Failed", "Model", "Polled"]

# Which window holds before the first commit is not laid down.
BLANK = frozenset({EMPTY, replace(EMPTY, window=0)})


@dataclass(frozen=True, slots=True)
class Polled:
    """A poll and its answer."""

    known: int
    request: LeaseRequest | None
    answer: Answer

    def after(self, record: Record, now: int) -> Record | None:
        """Return what a record has become, None if the rules answer otherwise."""
        after, expected = polled(record, now, "", self.known, self.request, started=0.0)
        if bare(expected) != bare(self.answer):
            return None
        if not isinstance(expected, Granted) or not isinstance(self.answer, Granted):
            return after
        fence = self.answer.lease.fence
        renewed = record.gate is not None and record.gate.fence == expected.lease.fence
        if fence != record.issued if renewed else fence <= record.issued:
            return None
        gate = None if after.gate is None else replace(after.gate, fence=fence)
        return replace(after, gate=gate, issued=fence)


@dataclass(frozen=True, slots=True)
class Committed:
    """A commit of what was fetched under a lease granted `took` seconds ago, and its answer."""

    lease: Lease
    payload: bytes
    took: float
    ttl: float
    window: float
    version: int | None

    def after(self, record: Record, now: int) -> Record | None:
        """Return what a record has become, None if the rules answer otherwise."""
        after, version = committed(
            record, now, self.lease, self.payload,
            took=self.took, ttl=self.ttl, window=self.window,
        )  # fmt: skip
        return after if version == self.version else None


@dataclass(frozen=True, slots=True)
class Failed:
    """A failure that was told; it has no answer."""

    lease: Lease
    retry_after: float
    mismatch: bool

    def after(self, record: Record, now: int) -> Record:
        """Return what a record has become."""
        return failed(record, now, self.lease, self.retry_after, mismatch=self.mismatch)


Call = Polled | Committed | Failed


class Model:
    """Every record that the store may hold; spans up to `short` seconds may be over or not."""

    def __init__(self, now: int, short: float) -> None:
        self.now = now
        self._short = microseconds(short * 1.01)
        self._records = BLANK

    def pass_time(self, seconds: float) -> None:
        """Let time pass, by the store's clock at least as much."""
        self.now += microseconds(seconds)

    def wipe(self) -> None:
        """Lose everything."""
        self._records = BLANK

    def see(self, *calls: Call) -> None:
        """Take note of calls that were made at once, and so in any order."""
        orders = list(permutations(calls))
        after = frozenset(record for order in orders for record in self._through(order))
        if not after:
            raise AssertionError(
                f"{calls!r}: no order fits any of {sorted(self._records, key=repr)}"
            )
        self._records = after
        for call in calls:
            if isinstance(call, Polled) and isinstance(call.answer, Granted):
                # A fence is not ahead of the store's clock, which the model's must not lag behind.
                self.now = max(self.now, call.answer.lease.fence)

    def _through(self, calls: tuple[Call, ...]) -> set[Record]:
        records = set(self._records)
        for call in calls:
            before = {each for record in records for each in self._aged(record)}
            after = {call.after(record, self.now) for record in before}
            records = {record for record in after if record is not None}
        return records

    def _aged(self, record: Record) -> Iterator[Record]:
        """Yield the record as it is, and as it is when what is short has come to its end."""
        gates, ends, times = [record.gate], [record.expires], [record.unscheduled]
        if record.gate is not None and record.gate.ttl <= self._short:
            gates.append(None)
        if record.expires - record.fetched <= self._short:
            ends.append(0)
        if record.window <= self._short:
            times += [record.unscheduled[count:] for count in range(1, 1 + len(record.unscheduled))]
        for gate, expires, unscheduled in product(gates, ends, times):
            yield replace(record, gate=gate, expires=expires, unscheduled=unscheduled)


def bare(answer: Answer) -> tuple[object, ...]:
    """Return an answer without what time alone decides."""
    match answer:
        case Newer(version, payload):
            return Newer, version, payload
        case Granted(lease):
            return Granted, lease.holder, lease.ttl, lease.failures
        case Cooling(_, reason):
            return Cooling, reason
        case _:
            return (type(answer),)
