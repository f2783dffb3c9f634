"""Redis as the store needs it: one script, two short timeouts, and short reasons for failures.

The only module that imports redis-py.
"""

import asyncio
import contextlib
import inspect
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from hashlib import sha1
from typing import Any, Protocol, runtime_checkable

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.client import NEVER_DECODE

from auth_jwks._causes import cause_of
from auth_jwks._clock import patience
from auth_jwks.stores._breaker import CallFailedError

__all__ = ["Client", "Driver"]

MAX_CONNECTIONS = 2
BACKSTOP = 10.0  # redis-py's own timeouts; each of our calls has a shorter one
# By default each new connection reads redis-py's metadata from disk and sends two more commands.
ANONYMOUS: dict[str, Any] = (
    {"driver_info": None}
    if "driver_info" in inspect.signature(AbstractConnection).parameters
    else {"lib_name": None, "lib_version": None}
)
# Names of exceptions, not classes: valkey-py has its own of the same names.
DENIED = {"AuthenticationError", "AuthorizationError", "NoPermissionError"}
# Of those that the clients have no class for, the code of the error reply.
UNWRITABLE = {
    "OutOfMemoryError": "out of memory",
    "ReadOnlyError": "a read-only replica",
    "MISCONF": "it can't persist",
    "NOREPLICAS": "too few replicas",
}
# Codes of error replies for which there is no class before redis-py 6.
CLUSTER_CODES = {
    "CLUSTERDOWN": "ClusterDownError",
    "MASTERDOWN": "MasterDownError",
    "TRYAGAIN": "TryAgainError",
}
# Raised inside the client if its connection is closed during a call: RuntimeError by uvloop,
# AttributeError where the stream is gone.
LOST = (RuntimeError, AttributeError)


class Client(Protocol):
    """The used part of redis-py's `Redis`; `RedisCluster` and clients of Sentinel have it too."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send one command and return the reply."""
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...


@runtime_checkable
class _Pooled(Protocol):
    connection_pool: Any


class _LoopLocal:
    """The client of one process and event loop.

    `warm` is how many concurrent calls find an open connection. A `dropped` client is closed after
    its last call.
    """

    __slots__ = ("calls", "client", "demoted", "dropped", "free", "idle", "warm")

    def __init__(self, client: Client, free: asyncio.Semaphore) -> None:
        self.client = client
        self.free = free
        self.calls = self.warm = 0
        self.demoted = self.dropped = False
        self.idle: asyncio.TimerHandle | None = None


