"""When a Redis that does not answer is left alone, and when it is tried again."""

import asyncio
import logging
import subprocess
import sys
import time
from collections import Counter

import pytest
from redis import Redis

from auth_jwks import RedisKeyStore
from auth_jwks.stores import StoreUnavailable, Unchanged
from auth_jwks.testing import FakeClock
from tests.servers import ValkeyServer
from tests.stores.redis.storing import KEY, SECRET


async def test_a_store_that_is_gone_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    """After three refused connections no more are tried for a while, which the answer tells."""
    clock = FakeClock()
    async with RedisKeyStore(
        "redis://127.0.0.1:1", integrity_key=SECRET, clock=clock, uniform=max
    ) as store:
        for _ in range(3):
            with pytest.raises(StoreUnavailable, match=r"^connection refused$") as fault:
                await store.poll(KEY, known=0, lease=None)
            assert not fault.value.resting
        with pytest.raises(StoreUnavailable, match=r"breaker open, next attempt in 2\.0") as fault:
            await store.poll(KEY, known=0, lease=None)
        assert fault.value.resting
        clock.advance(2)
        with pytest.raises(StoreUnavailable, match=r"^connection refused$"):
            await store.poll(KEY, known=0, lease=None)
        with pytest.raises(StoreUnavailable, match=r"breaker open, next attempt in 4\.0 s$"):
            await store.poll(KEY, known=0, lease=None)
    assert caplog.records == []


async def test_calls_that_are_out_together_count_as_one_fault(valkey: ValkeyServer) -> None:
    """Else one moment's silence would keep a busy process from its store for half a minute."""
    url = valkey.connection_url
    async with RedisKeyStore(
        url, integrity_key=SECRET, clock=FakeClock(), uniform=max, timeout=0.05
    ) as store:
        await store.poll(KEY, known=0, lease=None)
        with Redis.from_url(url) as admin:
            admin.client_pause(60_000)
            calls = (store.poll(f"{number}", known=0, lease=None) for number in range(5))
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {StoreUnavailable}
        with pytest.raises(StoreUnavailable, match=r"breaker open, next attempt in 2\.0 s$"):
            await store.poll(KEY, known=0, lease=None)


async def test_a_worker_without_keys_has_two_attempts(valkey: ValkeyServer) -> None:
    """Also where the store has answered before: one late answer sends no fleet to the provider."""
    url = valkey.connection_url
    async with RedisKeyStore(
        url, integrity_key=SECRET, clock=FakeClock(), uniform=max, timeout=0.05
    ) as store:
        await store.poll(KEY, known=0, lease=None)
        with Redis.from_url(url) as admin:
            admin.client_pause(200)
            with pytest.raises(StoreUnavailable, match="timed out"):
                await store.poll(KEY, known=0, lease=None)
            assert await store.poll(KEY, known=0, lease=None) == Unchanged()


async def test_calls_that_wait_behind_one_that_fails_are_not_tried(valkey: ValkeyServer) -> None:
    """A frozen server costs a process two timeouts, however many verifiers share the store."""
    url = valkey.connection_url
    async with RedisKeyStore(
        url, integrity_key=SECRET, clock=FakeClock(), uniform=max, timeout=0.05
    ) as store:
        await store.poll(KEY, known=0, lease=None)
        with Redis.from_url(url) as admin:
            admin.client_pause(60_000)
            began = time.monotonic()
            calls = (store.poll(f"{number}", known=0, lease=None) for number in range(100))
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert time.monotonic() - began < 4
        reasons = Counter(str(outcome).partition(" ")[0] for outcome in outcomes)
        assert reasons == {"timed": 3, "circuit": 97}


