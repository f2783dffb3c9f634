"""How the tests of the file store lease and store, and what they see in its directory."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from auth_jwks.stores.base import Cause, Granted, KeyStore, Lease, LeaseRequest

KEY = "key"
MIB = 1024 * 1024


class Timer:
    """The store's clock."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return its time."""
        return self.now


def wish(holder: str = "one", cause: Cause = "age", ttl: float = 3) -> LeaseRequest:
    """Return a wish for a lease, under that name."""
    return LeaseRequest(holder, ttl, cause)


async def granted(store: KeyStore, lease: LeaseRequest, known: int = 0) -> Lease:
    """Poll for a lease that must be granted."""
    answer = await store.poll(KEY, known=known, lease=lease)
    assert isinstance(answer, Granted)
    return answer.lease


async def stored(store: KeyStore, payload: bytes = b"keys") -> int:
    """Store a document; return its version."""
    version = await store.commit(await granted(store, wish("setup")), payload, ttl=1000, window=30)
    assert version is not None
    return version


def record_of(directory: Path) -> Path:
    """Return the file of the one record there."""
    (path,) = (path for path in directory.iterdir() if not path.suffix)
    return path


def suffixes(directory: Path) -> list[str]:
    """Return what kinds of files are there."""
    return sorted(path.suffix for path in directory.iterdir())


def calls(store: KeyStore, lease: Lease) -> list[Callable[[], Any]]:
    """Return each call of a store that needs its directory."""
    return [
        lambda: store.poll(KEY, known=0, lease=None),
        lambda: store.poll(KEY, known=0, lease=wish("two")),
        lambda: store.commit(lease, b"keys", ttl=1000, window=30),
        lambda: store.fail(lease, retry_after=1),
    ]