class Driver:
    """Runs one script at the server of a URL, or with the user's client, which stays open.

    For a URL, each process and event loop has connections of its own: two at most, closed after
    `idle` seconds without a call. A call may take `timeout` seconds, or `connect_timeout` if it
    has to connect.
    """

    def __init__(
        self,
        redis: str | Client,
        script: str,
        *,
        timeout: float,
        connect_timeout: float,
        idle: float = 5.0,
    ) -> None:
        self._redis = redis
        self._script = script
        self._sha = sha1(script.encode(), usedforsecurity=False).hexdigest()
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._idle = idle
        self._locals: dict[tuple[int, asyncio.AbstractEventLoop], _LoopLocal] = {}
        self._closing: set[asyncio.Task[None]] = set()
        if isinstance(redis, str):
            # redis-py checks the options in a URL only when it makes a connection.
            pool = self._pool(redis)
            pool.connection_class(**pool.connection_kwargs)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[Callable[..., Awaitable[list[Any]]]]:
        """Wait for a free connection, and yield a function that runs the script over it.

        The wait is for other calls of this process, so it says nothing about the server.
        """
        local = self._local()
        local.calls += 1
        try:
            async with local.free:
                yield partial(self._run, local)
        finally:
            local.calls -= 1
            self._close_when_unused(local)

    async def command(self, *words: str | bytes | int) -> Any:
        """Return the reply to one command, for those who look into a store.

        Raises `CallFailedError`.
        """
        local = self._local()
        local.calls += 1
        options: dict[str, Any] = {NEVER_DECODE: True}
        try:
            async with local.free, patience(self._connect_timeout):
                return await local.client.execute_command(*words, **options)
        except Exception as fault:  # noqa: BLE001 - redis-py raises many kinds, undocumented
            raise _as_call_failure(fault) from None
        finally:
            local.calls -= 1
            self._close_when_unused(local)

    async def aclose(self) -> None:
        """Close the connections of this process and event loop."""
        local = self._locals.get(_process_and_loop())
        if local is not None:
            self._drop(local)
            self._close_when_unused(local)
        # Tasks of another loop, or of the parent before a fork, may never end.
        loop = asyncio.get_running_loop()
        closing = {task for task in tuple(self._closing) if task.get_loop() is loop}
        if closing:
            await asyncio.wait(closing)

    async def _run(self, local: _LoopLocal, *words: str | bytes) -> list[Any]:
        """Return the script's reply to two keys and its arguments, or raise `CallFailedError`."""
        calls = min(local.calls, MAX_CONNECTIONS)
        limit = self._timeout if calls <= local.warm else self._connect_timeout
        try:
            async with patience(limit):
                reply = await self._evaluated(local.client, *words)
        except asyncio.CancelledError:
            # redis-py closes the connection of a cancelled call.
            local.warm = max(0, local.warm - 1)
            raise
        except Exception as fault:  # noqa: BLE001 - a client handed in may raise anything
            kinds = _kinds(fault)
            local.demoted = local.demoted or "ReadOnlyError" in kinds
            if local.demoted or "ResponseError" not in kinds:
                self._drop(local)
            raise _as_call_failure(fault) from None
        local.warm = max(local.warm, calls)
        if not isinstance(reply, list):
            raise CallFailedError("unexpected reply", "broken")
        return reply

    async def _evaluated(self, client: Client, *words: str | bytes) -> Any:
        options: dict[str, Any] = {NEVER_DECODE: True}
        try:
            return await client.execute_command("EVALSHA", self._sha, 2, *words, **options)
        except Exception as fault:
            if "NoScriptError" not in _kinds(fault):
                raise
        # A new or restarted server does not know the script yet. EVAL loads it.
        options = {NEVER_DECODE: True}
        return await client.execute_command("EVAL", self._script, 2, *words, **options)

    def _local(self) -> _LoopLocal:
        place = _process_and_loop()
        local = self._locals.get(place)
        if local is None:
            local = _LoopLocal(self._client(), asyncio.Semaphore(MAX_CONNECTIONS))
            # A parent process's clients stay untouched here: closing them would disturb the
            # parent's event loop. The connections of a closed loop are closed with it. The dict is
            # replaced, not changed: a loop in another thread may be reading it.
            living = {
                (pid, loop): other for (pid, loop), other in self._locals.items()
                if pid != place[0] or not loop.is_closed()
            }  # fmt: skip
            self._locals = {**living, place: local}
        return local

    def _client(self) -> Client:
        if not isinstance(self._redis, str):
            return self._redis
        return Redis.from_pool(self._pool(self._redis))

    def _pool(self, url: str) -> BlockingConnectionPool:
        return BlockingConnectionPool.from_url(
            url,
            max_connections=MAX_CONNECTIONS,
            timeout=None,
            socket_timeout=BACKSTOP,
            socket_connect_timeout=BACKSTOP,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            **ANONYMOUS,
        )

    def _drop(self, local: _LoopLocal) -> None:
        """Make the next call use a new client."""
        local.dropped = True
        self._locals = {place: other for place, other in self._locals.items() if other is not local}

    def _close_when_unused(self, local: _LoopLocal) -> None:
        """After the last call, close a dropped client at once and any other when it has idled."""
        if local.idle is not None:
            local.idle.cancel()
        loop = asyncio.get_running_loop()
        if local.calls:
            return
        if not local.dropped:
            local.idle = loop.call_later(self._idle, self._expire, local)
            return
        task = loop.create_task(self._close(local))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _expire(self, local: _LoopLocal) -> None:
        self._drop(local)
        self._close_when_unused(local)

    async def _close(self, local: _LoopLocal) -> None:
        # Closing a broken client may fail. Either way, it is not used again.
        with contextlib.suppress(Exception):
            if local.client is not self._redis:
                await local.client.aclose()
            elif local.demoted and isinstance(local.client, _Pooled):
                # The user's own client stays open, but not connected to a demoted server.
                await local.client.connection_pool.disconnect(inuse_connections=False)


def _process_and_loop() -> tuple[int, asyncio.AbstractEventLoop]:
    return os.getpid(), asyncio.get_running_loop()


def _kinds(fault: Exception) -> set[str]:
    """Return the names of the classes of a fault."""
    return {kind.__name__ for kind in type(fault).__mro__}


def _as_call_failure(fault: Exception) -> CallFailedError:
    kinds, name = _kinds(fault), type(fault).__name__
    if "TimeoutError" in kinds:
        return CallFailedError("timed out", "slow")
    if kinds & DENIED:
        return CallFailedError(f"access denied ({name})", "denied")
    # The first word of an error reply is its code (RESP). The clients map only some codes.
    code = str(fault).partition(" ")[0] if name == "ResponseError" else ""
    for met in UNWRITABLE.keys() & {*kinds, code}:
        return CallFailedError(f"refuses writes: {UNWRITABLE[met]} ({met})", "unwritable")
    return CallFailedError(cause_of(fault) or _reason(fault, code), "broken")


def _reason(fault: Exception, code: str) -> str:
    name = type(fault).__name__
    # The server has no code of its own for it, and says this to nothing else that we send.
    if name == "ResponseError" and "DB index" in str(fault):
        return "wrong database: there is none of that number"
    if type(fault) in LOST or isinstance(fault, (OSError, EOFError)):
        return "connection lost"
    return CLUSTER_CODES.get(code, name)
