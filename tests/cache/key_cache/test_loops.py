"""Event loops that end with each call, run side by side, or start their tasks eagerly."""

import asyncio
import gc
import logging
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

import httpx
import jwt
import pytest

from auth_jwks import JWKS, MemoryKeyStore
from auth_jwks.stores import Answer, LeaseRequest
from auth_jwks.testing import FakeClock, FakeIssuer
from tests.cache.worker import FIRST, SECOND, Hire

REQUEST: ContextVar[str] = ContextVar("REQUEST", default="none")


@pytest.fixture
def provider(clock: FakeClock) -> Iterator[FakeIssuer]:
    """Return a provider over HTTP: a client belongs to one loop."""
    with FakeIssuer(keys=[FIRST], clock=clock) as issuer:
        yield issuer


def verifier(issuer: FakeIssuer, clock: FakeClock, **options: Any) -> JWKS:
    """Return a verifier whose time is the test's."""
    return JWKS(issuer.discovery_url, "api", issuer=issuer.issuer, clock=clock, **options)


def call(jwks: JWKS, token: str) -> str:
    """Verify in a loop of its own, as a sync framework or a serverless handler does."""
    subject: str = asyncio.run(jwks.verify_token(token))["sub"]
    return subject


def test_a_loop_for_each_call_renews_the_keys(provider: FakeIssuer, clock: FakeClock) -> None:
    """A refresh in the background dies with its loop; the call that finds them expired waits."""
    jwks = verifier(provider, clock)
    token = provider.sign(aud="api", exp=4_000_000_000)
    call(jwks, token)
    provider.rotate(SECOND)
    provider.reset()
    clock.advance(850)
    for _ in range(20):
        assert call(jwks, token) == "alice"
    assert len(provider.requests) <= 4, "ahead of expiry it is tried twice, and not for each call"
    clock.advance(51)
    assert call(jwks, token) == "alice"
    assert jwks.status().age == 0
    assert len(jwks.status().kids) == 2


def test_a_key_that_was_withdrawn_is_gone_there_too(provider: FakeIssuer, clock: FakeClock) -> None:
    """Not after `max_stale`, but with the first call after `cache_ttl`."""
    jwks = verifier(provider, clock)
    call(jwks, provider.sign(aud="api", exp=4_000_000_000))
    provider.rotate(SECOND, keep=False)
    clock.advance(901)
    assert call(jwks, provider.sign(aud="api", exp=4_000_000_000)) == "alice"
    assert jwks.status().kids == ("second",)


def test_a_bad_signature_waits_for_its_search_where_none_outlives_a_call(
    provider: FakeIssuer, clock: FakeClock
) -> None:
    """After the first one that died with its loop: else a key that got an old name is not found."""
    jwks = verifier(provider, clock)
    call(jwks, provider.sign(aud="api"))
    provider.reset()
    for _ in range(20):
        with pytest.raises(jwt.InvalidSignatureError):
            call(jwks, provider.forge(aud="api"))
        clock.advance(1)
    assert len(provider.requests) <= 9, "two searches in 10 s, and the one that was lost"
    provider.rotate(replace(SECOND, kid="first"), keep=False)
    clock.advance(10)
    with suppress(jwt.InvalidSignatureError):
        call(jwks, provider.sign(aud="api"))
    assert call(jwks, provider.sign(aud="api")) == "alice"


def test_a_bad_signature_is_one_whatever_the_provider_does(
    provider: FakeIssuer, clock: FakeClock
) -> None:
    """Where its search is waited for, and fails."""
    jwks = verifier(provider, clock, retries=0)
    call(jwks, provider.sign(aud="api"))
    with pytest.raises(jwt.InvalidSignatureError):
        call(jwks, provider.forge(aud="api"))
    provider.outage()
    with pytest.raises(jwt.InvalidSignatureError):
        call(jwks, provider.forge(aud="api"))
    assert jwks.status().failure is not None


def test_a_loop_for_each_call_asks_the_store_once_a_minute(
    provider: FakeIssuer, clock: FakeClock
) -> None:
    """A look that is lost counts as one."""
    store = CountingStore(timer=clock.monotonic)
    jwks = verifier(provider, clock, store=store)
    token = provider.sign(aud="api", exp=4_000_000_000)
    call(jwks, token)
    store.polls = 0
    clock.advance(76)
    for _ in range(10):
        call(jwks, token)
    assert store.polls <= 1


class CountingStore(MemoryKeyStore):
    """A store that counts its polls."""

    polls = 0

    async def poll(self, key: str, *, known: int, lease: LeaseRequest | None) -> Answer:
        """Count, and answer."""
        self.polls += 1
        return await super().poll(key, known=known, lease=lease)


