"""Workers, callers, loops and processes that come and go."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections.abc import Callable

import httpx
import pytest

from auth_jwks import JWKS, KeysUnavailableError, UnknownKeyError
from auth_jwks.testing import FakeClock, FakeIssuer
from tests.cache.key_cache.calling import CountingStore, begin, outcomes
from tests.cache.worker import FIRST, SECOND, Hire, Worker, spin

FORK = """
import asyncio, os, sys, traceback
from auth_jwks import JWKS

moment, discovery_url, issuer, token = sys.argv[1:]
jwks = JWKS(discovery_url, issuer=issuer)

def fork():
    child = os.fork()
    if child:
        assert os.waitpid(child, 0)[1] == 0
        return
    try:
        asyncio.run(jwks.verify_token(token))
        asyncio.run(jwks.refresh(force=True))
        print("child", flush=True)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)

async def fork_amid_refresh():
    verification = asyncio.ensure_future(jwks.verify_token(token))
    told = asyncio.Event()
    asyncio.get_running_loop().add_reader(0, told.set)
    await told.wait()
    asyncio.get_running_loop().remove_reader(0)
    fork()
    await verification

if moment == "used":
    asyncio.run(jwks.verify_token(token))
if moment == "amid":
    asyncio.run(fork_amid_refresh())
else:
    fork()
