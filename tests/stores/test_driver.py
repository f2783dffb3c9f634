"""The driver of Redis: connections, timeouts, and what becomes of them."""

import asyncio
import gc
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from valkey.asyncio import Valkey as AsyncValkey

from auth_jwks.stores._breaker import CallFailedError
from auth_jwks.stores._driver import Client, Driver
from tests.servers import ValkeyServer

ECHO = "return {'echo', ARGV[1]}"


@asynccontextmanager
async def driving(
    redis: str | Client, *, script: str = ECHO, patience: float = 0.5, idle: float = 5.0
) -> AsyncIterator[Driver]:
    """Make a driver, and close it."""
    driver = Driver(redis, script, timeout=patience, connect_timeout=1.0, idle=idle)
    try:
        yield driver
    finally:
        await driver.aclose()


def connections(valkey: ValkeyServer) -> int:
    """Return how many connections the server has, but for the one that asks."""
    with Redis.from_url(valkey.connection_url) as admin:
        return len(admin.client_list()) - 1


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came about"
        await asyncio.sleep(0.01)


async def ran(driver: Driver, *words: str) -> list[object]:
    """Run the script with two keys and these arguments."""
    async with driver.turn() as run:
        return await run("a", "b", *words)


async def echoed(driver: Driver, word: str = "hello") -> bool:
    """Run the script, and tell whether it did its work."""
    return await ran(driver, word) == [b"echo", word.encode()]


async def reason(call: Awaitable[object]) -> tuple[str, str]:
    """Return what kind of failure a call is, and its reason."""
    with pytest.raises(CallFailedError) as caught:
        await call
    assert caught.value.__cause__ is None
    return caught.value.kind, caught.value.reason


async def test_a_server_learns_the_script_by_its_use(valkey: ValkeyServer) -> None:
    """At first, and again after it lost its scripts."""
    async with driving(valkey.connection_url) as driver:
        assert await echoed(driver)
        with Redis.from_url(valkey.connection_url) as admin:
            admin.script_flush()
            assert await echoed(driver)
            calls = admin.info("commandstats")
            assert await echoed(driver)
            again = admin.info("commandstats")
    assert calls["cmdstat_eval"]["calls"] == again["cmdstat_eval"]["calls"] == 2


async def test_a_worker_has_two_connections_at_most(valkey: ValkeyServer) -> None:
    """However many calls there are at a time; those that wait for one don't use their time up."""
    async with driving(valkey.connection_url, patience=0.25) as driver:
        assert all(await asyncio.gather(*(echoed(driver, str(n)) for n in range(1000))))
        assert connections(valkey) == 2
    await until(lambda: connections(valkey) == 0)


async def test_an_idle_driver_has_no_connection(valkey: ValkeyServer) -> None:
    """It closes after a while, and opens again for the next call."""
    async with driving(valkey.connection_url, idle=0.02) as driver:
        for _ in range(2):
            assert await echoed(driver)
            await until(lambda: connections(valkey) == 0)


async def test_a_call_puts_off_the_close(valkey: ValkeyServer) -> None:
    """The connection serves as long as it is in use."""
    async with driving(valkey.connection_url, idle=0.5) as driver:
        for _ in range(20):
            assert await echoed(driver)
        with Redis.from_url(valkey.connection_url) as admin:
            opened = admin.info("stats")["total_connections_received"]
            assert await echoed(driver)
            assert admin.info("stats")["total_connections_received"] == opened


