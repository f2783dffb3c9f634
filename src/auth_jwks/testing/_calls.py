"""The questions that the suite puts to a store, and what it makes of the answers."""

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
    "cancelled",
    "close",
    "granted",
    "granted_soon",
    "newer",
    "only",
    "stored",
    "wish",
]

KEY = "v1:0123456789abcdef"
LONG = 60.0
PATIENCE = 200
CAUSES: tuple[Cause, ...] = ("age", "unknown_kid", "forced", "repair")

A = TypeVar("A", bound=Answer)


def wish(holder: str, *, ttl: float = LONG, cause: Cause = "age") -> LeaseRequest:
    """Return a request for a lease."""
    return LeaseRequest(holder, ttl, cause)


def only(kind: type[A], answer: Answer) -> A:
    """Return an answer that must be of one kind."""
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
    """Ask for a lease under that name, which must be granted as asked for."""
    request = wish(name, ttl=ttl, cause=cause)
    lease = only(Granted, await store.poll(key, known=known, lease=request)).lease
    assert (lease.key, lease.holder, lease.ttl) == (key, name, ttl)
    return lease


async def granted_soon(rig: StoreRig, store: KeyStore, name: str, *, key: str = KEY) -> Lease:
    """Ask until a lease is granted, which must not take long."""
    answer: Answer | None = None
    for _ in range(PATIENCE):
        answer = await store.poll(key, known=0, lease=wish(name))
        if isinstance(answer, Granted):
            return answer.lease
        await rig.pass_time(rig.short / 10)
    raise AssertionError(f"no lease was granted in time, but {answer!r}")


async def newer(
    store: KeyStore, *, key: str = KEY, known: int = 0, lease: LeaseRequest | None = None
) -> Newer:
    """Ask for a document, which must be there."""
    return only(Newer, await store.poll(key, known=known, lease=lease))


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
    """Begin a call, and cancel it after so many turns of the event loop."""
    task = asyncio.ensure_future(call)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait((task,))


async def close(*stores: KeyStore) -> None:
    """Close the handles."""
    for store in stores:
        await store.aclose()
