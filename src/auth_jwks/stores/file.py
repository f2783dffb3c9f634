"""`FileKeyStore`: the workers of one host share one fetch through a directory, without a server."""

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

LOCK_RETRY = 0.005


class FileKeyStore:
    """Key sets in the files of a local directory that nobody else can write to.

    The files are short and stay in the page cache, so they are read and written on the event
    loop: no cancellation falls between a lock and its release. `timeout` bounds the wait for the
    lock, in real seconds; reading needs no lock. `timer` is the store's clock: seconds since the
    boot. All processes that share the directory must agree on it. Containers of one host do,
    unless a time namespace shifts their clocks. After a reboot there are no keys.
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
        self._leases: dict[str, tuple[Lease, Descriptor]] = {}

    async def poll(self, key: str, *, known: int, lease: LeaseRequest | None) -> Answer:
        """Return the document if newer than `known`, else a lease, else why there is none."""
        started = self._timer()
        rule = partial(polled, key=key, known=known, lease=lease, started=started)
        # No lock is taken: files are replaced atomically, and most polls change nothing.
        with self._opened() as directory:
            record = self._load(directory, key)
        after, answer = rule(record, microseconds(started))
        if lease is None or (after is record and not isinstance(answer, Busy)):
            return answer
        async with self._locked(key) as directory:
            record, now = self._load(directory, key), microseconds(self._timer())
            after, answer = rule(record, now)
            if isinstance(answer, Busy) and directory.is_abandoned(_holder_file(key)):
                after, answer = rule(orphaned(record), now)
            if isinstance(answer, Granted):
                self._keep_lease(directory, answer.lease)
            self._save(directory, key, record, after)
        return answer

    async def commit(
        self, lease: Lease, payload: bytes, *, ttl: float, window: float
    ) -> int | None:
        """Store the document and return its version, or None if the lease was superseded."""
        if len(payload) > MAX_PAYLOAD:
            raise StoreUnavailable("payload above 1 MiB")
        async with self._locked(lease.key) as directory:
            record, now = self._load(directory, lease.key), self._timer()
            after, version = committed(
                record, microseconds(now), lease, payload,
                took=now - lease.started, ttl=ttl, window=window,
            )  # fmt: skip
            self._save(directory, lease.key, record, after)
            self._release_lease(lease)
        return version

    async def fail(self, lease: Lease, *, retry_after: float, mismatch: bool = False) -> None:
        """Turn the lease into a cool-down, if it is still live."""
        async with self._locked(lease.key) as directory:
            record, now = self._load(directory, lease.key), microseconds(self._timer())
            after = failed(record, now, lease, retry_after, mismatch=mismatch)
            self._save(directory, lease.key, record, after)
            self._release_lease(lease)

    @property
    def name(self) -> str:
        """The path of the directory."""
        return str(self._path)

    async def aclose(self) -> None:
        """Release the leases of this store, so that other workers need not wait for their end."""
        while self._leases:
            _, (_, lock) = self._leases.popitem()
            lock.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"FileKeyStore({str(self._path)!r}, leases={len(self._leases)})"

    @contextmanager
    def _opened(self) -> Iterator[Directory]:
        # Opened for each call: an idle store holds no descriptor, and locks exclude other threads.
        try:
            with Directory(self._path) as directory:
                if directory.unsafe() is not None:
                    raise StoreUnavailable("unsafe directory")
                yield directory
        except OSError as fault:
            reason = errno.errorcode.get(fault.errno or 0, type(fault).__name__)
            words = os.strerror(fault.errno or 0).lower()
            raise StoreUnavailable(f"{words} ({reason.lower()})") from fault

    @asynccontextmanager
    async def _locked(self, key: str) -> AsyncIterator[Directory]:
        """Lock the record. The code under the lock must not await."""
        deadline = time.monotonic() + self._timeout
        while True:
            with self._opened() as directory:
                if directory.lock(f"{_file_name(key)}.lock"):
                    yield directory
                    return
            if time.monotonic() >= deadline:
                raise StoreUnavailable("locked")
            await asyncio.sleep(LOCK_RETRY)

    def _load(self, directory: Directory, key: str) -> Record:
        return decode(directory.read(_file_name(key), MAX_RECORD), self._boot)

    def _save(self, directory: Directory, key: str, before: Record, after: Record) -> None:
        if after is not before:
            directory.write(_file_name(key), encode(after, self._boot))

    def _keep_lease(self, directory: Directory, lease: Lease) -> None:
        """Lock the file by which others see that we live. If we stall, the lease still expires."""
        ours, lock = self._leases.get(lease.key, (None, None))
        # Another fence means another lease, and others may have claimed the file since. After a
        # fork the child's copy of the lock has been closed.
        if ours is None or lock is None or not _same(ours, lease) or lock.number < 0:
            self._leases[lease.key] = lease, directory.claim(_holder_file(lease.key))
            if lock is not None:
                lock.close()

    def _release_lease(self, lease: Lease) -> None:
        ours, lock = self._leases.get(lease.key, (None, None))
        # A lease that overtook or followed this one keeps its lock.
        if ours is not None and lock is not None and _same(ours, lease):
            del self._leases[lease.key]
            lock.close()


def _same(one: Lease, other: Lease) -> bool:
    return (one.holder, one.fence) == (other.holder, other.fence)


def _file_name(key: str) -> str:
    # The format is part of the name: workers with different formats don't overwrite each other.
    digest = hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()
    return f"{FORMAT}-{digest}"


def _holder_file(key: str) -> str:
    return f"{_file_name(key)}.held"