async def test_a_frozen_server_costs_one_timeout(valkey: ValkeyServer) -> None:
    """A call that is under way has the short one; afterwards the connection is a new one."""
    async with driving(valkey.connection_url, patience=0.05) as driver:
        assert await echoed(driver)
        with Redis.from_url(valkey.connection_url) as admin:
            pid = int(admin.info("server")["process_id"])
        os.kill(pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            assert await reason(ran(driver, "lost")) == ("slow", "timed out")
            assert time.monotonic() - began < 1.0
        finally:
            os.kill(pid, signal.SIGCONT)
        # The reply to the lost call must not be taken for the answer to this one.
        assert await echoed(driver, "found")


async def test_a_call_under_way_survives_a_close_for_another_ones_fault(
    valkey: ValkeyServer,
) -> None:
    """Connections that were given up close when their last call is done."""
    slow = "if ARGV[1] == 'bad' then return redis.error_reply('READONLY no') end return {'ok'}"
    async with driving(valkey.connection_url, script=slow) as driver:
        results = await asyncio.gather(
            *(ran(driver, word) for word in ("good", "bad", "good", "good")),
            return_exceptions=True,
        )
        assert [result for result in results if isinstance(result, list)] == [[b"ok"]] * 3
        await until(lambda: connections(valkey) == 0)


@pytest.mark.parametrize("decode", [True, False])
@pytest.mark.parametrize("library", [AsyncRedis, AsyncValkey])
async def test_a_client_handed_in_stays_open(
    valkey: ValkeyServer, library: Any, *, decode: bool
) -> None:
    """Whatever it was made for: replies are bytes here, and text for its owner."""
    client = library.from_url(valkey.connection_url, decode_responses=decode)
    async with driving(client) as driver:
        for _ in range(2):
            assert await echoed(driver)
    assert connections(valkey) == 1
    assert await client.echo("x") == ("x" if decode else b"x")
    await client.aclose()


@pytest.mark.parametrize("library", [AsyncRedis, AsyncValkey])
async def test_a_client_handed_in_leaves_a_server_that_was_demoted(
    valkey: ValkeyServer, library: Any
) -> None:
    """Its idle connections are closed, so that the next ones find the new primary."""
    client = library.from_url(valkey.connection_url)
    script = "return redis.error_reply('READONLY You can not write')"
    async with driving(client, script=script) as driver:
        failed = await reason(ran(driver))
        assert failed == ("unwritable", "refuses writes: a read-only replica (ReadOnlyError)")
    assert connections(valkey) == 0
    assert await client.ping()
    await client.aclose()


@pytest.mark.parametrize(
    "fault",
    [
        RuntimeError("unable to perform operation on <TCPTransport closed=True>"),
        AttributeError("'NoneType' object has no attribute 'readuntil'"),
        ConnectionResetError(104, "hunter2"),
        BrokenPipeError(),
        asyncio.IncompleteReadError(b"hunter2", None),
    ],
    ids=lambda fault: type(fault).__name__,
)
async def test_a_connection_lost_amid_a_call_is_named_so(fault: Exception) -> None:
    """Whichever part of the client notices it, and however it puts it."""

    class Lost(AsyncRedis):
        def execute_command(self, *_args: object, **_options: object) -> Any:
            """Find the connection gone."""
            raise fault

    client = Lost()
    async with driving(client) as driver:
        assert await reason(ran(driver)) == ("broken", "connection lost")
    await client.aclose()


async def test_a_broken_client_is_a_failed_call() -> None:
    """Whatever a client handed in raises; its words, which may hold secrets, are not repeated."""

    class Broken:
        async def execute_command(self, *_args: object, **_options: object) -> object:
            raise KeyError("hunter2")

        async def aclose(self) -> None:
            raise AssertionError("a client handed in stays open")

    driver = Driver(Broken(), ECHO, timeout=0.1, connect_timeout=0.1)
    assert await reason(ran(driver, "c")) == ("broken", "KeyError")
    await driver.aclose()


@pytest.mark.parametrize(
    ("error", "kind", "told"),
    [
        ("OOM x", "unwritable", "refuses writes: out of memory (OutOfMemoryError)"),
        ("MISCONF x", "unwritable", "refuses writes: it can't persist (MISCONF)"),
        ("NOREPLICAS x", "unwritable", "refuses writes: too few replicas (NOREPLICAS)"),
        ("NOPERM x", "denied", "access denied (NoPermissionError)"),
        ("WRONGPASS x", "denied", "access denied (AuthenticationError)"),
        ("NOAUTH x", "denied", "access denied (AuthenticationError)"),
        ("LOADING x", "broken", "BusyLoadingError"),
        ("CLUSTERDOWN x", "broken", "ClusterDownError"),
        ("MASTERDOWN x", "broken", "MasterDownError"),
        ("TRYAGAIN x", "broken", "TryAgainError"),
        ("ERR max number of clients reached", "broken", "ConnectionError"),
        ("ERR DB index is out of range", "broken", "wrong database: there is none of that number"),
        ("ERR x", "broken", "ResponseError"),
    ],
)
async def test_each_error_of_redis_has_its_kind(
    redis_url: str, error: str, kind: str, told: str
) -> None:
    """By its code; the text behind it is not repeated. valkey-py has classes of its own."""
    client = AsyncValkey.from_url(redis_url)
    for redis in (redis_url, client):
        async with driving(redis, script=f"return redis.error_reply('{error}')") as driver:
            assert await reason(ran(driver)) == (kind, told)
    await client.aclose()


class Waiting:
    """A client whose calls take as long as they are told to, and then answer."""

    def __init__(self) -> None:
        self.seconds = 0.0

    async def execute_command(self, *_args: object, **_options: object) -> list[bytes]:
        """Answer like the script."""
        await asyncio.sleep(self.seconds)
        return [b"echo", b"hello"]

    async def aclose(self) -> None:
        """Nothing was opened."""


async def test_a_call_that_connects_has_the_longer_time() -> None:
    """One more at a time than there were before, or after one that was given up, connects."""
    client = Waiting()
    driver = Driver(client, ECHO, timeout=0.02, connect_timeout=1.0)

    async def slow_call() -> bool:
        client.seconds = 0.06
        try:
            return await echoed(driver)
        finally:
            client.seconds = 0.0

    assert await slow_call(), "the first call of all"
    assert await reason(slow_call()) == ("slow", "timed out")
    assert await slow_call(), "the first call after a fault"
    assert all(await asyncio.gather(echoed(driver), slow_call())), "the first two at a time"
    client.seconds = 10.0
    given_up = asyncio.ensure_future(ran(driver))
    also_given_up = asyncio.ensure_future(ran(driver))
    await asyncio.sleep(0)
    for call in (given_up, also_given_up):
        call.cancel()
    await asyncio.wait((given_up, also_given_up))
    assert await slow_call(), "its connection was closed"
    assert await reason(slow_call()) == ("slow", "timed out")
    await driver.aclose()


async def test_a_reply_that_is_no_list_is_a_failed_call(redis_url: str) -> None:
    """It is not the script's."""
    async with driving(redis_url, script="return 'OK'") as driver:
        assert await reason(ran(driver)) == ("broken", "unexpected reply")


async def test_a_close_without_a_call_does_nothing(valkey: ValkeyServer) -> None:
    """Nor does a second one; and a call after it connects again."""
    async with driving(valkey.connection_url) as driver:
        await driver.aclose()
        await driver.aclose()
        assert await echoed(driver)


def test_each_event_loop_has_its_own_connections(valkey: ValkeyServer) -> None:
    """A loop that was closed leaves none behind for the next."""
    driver = Driver(valkey.connection_url, ECHO, timeout=0.5, connect_timeout=1.0)

    async def once() -> bool:
        try:
            return await echoed(driver)
        finally:
            await driver.aclose()

    assert asyncio.run(once())
    assert asyncio.run(once())
    assert connections(valkey) == 0


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_loop_that_was_closed_without_care_does_no_harm(valkey: ValkeyServer) -> None:
    """Its connections go with it."""
    driver = Driver(valkey.connection_url, ECHO, timeout=0.5, connect_timeout=1.0)
    for _ in range(3):
        assert asyncio.run(echoed(driver))
    del driver
    gc.collect()


async def refused(driver: Driver) -> bool:
    """Run the script where nobody listens, so that a connection is left to be closed."""
    return await reason(ran(driver)) == ("broken", "connection refused")


@pytest.mark.posix
def test_a_close_waits_for_no_other_loop() -> None:
    """Nor for another process: what was under way there may never end."""
    driver = Driver("redis://127.0.0.1:1", ECHO, timeout=0.5, connect_timeout=1.0)

    async def close() -> bool:
        async with asyncio.timeout(60):
            await driver.aclose()
        return True

    with asyncio.Runner() as runner:
        assert runner.run(refused(driver))
        child = os.fork()
        if child == 0:
            os._exit(0 if asyncio.run(close()) else 1)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
    assert asyncio.run(close())


def test_a_forked_child_has_its_own_connections(valkey: ValkeyServer) -> None:
    """It neither uses nor closes what its parent has open."""
    driver = Driver(valkey.connection_url, ECHO, timeout=0.5, connect_timeout=1.0)

    async def once() -> bool:
        try:
            return await echoed(driver)
        finally:
            await driver.aclose()

    with asyncio.Runner() as runner, Redis.from_url(valkey.connection_url) as admin:
        assert runner.run(echoed(driver))
        child = os.fork()
        if child == 0:
            os._exit(0 if asyncio.run(once()) else 1)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        opened = admin.info("stats")["total_connections_received"]
        assert runner.run(once())
        assert admin.info("stats")["total_connections_received"] == opened
