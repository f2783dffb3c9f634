"""The rules of the gate, as pure functions from one record to the next.

`now` is the store's own time in whole microseconds, and so are all times in a record. Fences are
such times: a store that rounds differently would turn one moment into two. Durations, in arguments
and answers, are seconds.

A record holds one document and the gate before it. A store that can read, change and write a
record in one atomic step keeps the contract by calling these functions. `MemoryKeyStore` and
`FileKeyStore` do. Redis runs the same rules in Lua.
"""

from dataclasses import replace
from math import modf
from typing import TYPE_CHECKING, Literal

from auth_jwks._values import dataclass
from auth_jwks.stores.base import (
    DAY,
    LEASE,
    MAX_COOLDOWN,
    REPAIR_INTERVAL,
    UNSCHEDULED_LIMIT,
    UNSCHEDULED_WINDOW,
    Answer,
    Busy,
    Cooling,
    Granted,
    Lease,
    LeaseRequest,
    Newer,
    Unchanged,
)

if TYPE_CHECKING:
    from dataclasses import dataclass

__all__ = [
    "EMPTY",
    "Gate",
    "Record",
    "committed",
    "failed",
    "microseconds",
    "orphaned",
    "polled",
]

MICRO = 1_000_000
# Lua represents a sum of two of them exactly.
MAX_SECONDS = 2.0**52 / MICRO


def microseconds(seconds: float) -> int:
    """Return the nearest whole number of microseconds, from 0 up to 2**52: 142 years.

    NaN is 0. Whole microseconds divided by 1e6 convert back exactly.
    """
    fraction, whole = modf(min(MAX_SECONDS, max(0.0, seconds)))
    return int(whole) * MICRO + round(fraction * MICRO)


DAY_MICROS = microseconds(DAY)
REPAIR_MICROS = microseconds(REPAIR_INTERVAL)
OVERTAKING = microseconds(LEASE)
UNSCHEDULED = ("unknown_kid", "forced")
# After so many failures in a row of different holders, the provider is at fault.
AGREEMENT = 2

Failure = Literal["failed", "mismatch"]


@dataclass(frozen=True, slots=True)
class Gate:
    """A lease of `holder`, or the cool-down after it has `failed`, from `renewed` for `ttl`.

    The lease was `granted` once and `renewed` since. `fence` can't tell when: it may be ahead of
    the clock.
    """

    holder: str
    fence: int
    granted: int
    renewed: int
    ttl: int
    failed: Failure | None = None

    def is_lease_of(self, holder: str) -> bool:
        """Return whether this is a lease, and that holder's."""
        return self.failed is None and self.holder == holder

    def is_of(self, lease: Lease) -> bool:
        """Return whether this is exactly that lease."""
        return self.is_lease_of(lease.holder) and self.fence == lease.fence

    def left(self, now: int) -> int:
        """Return the time left; 0 if it was renewed in the future, as the clock was set back."""
        return self.renewed + self.ttl - now if self.renewed <= now else 0


@dataclass(frozen=True, slots=True)
class Record:
    """The state of one key.

    `unscheduled`: start of the last searches and forced refreshes; `repaired`: of the last repair.
    `failures` counts those in a row, but for more than one of the same holder, `failed_by`.
    """

    version: int = 0
    payload: bytes = b""
    fetched: int = 0
    expires: int = 0
    issued: int = 0
    failures: int = 0
    failed_by: str = ""
    repaired: int = 0
    window: int = microseconds(UNSCHEDULED_WINDOW)
    unscheduled: tuple[int, ...] = ()
    gate: Gate | None = None


if TYPE_CHECKING:
    EMPTY: Record
else:

    def __getattr__(name: str) -> Record:
        # Made when it is asked for: no verifier needs it before its first refresh.
        if name != "EMPTY":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return globals().setdefault(name, Record())


def polled(
    record: Record, now: int, key: str, known: int, lease: LeaseRequest | None, *, started: float
) -> tuple[Record, Answer]:
    """Answer a poll. `started`, the caller's own time before it, becomes a field of the lease."""
    known = _plausible(known, now)
    stored = _version(record, now)
    if stored > known:
        age, left = max(0, now - record.fetched), record.expires - now
        return record, Newer(stored, record.payload, age / MICRO, left / MICRO)
    if lease is None:
        return record, Unchanged()
    gate = _live(record, now)
    if gate is not None and gate.is_lease_of(lease.holder):
        renewed = replace(record, gate=replace(gate, renewed=now, ttl=microseconds(lease.ttl)))
        return renewed, _granted(record, gate.fence, key, lease, started)
    closed = _closed(record, gate, now, lease)
    if closed is not None:
        return record, closed
    fence = max(now, _plausible(record.issued, now) + 1, known + 1)
    return _leased(record, now, fence, lease), _granted(record, fence, key, lease, started)