async def test_a_late_call_that_is_given_up_lets_no_second_probe_out(valkey: ValkeyServer) -> None:
    """It went out before the breaker opened."""
    clock = FakeClock()
    url = valkey.connection_url
    async with RedisKeyStore(
        url, integrity_key=SECRET, clock=clock, uniform=max, timeout=0.05, connect_timeout=1.0
    ) as store:
        await store.poll(KEY, known=0, lease=None)
        with Redis.from_url(url) as admin:
            admin.client_pause(60_000)
            first = asyncio.ensure_future(store.poll("first", known=0, lease=None))
            late = asyncio.ensure_future(store.poll("late", known=0, lease=None))
            await asyncio.wait((first,))
            clock.advance(2)
            probe = asyncio.ensure_future(store.poll(KEY, known=0, lease=None))
            await asyncio.sleep(0)
            late.cancel()
            await asyncio.wait((late,))
            with pytest.raises(StoreUnavailable, match="circuit breaker open"):
                await store.poll(KEY, known=0, lease=None)
            probe.cancel()
            await asyncio.wait((probe,))


async def test_a_cancelled_probe_leaves_the_next_one_its_turn(valkey: ValkeyServer) -> None:
    """Else a caller that gave up at the wrong moment would leave the store unused for good."""
    clock = FakeClock()
    url = valkey.connection_url
    async with RedisKeyStore(
        url, integrity_key=SECRET, clock=clock, uniform=max, timeout=0.01, connect_timeout=0.2
    ) as store:
        await store.poll(KEY, known=0, lease=None)
        with Redis.from_url(url) as admin:
            admin.client_pause(300)
            with pytest.raises(StoreUnavailable, match="timed out"):
                await store.poll(KEY, known=0, lease=None)
            clock.advance(2)
            probe = asyncio.ensure_future(store.poll(KEY, known=0, lease=None))
            await asyncio.sleep(0)
            with pytest.raises(StoreUnavailable, match="circuit breaker open"):
                await store.poll(KEY, known=0, lease=None)
            probe.cancel()
            await asyncio.wait((probe,))
            admin.ping()  # answered when the pause is over
        assert await store.poll(KEY, known=0, lease=None) == Unchanged()


async def test_a_refused_password_is_an_error_once(
    valkey: ValkeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    """It rests for a minute, as only an operator can mend it; the password is not shown."""
    clock = FakeClock()
    url = valkey.connection_url.replace("//", "//:hunter2@")
    with Redis.from_url(valkey.connection_url) as admin:
        admin.config_set("requirepass", "another")
    async with RedisKeyStore(url, integrity_key=SECRET, clock=clock) as store:
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match=r"^access denied \(AuthenticationError\)$"):
                await store.poll(KEY, known=0, lease=None)
            with pytest.raises(StoreUnavailable, match=r"attempt in 60\.0 s$"):
                await store.poll(KEY, known=0, lease=None)
            clock.advance(60)
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert "check user, password and ACL" in record.getMessage()
    assert "hunter2" not in caplog.text


FORKING = """
import asyncio, os, threading
from auth_jwks import RedisKeyStore

class Client:
    async def execute_command(self, *words, **options):
        print("asked", flush=True)
        if is_down:
            raise TimeoutError
        if not os.fork():
            # Not amid the loop of the parent, which is running as far as this thread knows.
            child = threading.Thread(target=lambda: asyncio.run(poll()))
            child.start()
            child.join()
            os._exit(0)
        os.wait()
        return [b"unchanged"]
    async def aclose(self): ...

async def poll():
    Client.execute_command = answer
    print(await store.poll("key", known=0, lease=None), flush=True)

async def answer(self, *words, **options):
    return [b"unchanged"]

async def main():
    global is_down
    try:
        await store.poll("key", known=0, lease=None)
    except Exception as fault:
        print(fault, flush=True)
    is_down = False
    print(await store.poll("key", known=0, lease=None))

is_down = True
store = RedisKeyStore(Client(), integrity_key=bytes(32))
asyncio.run(main())
"""


@pytest.mark.posix
def test_a_fork_amid_a_probe_leaves_no_probe() -> None:
    """The child asks the server for itself: the answer to its parent's probe never comes there."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKING], capture_output=True, check=False,
        encoding="utf-8", timeout=30,
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        "asked", "timed out", "asked", "Unchanged()", "Unchanged()",
    ], done.stderr  # fmt: skip