asyncio.run(jwks.verify_token(token))
print("parent", flush=True)
"""


# Other workers.


async def test_a_warm_worker_looks_for_newer_keys(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """Every minute or so, in the background: a key withdrawn elsewhere is withdrawn here too."""
    store = CountingStore(clock)
    one, other = hire(store=store), hire(store=store)
    await one.verify()
    await other.verify()
    clock.advance(10)
    issuer.rotate(SECOND, keep=False)
    await one.cache.refresh(force=True)
    issuer.reset()
    store.polls = 0
    clock.advance(34.9)
    assert other.at_once == ["first"]
    assert store.polls == 0
    clock.advance(0.1)
    assert other.at_once == ["first"]
    await other.landed()
    assert store.polls == 1
    assert other.at_once == ["second"]
    assert issuer.requests == ()


@pytest.mark.parametrize(("uniform", "interval"), [(min, 45.0), (max, 75.0)])
async def test_looks_into_the_store_are_a_minute_apart(
    hire: Hire, clock: FakeClock, uniform: Callable[[float, float], float], interval: float
) -> None:
    """Give or take a quarter, and counted from the last call of any kind."""
    store = CountingStore(clock)
    worker = hire(store=store, uniform=uniform)
    await worker.verify()
    clock.advance(30)
    with pytest.raises(UnknownKeyError):
        await worker.verify("random")
    store.polls = 0
    for polls in (1, 2, 3):
        clock.advance(interval - 0.1)
        assert worker.at_once == ["first"]
        clock.advance(0.1)
        assert worker.at_once == ["first"]
        await worker.landed()
        assert store.polls == polls


# Callers come and go.


async def test_a_cancelled_caller_cancels_nobody_else(hire: Hire, issuer: FakeIssuer) -> None:
    """The refresh goes on for the others, and even for none."""
    worker = hire()
    issuer.hang(times=1)
    callers = [begin(worker.verify()) for _ in range(3)]
    await issuer.arrived(1)
    callers[0].cancel()
    await asyncio.wait(callers[:1])
    issuer.release()
    assert await callers[1] == await callers[2] == ["first"]
    issuer.hang(times=1)
    issuer.reset()
    forced = begin(worker.cache.refresh(force=True))
    await issuer.arrived(1)
    forced.cancel()
    issuer.rotate(SECOND)
    issuer.release()
    await worker.landed()
    assert worker.at_once == ["first", "second"]


async def test_a_cancelled_search_leaves_room_for_another(hire: Hire, issuer: FakeIssuer) -> None:
    """Who gives up no longer counts among those who joined."""
    worker = hire()
    await worker.verify()
    issuer.reset()
    issuer.rotate(SECOND)
    issuer.hang(times=1)
    searches = [begin(worker.verify("second")) for _ in range(1000)]
    await issuer.arrived(1)
    await spin()
    searches[7].cancel()
    await asyncio.wait(searches[7:8])
    late = begin(worker.verify("second"))
    await spin()
    assert not late.done()
    later = begin(outcomes(worker.verify("second")))
    await spin()
    assert later.done()
    issuer.release()
    assert await late == ["second"]
    assert await later == {UnknownKeyError: 1}
    await asyncio.gather(*searches, return_exceptions=True)


async def test_looks_that_take_long_do_not_hide_that_keys_expired(
    hire: Hire, clock: FakeClock
) -> None:
    """Who joined a look into the store that brought nothing goes on to a refresh."""
    store = CountingStore(clock)
    worker = hire(store=store, cache_ttl=60.0, max_stale=0.0, poll_interval=10.0)
    await worker.verify()
    clock.advance(10)
    store.open.clear()
    assert worker.at_once == ["first"]
    clock.advance(50)
    waiting = [begin(worker.verify()), begin(worker.cache.refresh(force=False))]
    await spin()
    store.open.set()
    await asyncio.gather(*waiting)
    assert worker.cache.status().fresh


async def test_a_look_may_spare_a_refresh(hire: Hire, clock: FakeClock, issuer: FakeIssuer) -> None:
    """What another worker fetched in time is as good as what this one would fetch."""
    store = CountingStore(clock)
    one, other = hire(store=store), hire(store=store)
    await one.verify()
    await other.verify()
    clock.advance(400)
    await one.cache.refresh(force=True)
    clock.advance(501)
    issuer.reset()
    await other.cache.refresh(force=False)
    assert issuer.requests == ()
    assert other.cache.status().age == 501


# The end.


async def test_closing_ends_what_is_under_way(hire: Hire, issuer: FakeIssuer) -> None:
    """Who waits is told, nothing can be begun any more, and a second close does nothing."""
    worker = hire()
    issuer.hang()
    waiting = [begin(worker.verify()), begin(worker.cache.refresh(force=True))]
    await issuer.arrived(1)
    await worker.cache.aclose()
    for task in waiting:
        with pytest.raises(RuntimeError, match="closed"):
            await task
    assert not worker.cache.status().refreshing
    await worker.cache.aclose()
    with pytest.raises(RuntimeError, match="closed"):
        await worker.verify()


# Loops and processes come and go.


def test_event_loops_may_come_one_after_the_other() -> None:
    """What one loop fetched serves in the next, and the next can fetch as well."""
    with FakeIssuer(keys=[FIRST]) as issuer:
        jwks = JWKS(issuer.discovery_url, issuer=issuer.issuer, allowed_algorithms=["ES256"])
        for _ in range(2):
            assert asyncio.run(jwks.verify_token(issuer.sign()))["sub"] == "alice"
        assert issuer.jwks_requests == 1
        asyncio.run(jwks.refresh(force=True))
        assert issuer.jwks_requests == 2
        asyncio.run(jwks.close())


def test_an_event_loop_may_die_amid_a_refresh() -> None:
    """The next one begins anew, with the lease of the dead one."""

    async def die() -> None:
        begin(jwks.verify_token(issuer.sign()))
        await issuer.arrived(1)

    with FakeIssuer(keys=[FIRST]) as issuer:
        jwks = JWKS(issuer.discovery_url, issuer=issuer.issuer)
        issuer.hang(times=1)
        asyncio.run(die())
        assert not jwks.status().refreshing
        assert asyncio.run(jwks.verify_token(issuer.sign()))["sub"] == "alice"


def test_an_event_loop_may_sleep_amid_a_refresh(clock: FakeClock, issuer: FakeIssuer) -> None:
    """Another loop waits for its lease alone; and what comes late replaces nothing."""

    async def begin_refresh() -> "asyncio.Task[None]":
        refresh = begin(worker.cache.refresh(force=True))
        await issuer.arrived(2)
        return refresh

    async def finish(refresh: "asyncio.Task[None]") -> None:
        await refresh
        await client.aclose()

    client = httpx.AsyncClient(transport=issuer.transport())
    worker = Worker(issuer, client, clock)
    issuer.hang(times=1, on="jwks")
    with asyncio.Runner() as one, asyncio.Runner() as other:
        refresh = one.run(begin_refresh())
        issuer.rotate(SECOND, keep=False)
        clock.advance(3)
        assert other.run(worker.verify("second")) == ["second"]
        issuer.release()
        one.run(finish(refresh))
    assert worker.cache.status().kids == ("second",)


def test_a_refresh_may_be_cancelled_by_others(clock: FakeClock, issuer: FakeIssuer) -> None:
    """Who cancels all tasks of a loop makes the keys unavailable to those who wait for them."""

    async def cancel_all_others() -> None:
        waiting = begin(worker.verify())
        await issuer.arrived(1)
        for task in asyncio.all_tasks() - {asyncio.current_task(), waiting}:
            task.cancel()
        with pytest.raises(KeysUnavailableError):
            await waiting
        assert await worker.verify() == ["first"]
        await client.aclose()

    client = httpx.AsyncClient(transport=issuer.transport())
    worker = Worker(issuer, client, clock)
    issuer.hang(times=1)
    asyncio.run(cancel_all_others())


@pytest.mark.parametrize(("moment", "fetches"), [("new", 3), ("used", 2), ("amid", 3)])
@pytest.mark.posix
async def test_a_process_may_fork(moment: str, fetches: int) -> None:
    """At any moment: child and parent verify, and the child waits for nothing of its parent's."""
    with FakeIssuer(keys=[FIRST]) as issuer:
        if moment == "amid":
            issuer.hang(times=1)
        arguments = (moment, issuer.discovery_url, issuer.issuer, issuer.sign())
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", FORK, *arguments, stdin=PIPE, stdout=PIPE
        )
        assert process.stdin is not None
        assert process.stdout is not None
        await issuer.arrived(1)
        process.stdin.write(b"go\n")
        assert await process.stdout.readline() == b"child\n"
        issuer.release()
        assert await process.stdout.readline() == b"parent\n"
        await process.communicate()
        assert process.returncode == 0
        assert issuer.jwks_requests == fetches
