"""Redis as the store needs it: one script, two short timeouts, a word about what failed.

The only module that imports redis-py.
"""

import asyncio
import contextlib
import inspect
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import sha1
from typing import Any, Protocol

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.client import NEVER_DECODE
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)
from redis.exceptions import TimeoutError as RedisTimeoutError

from auth_jwks._clock import patience
from auth_jwks.stores._breaker import CallFailedError

__all__ = ["Client", "Driver"]

MAX_CONNECTIONS = 2
BACKSTOP = 10.0  # for what redis-py does by itself; a call has a shorter limit of ours
# Else each new connection reads redis-py's metadata from the disk, and sends two more commands.
ANONYMOUS: dict[str, Any] = (
    {"driver_info": None}
    if "driver_info" in inspect.signature(AbstractConnection).parameters
    else {"lib_name": None, "lib_version": None}
)
UNWRITABLE_CODES = {"MISCONF", "NOREPLICAS"}


class Client(Protocol):
    """What is used of redis-py's `Redis`, also from `Sentinel.master_for`, and `RedisCluster`."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send one command and return the reply."""
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...


@dataclass(eq=False, slots=True)
class _Line:
    """The client of one process and event loop.

    `warm`: how many calls at once find a connection; `dropped`: closed after its last call.
    """

    client: Client
    free: asyncio.Semaphore
    calls: int = 0
    warm: int = 0
    demoted: bool = False
    dropped: bool = False
    idle: asyncio.TimerHandle | None = None


class Driver:
    """Runs one script where a URL points, or with a client of the user's, which stays open.

    Own connections belong to one process and event loop, are two at most, and close after
    `idle` seconds without a call. A call has `timeout` seconds, or `connect_timeout` to connect.
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
        self._lines: dict[tuple[int, asyncio.AbstractEventLoop], _Line] = {}
        self._closing: set[asyncio.Task[None]] = set()
        if isinstance(redis, str):
            # redis-py looks at the options in a URL no sooner than it makes a connection.
            pool = self._pool(redis)
            pool.connection_class(**pool.connection_kwargs)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[Callable[..., Awaitable[list[Any]]]]:
        """Wait for a free connection, and return what runs the script over it.

        The wait is for other calls of this process, so it says nothing of the server.
        """
        line = self._line()
        line.calls += 1
        try:
            async with line.free:
                yield partial(self._run, line)
        finally:
            line.calls -= 1
            self._settle(line)

    async def aclose(self) -> None:
        """Close the connections of this process and event loop."""
        line = self._lines.get(_place())
        if line is not None:
            self._drop(line)
            self._settle(line)
        # Those of another loop, or of the process before a fork, may never end.
        loop = asyncio.get_running_loop()
        closing = {task for task in tuple(self._closing) if task.get_loop() is loop}
        if closing:
            await asyncio.wait(closing)

    async def _run(self, line: _Line, *words: str | bytes) -> list[Any]:
        """Return the script's reply to two keys and its arguments, or raise `CallFailedError`."""
        calls = min(line.calls, MAX_CONNECTIONS)
        limit = self._timeout if calls <= line.warm else self._connect_timeout
        try:
            async with patience(limit):
                reply = await self._evaluated(line.client, *words)
        except asyncio.CancelledError:
            # redis-py closes the connection of a call that is given up.
            line.warm = max(0, line.warm - 1)
            raise
        except Exception as fault:  # noqa: BLE001 - a client handed in may raise anything
            line.demoted = line.demoted or isinstance(fault, ReadOnlyError)
            if line.demoted or not isinstance(fault, ResponseError):
                self._drop(line)
            raise _known(fault) from None
        line.warm = max(line.warm, calls)
        if not isinstance(reply, list):
            raise CallFailedError("unexpected reply", "broken")
        return reply

    async def _evaluated(self, client: Client, *words: str | bytes) -> Any:
        options: dict[str, Any] = {NEVER_DECODE: True}
        try:
            return await client.execute_command("EVALSHA", self._sha, 2, *words, **options)
        except NoScriptError:
            # A server that is new, or was restarted, learns the script by its first use.
            options = {NEVER_DECODE: True}
            return await client.execute_command("EVAL", self._script, 2, *words, **options)

    def _line(self) -> _Line:
        place = _place()
        line = self._lines.get(place)
        if line is None:
            line = _Line(self._client(), asyncio.Semaphore(MAX_CONNECTIONS))
            # What a parent process left stays untouched here: to close it would disturb the
            # parent's event loop. A loop that was closed has taken its connections with it.
            # Replaced, not changed: a loop in another thread may be reading.
            living = {
                (pid, loop): other for (pid, loop), other in self._lines.items()
                if pid != place[0] or not loop.is_closed()
            }  # fmt: skip
            self._lines = {**living, place: line}
        return line

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

    def _drop(self, line: _Line) -> None:
        """Let the next call connect anew."""
        line.dropped = True
        self._lines = {place: other for place, other in self._lines.items() if other is not line}

    def _settle(self, line: _Line) -> None:
        """After a call: close a dropped line with its last one, any other when it has idled."""
        if line.idle is not None:
            line.idle.cancel()
        loop = asyncio.get_running_loop()
        if line.calls:
            return
        if not line.dropped:
            line.idle = loop.call_later(self._idle, self._expire, line)
            return
        task = loop.create_task(self._close(line))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _expire(self, line: _Line) -> None:
        self._drop(line)
        self._settle(line)

    async def _close(self, line: _Line) -> None:
        # Closing what is broken may fail; whatever came of it, it is not used again.
        with contextlib.suppress(Exception):
            if line.client is not self._redis:
                await line.client.aclose()
            elif line.demoted and isinstance(line.client, Redis):
                # The user's own stays open, but not connected to a server that was demoted.
                await line.client.connection_pool.disconnect(inuse_connections=False)


def _place() -> tuple[int, asyncio.AbstractEventLoop]:
    return os.getpid(), asyncio.get_running_loop()


def _known(fault: Exception) -> CallFailedError:
    if isinstance(fault, (TimeoutError, RedisTimeoutError)):
        return CallFailedError("timed out", "slow")
    name = type(fault).__name__
    if isinstance(fault, (AuthenticationError, AuthorizationError, NoPermissionError)):
        return CallFailedError(f"access denied ({name})", "denied")
    # The first word of an error reply is its code (RESP), which redis-py maps in part only.
    code = str(fault).partition(" ")[0] if type(fault) is ResponseError else ""
    if isinstance(fault, (OutOfMemoryError, ReadOnlyError)) or code in UNWRITABLE_CODES:
        return CallFailedError(f"refuses writes ({code or name})", "unwritable")
    return CallFailedError(name, "broken")
