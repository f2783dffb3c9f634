"""The rules of the gate, as pure functions from one record to the next.

`now` is the store's own time in seconds. A record holds one document and the gate before it.
A store that can read, change and write a record in one atomic step keeps the contract with them;
so do `MemoryKeyStore` and `FileKeyStore`, and Redis carries the same rules out in Lua.
"""

from dataclasses import dataclass, replace

from auth_jwks.stores.base import (
    Answer,
    Busy,
    Cooling,
    Granted,
    Lease,
    LeaseRequest,
    Newer,
    Unchanged,
)

__all__ = [
    "DAY",
    "EMPTY",
    "Gate",
    "Record",
    "committed",
    "failed",
    "orphaned",
    "polled",
]

DAY = 86_400.0
LONGEST_COOLDOWN = 300.0
NOISE_LIMIT = 2


@dataclass(frozen=True, slots=True)
class Gate:
    """A live lease (`token` set) or a cool-down after a failure, from `granted` for `ttl`."""

    token: str | None
    fence: int
    granted: float
    ttl: float
    mismatch: bool = False

    def left(self, now: float) -> float:
        """Return the seconds left; none if it was granted in the future: the clock went back."""
        return self.granted + self.ttl - now if self.granted <= now else 0.0


@dataclass(frozen=True, slots=True)
class Record:
    """What a store keeps under one key; `noise` are the times of leases that no age called for."""

    version: int = 0
    payload: bytes = b""
    fetched: float = 0.0
    expires: float = 0.0
    issued: int = 0
    failures: int = 0
    window: float = 30.0
    noise: tuple[float, ...] = ()
    gate: Gate | None = None


EMPTY = Record()


def polled(
    record: Record, now: float, key: str, known: int, lease: LeaseRequest | None
) -> tuple[Record, Answer]:
    """Answer a poll. `Lease.started` is left at 0: it is in the caller's time, not the store's."""
    known = _plausible(known, now)
    stored = _version(record, now)
    if stored > known:
        left = record.expires - now
        age = max(0.0, now - record.fetched)
        return record, Newer(stored, record.payload, age, left)
    if lease is None:
        return record, Unchanged()
    gate = _live(record, now)
    if gate is not None and gate.token == lease.token:
        renewed = replace(gate, granted=now, ttl=lease.ttl)
        return replace(record, gate=renewed), _granted(record, key, renewed, lease.token)
    closed = _closed(record, gate, now, lease)
    return (record, closed) if closed is not None else _grant(record, now, key, known, lease)


def committed(
    record: Record, now: float, lease: Lease, payload: bytes, *, took: float, ttl: float,
    cooldown: float,
) -> tuple[Record, int | None]:  # fmt: skip
    """Store the result of a lease that was asked for `took` seconds ago, unless superseded."""
    gate = _live(record, now)
    mine = gate is not None and gate.token == lease.token
    lapsed = gate is None and lease.fence <= now * 1e6
    if lease.fence <= _version(record, now) or not (mine or lapsed):
        return record, None
    stored = replace(
        record, version=lease.fence, payload=payload, fetched=now - took, expires=now - took + ttl,
        issued=max(record.issued, lease.fence), failures=0, window=cooldown, gate=None,
    )  # fmt: skip
    return stored, lease.fence


def failed(
    record: Record, now: float, lease: Lease, retry_after: float, *, mismatch: bool = False
) -> Record:
    """Turn the lease into a cool-down if it is still live."""
    gate = _live(record, now)
    if gate is None or gate.token != lease.token:
        return record
    cooldown = Gate(None, gate.fence, now, min(retry_after, LONGEST_COOLDOWN), mismatch)
    return replace(record, gate=cooldown, failures=record.failures + 1)


def orphaned(record: Record) -> Record:
    """Drop the lease, if there is one: its holder is gone. A cool-down stays."""
    leased = record.gate is not None and record.gate.token is not None
    return replace(record, gate=None) if leased else record


def _plausible(version: int, now: float) -> int:
    """Return the version, 0 for one too far ahead: forged, or from before the clock went back."""
    return version if 0 < version <= int((now + DAY) * 1e6) else 0


def _version(record: Record, now: float) -> int:
    """Return the stored version, 0 for none, an expired one or one too far ahead."""
    return _plausible(record.version, now) if record.expires > now else 0


def _live(record: Record, now: float) -> Gate | None:
    return record.gate if record.gate is not None and record.gate.left(now) > 0 else None


def _closed(
    record: Record, gate: Gate | None, now: float, lease: LeaseRequest
) -> Busy | Cooling | None:
    if gate is not None:
        left = gate.left(now)
        if gate.token is not None:
            return Busy(left)
        return Cooling(left, failed=True, mismatch=gate.mismatch)
    recent = _recent(record, now)
    if lease.cause == "age" or len(recent) < NOISE_LIMIT:
        return None
    return Cooling(recent[0] + record.window - now, failed=False)


def _recent(record: Record, now: float) -> tuple[float, ...]:
    return tuple(at for at in record.noise if 0 <= now - at < record.window)[-NOISE_LIMIT:]


def _grant(
    record: Record, now: float, key: str, known: int, lease: LeaseRequest
) -> tuple[Record, Granted]:
    fence = max(int(now * 1e6), _plausible(record.issued, now) + 1, known + 1)
    gate = Gate(lease.token, fence, now, lease.ttl)
    noise = record.noise if lease.cause == "age" else (*_recent(record, now), now)
    granted = replace(record, issued=fence, gate=gate, noise=noise)
    return granted, _granted(record, key, gate, lease.token)


def _granted(record: Record, key: str, gate: Gate, token: str) -> Granted:
    return Granted(Lease(key, token, gate.fence, gate.ttl, 0.0, record.failures))
