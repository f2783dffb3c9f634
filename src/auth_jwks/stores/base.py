"""What the verifier asks of a store: the gate through which a fleet shares one key set.

A store keeps, per key, one opaque document with a version, and a gate: a lease for the one
worker that may refresh it, or a cool-down. Workers wait for data, they never queue for a lock.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

__all__ = [
    "DAY",
    "LEASE",
    "MAX_CALL",
    "MAX_COOLDOWN",
    "MAX_PAYLOAD",
    "MAX_STORED",
    "REPAIR_INTERVAL",
    "UNSCHEDULED_LIMIT",
    "UNSCHEDULED_WINDOW",
    "Answer",
    "Busy",
    "Cause",
    "Cooling",
    "Granted",
    "KeyStore",
    "Lease",
    "LeaseRequest",
    "Newer",
    "StoreUnavailable",
    "Unchanged",
]

# Seconds. A lease must outlast a call to the store by far: it is renewed, and its commit has to be
# in time.
LEASE = 3.0
MAX_CALL = LEASE / 4
MAX_COOLDOWN = 60.0
# How far a version may be ahead of the store's time, and how long a record is kept at least.
DAY = 86_400.0
# Leases for another cause than age: so many in so many seconds, until a commit says how many.
UNSCHEDULED_LIMIT = 2
UNSCHEDULED_WINDOW = 10.0
# Between two leases to repair a document: where two fleets share a key and not a seal, each of them
# finds the other one's for ever.
REPAIR_INTERVAL = 300.0
# Bytes. What is stored may be longer than a payload, by its seal; above that it counts as absent.
MAX_PAYLOAD = 1024 * 1024
MAX_STORED = 2 * MAX_PAYLOAD

Cause = Literal["age", "unknown_kid", "forced", "repair"]


class StoreUnavailable(Exception):  # noqa: N818 - a state of the store, and the contract's word for it
    """The store can't answer now; its argument says why, in a word or two without secrets.

    `resting`: it was not asked, as it failed a moment ago, which was told then.
    """

    def __init__(self, reason: str = "unavailable", *, resting: bool = False) -> None:
        super().__init__(reason)
        self.resting = resting


@dataclass(frozen=True, slots=True)
class LeaseRequest:
    """A wish to refresh: `holder` is 128 random bits that name the caller; the same on a retry."""

    holder: str
    ttl: float
    cause: Cause

    def __repr__(self) -> str:
        return f"LeaseRequest(ttl={self.ttl!r}, cause={self.cause!r})"


@dataclass(frozen=True, slots=True)
class Lease:
    """The right of `holder` to refresh one key for `ttl` seconds, by the store's clock.

    `fence` is the version under which the result is committed; `started` is the caller's
    monotonic time before it asked; `failures` counts the consecutive ones of the whole fleet.
    """

    key: str
    holder: str
    fence: int
    ttl: float
    started: float
    failures: int

    def __repr__(self) -> str:
        return f"Lease(key={self.key!r}, fence={self.fence!r}, failures={self.failures!r})"


@dataclass(frozen=True, slots=True)
class Newer:
    """The store holds a version above the one known.

    `age` is the time since its fetch at the provider began, `ttl_left` until the store drops it.
    A store that can tell that the document is not to be trusted says why in `fault`.
    """

    version: int
    payload: bytes
    age: float
    ttl_left: float
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class Unchanged:
    """Nothing newer than what is known, and no lease was asked for."""


@dataclass(frozen=True, slots=True)
class Granted:
    """The caller may refresh, alone."""

    lease: Lease


@dataclass(frozen=True, slots=True)
class Busy:
    """Another worker is refreshing; its lease ends in `retry_after` seconds at the latest."""

    retry_after: float


@dataclass(frozen=True, slots=True)
class Cooling:
    """Nobody refreshes for `retry_after` seconds, for a reason.

    `budget`: enough unscheduled leases were granted; `failed`: the last refresh failed;
    `mismatch`: it failed because the provider names another issuer, which is an answer.
    """

    retry_after: float
    reason: Literal["budget", "failed", "mismatch"]


Answer = Newer | Unchanged | Granted | Busy | Cooling


class KeyStore(Protocol):
    """Four methods, each one atomic and bounded in time, that raise `StoreUnavailable` only.

    A version is an integer in (0, the store's time in µs + one day]; what else is stored counts
    as absent, and a `known` beyond it is ignored.
    """

    async def poll(self, key: str, *, known: int, lease: LeaseRequest | None) -> Answer:
        """Return the document if newer than `known`, else a lease, else why there is none.

        A stored version below `known` counts as absent. The holder of the live lease is granted
        it again, with the same fence, and it is renewed.
        """
        ...

    async def commit(
        self, lease: Lease, payload: bytes, *, ttl: float, window: float
    ) -> int | None:
        """Store up to 1 MiB for `ttl` seconds and end the lease; return its version.

        None if a newer version or another lease superseded it. From now on at most two
        unscheduled leases, for a cause other than age, are granted in any `window` seconds.
        """
        ...

    async def fail(self, lease: Lease, *, retry_after: float, mismatch: bool = False) -> None:
        """Turn the lease, if it is still live, into a cool-down for every cause."""
        ...

    async def aclose(self) -> None:
        """Close what the store opened; later calls reopen it or raise."""
        ...
