"""The stores that come with the library pass the suite that every store has to pass."""

import hashlib
import shutil
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from redis import Redis

from auth_jwks import FileKeyStore, KeyStore, MemoryKeyStore, RedisKeyStore
from auth_jwks._clock import SystemClock
from auth_jwks.stores._boot import boot
from auth_jwks.stores._directory import fcntl
from auth_jwks.stores.record import decode, encode
from auth_jwks.testing import KeyStoreContract, StoreRig
from tests.servers import ValkeyServer, running


class MemoryRig(StoreRig):
    """One store; its handles are itself, and its time is virtual."""

    def __init__(self) -> None:
        self._now = 1_000_000.0
        self._store = MemoryKeyStore(timer=lambda: self._now)

    def open(self) -> KeyStore:
        """Return the store."""
        return Shared(self._store)

    async def pass_time(self, seconds: float) -> None:
        """Move its clock."""
        self._now += seconds


class Shared(MemoryKeyStore):
    """A handle that can be closed alone."""

    def __init__(self, store: MemoryKeyStore) -> None:
        self.poll = store.poll  # type: ignore[method-assign]
        self.commit = store.commit  # type: ignore[method-assign]
        self.fail = store.fail  # type: ignore[method-assign]

    async def aclose(self) -> None:
        """Leave the store to the other handles."""


class ForwardClock(SystemClock):
    """The machine's clocks, put forward at will."""

    ahead = 0.0

    def monotonic(self) -> float:
        """Return seconds on a clock that never goes back."""
        return super().monotonic() + self.ahead

    def time(self) -> float:
        """Return seconds since the Unix epoch."""
        return super().time() + self.ahead


class RedisRig(StoreRig):
    """Stores over one Valkey, in which time passes by putting what is stored into the past."""

    # The server's own time passes as well, and calls are slow on a busy machine.
    short = 2.0

    def __init__(self, server: ValkeyServer, *, sealed: bool) -> None:
        self._server = server
        self._sealed = sealed
        self._admin = Redis.from_url(server.connection_url, decode_responses=True)
        self._clock = ForwardClock()

    def open(self) -> KeyStore:
        """Return another store with its own connections."""
        return RedisKeyStore(
            self._server.connection_url,
            integrity_key=b"k" * 32 if self._sealed else None,
            timeout=0.75,
            clock=self._clock,
        )

    async def pass_time(self, seconds: float) -> None:
        """Let every time stored be earlier, and every time to live shorter."""
        self._clock.ahead += seconds
        for name in self._admin.scan_iter("auth-jwks:*"):
            if name.endswith(":gate"):
                self._bring_forward(name, seconds)
            else:
                fields = ("fetched", "expires", "unscheduled1", "unscheduled2", "repaired")
                times = zip(fields, self._admin.hmget(name, *fields), strict=True)
                for field, time in times:
                    if int(time or 0):
                        self._admin.hincrby(name, field, -int(seconds * 1e6))

    def _bring_forward(self, name: str, seconds: float) -> None:
        value, left = self._admin.get(name), self._admin.pttl(name) - int(seconds * 1000)
        if value is None or left <= 0:
            self._admin.delete(name)
        else:
            letter, fence, granted, renewed, rest = str(value).split(":", 4)
            earlier = (str(int(time) - int(seconds * 1e6)) for time in (granted, renewed))
            self._admin.set(name, ":".join((letter, fence, *earlier, rest)), px=left)

    async def wipe(self) -> None:
        """Flush it."""
        self._admin.flushall()

    async def cut(self) -> None:
        """Stop the server."""
        self._server.stop()

    async def stall(self) -> None:
        """Let the server answer no more."""
        self._admin.client_pause(60_000)

    async def forge(self, key: str, version: int, payload: bytes) -> None:
        """Write what who has the password can write."""
        name = f"auth-jwks:2:{{{key}}}"
        self._admin.hset(name, "version", str(version))
        self._admin.hset(name, "payload", payload)
        self._admin.hset(name, "expires", str(version + 10**9))

    async def spoil(self, key: str, junk: bytes) -> None:
        """Put a string where the hash is."""
        self._admin.delete(f"auth-jwks:2:{{{key}}}:gate")
        self._admin.set(f"auth-jwks:2:{{{key}}}", junk)


class FileRig(StoreRig):
    """Stores over one directory, with virtual time."""

    def __init__(self, directory: Path, locks: ExitStack) -> None:
        self._directory = directory
        self._locks = locks
        self._now = 1_000_000.0

    def open(self) -> KeyStore:
        """Return another store with its own locks."""
        return FileKeyStore(self._directory, timer=lambda: self._now)

    async def pass_time(self, seconds: float) -> None:
        """Move the clock."""
        self._now += seconds

    async def wipe(self) -> None:
        """Remove all files."""
        for file in self._directory.iterdir():
            file.unlink()

    async def cut(self) -> None:
        """Remove the directory."""
        shutil.rmtree(self._directory)

    async def stall(self) -> None:
        """Lock the records, as a worker does that was stopped while it changed one."""
        for lock in self._directory.glob("*.lock"):
            fcntl.flock(self._locks.enter_context(lock.open()), fcntl.LOCK_EX)

    async def forge(self, key: str, version: int, payload: bytes) -> None:
        """Write what the user of the directory can write."""
        record = decode(self._file(key).read_bytes(), boot())
        forged = replace(record, version=version, payload=payload)
        self._file(key).write_bytes(encode(forged, boot()))

    async def spoil(self, key: str, junk: bytes) -> None:
        """Overwrite the record."""
        self._file(key).write_bytes(junk)

    def _file(self, key: str) -> Path:
        return self._directory / f"2-{hashlib.sha256(key.encode()).hexdigest()}"


class TestMemory(KeyStoreContract):
    """Nobody else can write to the memory of a process, or take it away."""

    impossible = frozenset({"cut", "forge", "spoil", "stall", "wipe"})

    @asynccontextmanager
    async def rig(self) -> AsyncIterator[StoreRig]:
        """Return a rig over one store."""
        yield MemoryRig()


@pytest.mark.full
class TestRedis(KeyStoreContract):
    """Everything can happen to Redis."""

    sealed = False

    @asynccontextmanager
    async def rig(self) -> AsyncIterator[StoreRig]:
        """Return a rig over a server of its own."""
        with running() as server:
            yield RedisRig(server, sealed=self.sealed)


class TestSealed(TestRedis):
    """With a seal it keeps the same contract."""

    sealed = True


@pytest.mark.posix
class TestFile(KeyStoreContract):
    """And to files."""

    @pytest.fixture(autouse=True)
    def _directory(self, tmp_path: Path) -> None:
        self.directory = tmp_path / "keys"

    @asynccontextmanager
    async def rig(self) -> AsyncIterator[StoreRig]:
        """Return a rig over a directory of its own."""
        with ExitStack() as locks:
            yield FileRig(self.directory, locks)