def test_a_loop_that_closes_amid_a_refresh_is_no_news(
    provider: FakeIssuer, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither a warning nor noise when the pieces are collected."""
    jwks = verifier(provider, clock)
    provider.hang(times=1)
    loop = asyncio.new_event_loop()

    async def begin() -> None:
        asyncio.get_running_loop().create_task(jwks.refresh())
        await provider.arrived(1)

    loop.run_until_complete(begin())
    loop.close()
    del loop
    gc.collect()
    provider.release()
    assert call(jwks, provider.sign(aud="api", exp=4_000_000_000)) == "alice"
    ours = [record for record in caplog.records if record.name == "auth_jwks"]
    assert [record.levelname for record in ours if record.levelno > logging.INFO] == []


class TornStore(MemoryKeyStore):
    """A store whose call breaks when it is thrown away, as one with a connection may."""

    def __init__(self) -> None:
        super().__init__()
        self.called = asyncio.Event()

    async def poll(self, key: str, *, known: int, lease: LeaseRequest | None) -> Answer:
        """Never answer."""
        self.called.set()
        try:
            await asyncio.get_running_loop().create_future()
        except GeneratorExit:
            raise RuntimeError("the event loop is closed") from None
        return await super().poll(key, known=known, lease=lease)


@pytest.mark.parametrize("amid_another_loop", [False, True])
def test_what_a_closed_loop_left_behind_blames_nobody(
    clock: FakeClock, *, amid_another_loop: bool
) -> None:
    """Its coroutines are thrown away at any time, even while another loop runs."""
    events: list[object] = []
    store = TornStore()
    jwks = verifier(FakeIssuer(clock=clock), clock, observer=events.append, store=store)
    left: list[Any] = []

    async def begin() -> None:
        caller = asyncio.ensure_future(jwks.refresh())
        await store.called.wait()
        tasks = asyncio.all_tasks() - {caller, asyncio.current_task()}
        left.extend(task.get_coro() for task in tasks)

    def throw_away() -> None:
        for coroutine in left:
            coroutine.close()

    async def throw_away_here() -> None:
        throw_away()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(begin())
    loop.close()
    asyncio.run(throw_away_here()) if amid_another_loop else throw_away()
    assert events == []


def test_threads_may_each_have_a_loop(provider: FakeIssuer) -> None:
    """One verifier for all of them: no token is refused, and nothing is counted wrongly."""
    jwks = JWKS(
        provider.discovery_url, "api", issuer=provider.issuer, token_cache_size=8, leeway=1e9
    )
    tokens = [provider.sign(aud="api", exp=4_000_000_000, jti=str(number)) for number in range(24)]
    faults: list[BaseException] = []

    async def verify_all() -> None:
        for token in tokens * 5:
            await jwks.verify_token(token)

    def work() -> None:
        try:
            asyncio.run(verify_all())
        except BaseException as fault:  # noqa: BLE001 - told to the test
            faults.append(fault)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert faults == []


@pytest.mark.parametrize("cache_ttl", [0.0, 900.0])
def test_eager_tasks_are_tasks(clock: FakeClock, cache_ttl: float) -> None:
    """A refresh that has ended before it is returned is one: the call does not begin another.

    Before Python 3.12 there are no eager tasks, and ordinary ones must do as well.
    """
    issuer = FakeIssuer(keys=[FIRST], clock=clock)

    async def verify() -> None:
        factory: Callable[..., Any] | None = getattr(asyncio, "eager_task_factory", None)
        asyncio.get_running_loop().set_task_factory(factory)
        async with httpx.AsyncClient(transport=issuer.transport()) as client:
            jwks = verifier(issuer, clock, cache_ttl=cache_ttl, http_client=client)
            for _ in range(2):
                await jwks.verify_token(issuer.sign(aud="api", exp=4_000_000_000))
            await jwks.close()

    asyncio.run(verify())
    assert issuer.jwks_requests <= 2


async def test_a_refresh_has_a_context_of_its_own(clock: FakeClock, issuer: FakeIssuer) -> None:
    """It works for all, so nothing in it is of the request that happened to start it."""
    seen: list[str] = []

    async def note(_request: httpx.Request) -> None:
        seen.append(REQUEST.get())

    hooks: dict[str, list[Callable[..., Coroutine[Any, Any, None]]]] = {"request": [note]}
    transport = issuer.transport()
    async with httpx.AsyncClient(transport=transport, event_hooks=hooks) as client:
        jwks = verifier(issuer, clock, http_client=client)
        REQUEST.set("alice's")
        await jwks.verify_token(issuer.sign(aud="api"))
        await jwks.close()
    assert seen == ["none", "none"]


class CountingTask(asyncio.Task[Any]):
    """A task that counts how many callers have stopped waiting for it."""

    left = 0

    def remove_done_callback(self, fn: Callable[[Any], object], /) -> int:
        """Count, and do it: the more callers wait, the longer it takes."""
        self.left += 1
        return super().remove_done_callback(fn)


async def test_callers_that_leave_together_cost_little_each(hire: Hire, issuer: FakeIssuer) -> None:
    """However many wait for one refresh, to stop waiting touches none of the others."""
    tasks: list[CountingTask] = []

    def make(_loop: object, coroutine: Any, **options: Any) -> CountingTask:
        tasks.append(CountingTask(coroutine, **options))
        return tasks[-1]

    worker = hire()
    issuer.hang(times=1)
    loop = asyncio.get_running_loop()
    loop.set_task_factory(make)
    calls = [asyncio.ensure_future(worker.verify()) for _ in range(50)]
    await issuer.arrived(1)
    loop.set_task_factory(None)
    for each in calls[1:]:
        each.cancel()
    await asyncio.gather(*calls[1:], return_exceptions=True)
    assert max(task.left for task in tasks) <= 2
    issuer.release()
    assert await calls[0] == ["first"]
