"""`FileKeyStore`: the workers of one host share one fetch, through a directory and no server."""

import asyncio
import errno
import hashlib
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Self

from auth_jwks._settings import checked_number
from auth_jwks.stores._boot import boot, since_boot
from auth_jwks.stores._directory import Descriptor, Directory, prepared
from auth_jwks.stores.base import (
    MAX_CALL,
    MAX_PAYLOAD,
    Answer,
    Busy,
    Granted,
    Lease,
    LeaseRequest,
    StoreUnavailable,
)
from auth_jwks.stores.gate import Record, committed, failed, microseconds, orphaned, polled
from auth_jwks.stores.record import FORMAT, MAX_RECORD, decode, encode

__all__ = ["FileKeyStore"]

PAUSE = 0.005


class FileKeyStore:
    """Key sets in the files of a local directory that nobody else can write to.

    The files are short and stay in the page cache, so they are read and written without leaving
    the event loop: no cancellation falls between a lock and its release. `timeout` bounds the
    wait for the lock, in real seconds; reading needs none. `timer` is the store's clock: seconds
    since the boot, the same for all who share the directory, as the containers of one host do
    unless a time namespace shifts it. A reboot starts with no keys.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        timeout: float = 0.25,
        timer: Callable[[], float] = since_boot,
    ) -> None:
        self._path = prepared(directory)
        self._timeout = checked_number("timeout", timeout, above=0, most=MAX_CALL)
        self._timer = timer
        self._boot = boot()
        self._held: dict[str, tuple[Lease, Descriptor]] = {}

    async def poll(self, key: str, *, known: int, lease: LeaseRequest | None) -> Answer:
        """Return the document if newer than `known`, else a lease, else why there is none."""
        started = self._timer()
        rule = partial(polled, key=key, known=known, lease=lease, started=started)
        # Without the lock: files are replaced as a whole, and most polls change nothing.
        with self._opened() as directory:
            record = self._load(directory, key)
        after, answer = rule(record, microseconds(started))
        if lease is None or (after is record and not isinstance(answer, Busy)):
            return answer
        async with self._alone(key) as directory:
            record, now = self._load(directory, key), microseconds(self._timer())
            after, answer = rule(record, now)
            if isinstance(answer, Busy) and directory.is_abandoned(_holder(key)):
                after, answer = rule(orphaned(record), now)
            if isinstance(answer, Granted):
                self._hold(directory, answer.lease)
            self._save(directory, key, record, after)
        return answer

    async def commit(
        self, lease: Lease, payload: bytes, *, ttl: float, window: float
    ) -> int | None:
        """Store the document unless superseded; return its version or None."""
        if len(payload) > MAX_PAYLOAD:
            raise StoreUnavailable("payload above 1 MiB")
        async with self._alone(lease.key) as directory:
            record, now = self._load(directory, lease.key), self._timer()
            after, version = committed(
                record, microseconds(now), lease, payload,
                took=now - lease.started, ttl=ttl, window=window,
            )  # fmt: skip
            self._save(directory, lease.key, record, after)
            self._release(lease)
        return version

    async def fail(self, lease: Lease, *, retry_after: float, mismatch: bool = False) -> None:
        """Turn the lease, if it is still live, into a cool-down."""
        async with self._alone(lease.key) as directory:
            record, now = self._load(directory, lease.key), microseconds(self._timer())
            after = failed(record, now, lease, retry_after, mismatch=mismatch)
            self._save(directory, lease.key, record, after)
            self._release(lease)

    async def aclose(self) -> None:
        """Give back the leases held here, so that others need not wait for their end."""
        while self._held:
            _, (_, lock) = self._held.popitem()
            lock.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"FileKeyStore({str(self._path)!r}, leases={len(self._held)})"

    @contextmanager
    def _opened(self) -> Iterator[Directory]:
        # Anew for each call: an idle store holds nothing, and its locks exclude other threads.
        try:
            with Directory(self._path) as directory:
                if directory.unsafe() is not None:
                    raise StoreUnavailable("unsafe directory")
                yield directory
        except OSError as fault:
            reason = errno.errorcode.get(fault.errno or 0, type(fault).__name__)
            raise StoreUnavailable(reason.lower()) from fault

    @asynccontextmanager
    async def _alone(self, key: str) -> AsyncIterator[Directory]:
        """Lock the record; what is done under the lock awaits nothing."""
        deadline = time.monotonic() + self._timeout
        while True:
            with self._opened() as directory:
                if directory.lock(f"{_name(key)}.lock"):
                    yield directory
                    return
            if time.monotonic() >= deadline:
                raise StoreUnavailable("locked")
            await asyncio.sleep(PAUSE)

    def _load(self, directory: Directory, key: str) -> Record:
        return decode(directory.read(_name(key), MAX_RECORD), self._boot)

    def _save(self, directory: Directory, key: str, before: Record, after: Record) -> None:
        if after is not before:
            directory.write(_name(key), encode(after, self._boot))

    def _hold(self, directory: Directory, lease: Lease) -> None:
        """Lock what tells the others that we live. The lease lapses in time if we stall."""
        ours, lock = self._held.get(lease.key, (None, None))
        # A fence of its own is another lease, and others may have claimed the file since. The
        # lock is closed without our doing after a fork.
        if ours is None or lock is None or ours.fence != lease.fence or lock.number < 0:
            self._held[lease.key] = lease, directory.claim(_holder(lease.key))
            if lock is not None:
                lock.close()

    def _release(self, lease: Lease) -> None:
        ours, lock = self._held.get(lease.key, (None, None))
        if ours is not None and lock is not None and ours.holder == lease.holder:
            del self._held[lease.key]
            lock.close()


def _name(key: str) -> str:
    # With the format: workers that read another one don't overwrite each other's records.
    digest = hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()
    return f"{FORMAT}-{digest}"


def _holder(key: str) -> str:
    return f"{_name(key)}.held"
