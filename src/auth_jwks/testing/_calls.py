"""Calls that the suite makes to a store, with checks of the answers."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from auth_jwks.stores.base import (
    Answer,
    Cause,
    Granted,
    KeyStore,
    Lease,
    LeaseRequest,
    Newer,
)
from auth_jwks.testing.rig import StoreRig

__all__ = [
    "CAUSES",
    "KEY",
    "LONG",
    "SEARCHES",
    "cancelled",
    "close",
    "expect",
    "granted",
    "granted_soon",
    "newer",
    "requested",
    "stored",
]

KEY = "v1:0123456789abcdef"
LONG = 60.0
MAX_POLLS = 200
CAUSES: tuple[Cause, ...] = ("age", "unknown_kid", "forced", "repair")
SEARCHES: tuple[Cause, ...] = ("unknown_kid", "forced")

A = TypeVar("A", bound=Answer)


def requested(holder: str, *, ttl: float = LONG, cause: Cause = "age") -> LeaseRequest:
    """Return a request for a lease."""
    return LeaseRequest(holder, ttl, cause)


def expect(kind: type[A], answer: Answer) -> A:
    """Return the answer, which must be of that kind."""
    assert isinstance(answer, kind), f"expected {kind.__name__}, got {answer!r}"
    return answer


async def granted(
    store: KeyStore,
    name: str = "a",
    *,
    key: str = KEY,
    known: int = 0,
    ttl: float = LONG,
    cause: Cause = "age",
) -> Lease:
    """Request a lease under that name, which must be granted as requested."""
    request = requested(name, ttl=ttl, cause=cause)
    lease = expect(Granted, await store.poll(key, known=known, lease=request)).lease
    assert (lease.key, lease.holder, lease.ttl) == (key, name, ttl)
    return lease


async def granted_soon(
    rig: StoreRig, store: KeyStore, name: str, *, key: str = KEY, known: int = 0
) -> Lease:
    """Poll until a lease is granted, which must not take long."""
    answer: Answer | None = None
    for _ in range(MAX_POLLS):
        answer = await store.poll(key, known=known, lease=requested(name))
        if isinstance(answer, Granted):
            return answer.lease
        await rig.pass_time(rig.short / 10)
    raise AssertionError(f"no lease was granted in time; the last answer was {answer!r}")


async def newer(
    store: KeyStore, *, key: str = KEY, known: int = 0, lease: LeaseRequest | None = None
) -> Newer:
    """Poll for a document, which must be there."""
    return expect(Newer, await store.poll(key, known=known, lease=lease))


async def stored(
    store: KeyStore,
    payload: bytes = b"document",
    *,
    key: str = KEY,
    known: int = 0,
    cause: Cause = "age",
    ttl: float = LONG,
    window: float = LONG,
) -> int:
    """Store a document under a lease, and return its version."""
    lease = await granted(store, f"{known}", key=key, known=known, cause=cause)
    version = await store.commit(lease, payload, ttl=ttl, window=window)
    assert version == lease.fence, f"expected version {lease.fence}, got {version!r}"
    return lease.fence


async def cancelled(call: Coroutine[Any, Any, object], turns: int) -> None:
    """Begin a call, and cancel it after that many turns of the event loop."""
    task = asyncio.ensure_future(call)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait((task,))


async def close(*stores: KeyStore) -> None:
    """Close the stores."""
    for store in stores:
        await store.aclose()
