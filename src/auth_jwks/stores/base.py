"""What the verifier asks of a store: the gate through which a fleet shares one key set.

A store keeps, per key, one opaque document with a version, and a gate: a lease for the one
worker that may refresh it, or a cool-down. Workers wait for data, they never queue for a lock.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

__all__ = [
    "LEASE",
    "LONGEST_CALL",
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
LONGEST_CALL = LEASE / 4

Cause = Literal["age", "unknown_kid", "forced", "repair"]


class StoreUnavailable(Exception):  # noqa: N818 - a state of the store, and the contract's word for it
    """The store can't answer now; its argument says why, in a word or two without secrets."""


@dataclass(frozen=True, slots=True)
class LeaseRequest:
    """A wish to refresh: `token` is 128 random bits of the caller's, reused when it asks again."""

    token: str
    ttl: float
    cause: Cause

    def __repr__(self) -> str:
        return f"LeaseRequest(ttl={self.ttl!r}, cause={self.cause!r})"


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to refresh one key for `ttl` seconds, which lapses by the store's clock.

    `fence` is the version under which the result is committed; `started` is the caller's
    monotonic time before it asked; `failures` counts the consecutive ones of the whole fleet.
    """

    key: str
    token: str
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
    """Nobody refreshes for `retry_after` seconds: the last one `failed`, or enough were made.

    `mismatch`: it failed because the provider names another issuer, which is an answer.
    """

    retry_after: float
    failed: bool
    mismatch: bool = False


Answer = Newer | Unchanged | Granted | Busy | Cooling


class KeyStore(Protocol):
    """Four methods, each one atomic and bounded in time, that raise `StoreUnavailable` only.

    A version is an integer in (0, the store's time in µs + one day]; what else is stored counts
    as absent, and a `known` beyond it is ignored.
    """

    async def poll(self, key: str, *, known: int, lease: LeaseRequest | None) -> Answer:
        """Return the document if newer than `known`, else a lease, else why there is none.

        A stored version below `known` counts as absent. The token of the live lease is granted
        again, with the same fence, and renewed.
        """
        ...

    async def commit(
        self, lease: Lease, payload: bytes, *, ttl: float, cooldown: float
    ) -> int | None:
        """Store up to 1 MiB for `ttl` seconds and end the lease; return its version.

        None if a newer version or another lease superseded it. In any `cooldown` seconds from
        now on at most two leases are granted for a cause other than age.
        """
        ...

    async def fail(self, lease: Lease, *, retry_after: float, mismatch: bool = False) -> None:
        """Turn the lease, if it is still live, into a cool-down for every cause."""
        ...

    async def aclose(self) -> None:
        """Give up what the store opened; later calls reopen it or raise."""
        ...