def committed(
    record: Record, now: int, lease: Lease, payload: bytes, *, took: float, ttl: float,
    window: float,
) -> tuple[Record, int | None]:  # fmt: skip
    """Store the result of a lease requested `took` seconds ago, unless a newer one is stored.

    A lease that has expired or was overtaken counts as well: its fence shows that its result is
    newer than what is stored. The gate of another holder stays closed.
    """
    gate = _live(record, now)
    mine = gate is not None and gate.is_of(lease)
    if lease.fence <= _version(record, now) or not (mine or lease.fence <= now):
        return record, None
    fetched = max(0, now - microseconds(took))
    stored = replace(
        record, version=lease.fence, payload=payload, fetched=fetched,
        expires=fetched + microseconds(ttl), issued=max(record.issued, lease.fence),
        failures=0, failed_by="", window=microseconds(window), gate=None if mine else gate,
    )  # fmt: skip
    return stored, lease.fence


def failed(
    record: Record, now: int, lease: Lease, retry_after: float, *, mismatch: bool = False
) -> Record:
    """Turn the lease into a cool-down, if it is still live.

    Repeated failures of one host add nothing to its first one: only later failures of others are
    counted.
    """
    gate = _live(record, now)
    if gate is None or not gate.is_of(lease):
        return record
    ttl = microseconds(min(retry_after, MAX_COOLDOWN))
    cooldown = Gate(gate.holder, gate.fence, now, now, ttl, "mismatch" if mismatch else "failed")
    failures = record.failures + (record.failed_by != lease.holder)
    return replace(record, gate=cooldown, failures=failures, failed_by=lease.holder)


def orphaned(record: Record) -> Record:
    """Drop a lease whose holder is gone. A cool-down stays."""
    leased = record.gate is not None and record.gate.failed is None
    return replace(record, gate=None) if leased else record


def _plausible(version: int, now: int) -> int:
    """Return the version; 0 if it is too far ahead: forged, or the clock was set back."""
    return version if 0 < version <= now + DAY_MICROS else 0


def _version(record: Record, now: int) -> int:
    """Return the stored version; 0 if there is none, it has expired or it is too far ahead."""
    return _plausible(record.version, now) if record.expires > now else 0


def _live(record: Record, now: int) -> Gate | None:
    return record.gate if record.gate is not None and record.gate.left(now) > 0 else None


def _closed(
    record: Record, gate: Gate | None, now: int, lease: LeaseRequest
) -> Busy | Cooling | None:
    """Return why no lease is granted, None if one is; a closed gate before a spent budget."""
    spent = _spent(record, now, lease)
    if gate is None or (spent is None and _may_pass(record, gate, now, lease)):
        return spent
    left = gate.left(now) / MICRO
    return Busy(left) if gate.failed is None else Cooling(left, gate.failed)


def _may_pass(record: Record, gate: Gate, now: int, lease: LeaseRequest) -> bool:
    """Return whether a closed gate admits this request, within the budget.

    One host must not decide what the others can reach: if it takes long, a search overtakes it;
    its failure holds back no search of theirs, nor anything until a second host has failed.
    """
    is_search = lease.cause in UNSCHEDULED
    if gate.failed is None:
        return is_search and now - gate.granted >= OVERTAKING
    if gate.holder != lease.holder:
        return is_search or record.failures < AGREEMENT
    # A failed holder leaves the last place in the budget to those who may succeed.
    return lease.cause == "forced" and len(_recent(record, now)) < UNSCHEDULED_LIMIT - 1


def _spent(record: Record, now: int, lease: LeaseRequest) -> Cooling | None:
    """Return until when the budget for that cause is spent, None if it is not."""
    if lease.cause == "repair":
        left = record.repaired + REPAIR_MICROS - now if 0 < record.repaired <= now else 0
        return Cooling(left / MICRO, "budget") if left > 0 else None
    recent = _recent(record, now)
    if lease.cause not in UNSCHEDULED or len(recent) < UNSCHEDULED_LIMIT:
        return None
    return Cooling((recent[0] + record.window - now) / MICRO, "budget")


def _recent(record: Record, now: int) -> tuple[int, ...]:
    recent = (at for at in record.unscheduled if 0 <= now - at < record.window)
    return tuple(recent)[-UNSCHEDULED_LIMIT:]


def _leased(record: Record, now: int, fence: int, lease: LeaseRequest) -> Record:
    gate = Gate(lease.holder, fence, now, now, microseconds(lease.ttl))
    leased = replace(record, issued=fence, gate=gate)
    if lease.cause == "repair":
        return replace(leased, repaired=now)
    if lease.cause in UNSCHEDULED:
        return replace(leased, unscheduled=(*_recent(record, now), now))
    return leased


def _granted(record: Record, fence: int, key: str, lease: LeaseRequest, started: float) -> Granted:
    return Granted(Lease(key, lease.holder, fence, lease.ttl, started, record.failures))
