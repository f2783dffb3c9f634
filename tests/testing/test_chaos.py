"""The store with faults: what a worker does with each of them, and what it costs."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from auth_jwks import JWKS, MemoryKeyStore
from auth_jwks.events import Event, StoreFailed
from auth_jwks.stores import Granted, LeaseRequest, Newer, StoreUnavailable, Unchanged
from auth_jwks.testing import ChaosStore, FakeClock, FakeIssuer

ASK = LeaseRequest("holder", 3.0, "age")
OPERATIONS = ["poll", "commit", "fail"]


@pytest.fixture
def store() -> MemoryKeyStore:
    """Return the store behind."""
    return MemoryKeyStore()


@pytest.fixture
def chaos(store: MemoryKeyStore) -> ChaosStore:
    """Return it with faults on demand, of which there is none yet."""
    return ChaosStore(store)


@pytest.fixture
def issuer() -> Iterator[FakeIssuer]:
    """Return a provider on loopback."""
    with FakeIssuer(algorithm="ES256") as issuer:
        yield issuer


@pytest.fixture
async def worker(issuer: FakeIssuer, chaos: ChaosStore) -> AsyncIterator[JWKS]:
    """Return a verifier over the store with faults."""
    async with JWKS(issuer.discovery_url, issuer=issuer.issuer, retries=0, store=chaos) as jwks:
        yield jwks


async def carry_out(store: ChaosStore, operation: str) -> None:
    """Do one thing with a store, after what must come before it."""
    answer = await store.poll("key", known=0, lease=ASK)
    assert isinstance(answer, Granted)
    if operation == "commit":
        assert await store.commit(answer.lease, b"x", ttl=60, window=30) == answer.lease.fence
    elif operation == "fail":
        await store.fail(answer.lease, retry_after=5)


async def test_without_a_fault_it_is_the_store(chaos: ChaosStore, store: MemoryKeyStore) -> None:
    """Every call is passed on, and noted."""
    await carry_out(chaos, "commit")
    newer = await store.poll("key", known=0, lease=None)
    assert isinstance(newer, Newer)
    assert newer.payload == b"x"
    await carry_out(ChaosStore(MemoryKeyStore()), "fail")
    assert chaos.calls == ["poll", "commit"]
    await chaos.aclose()
    assert await store.poll("key", known=0, lease=None) == Unchanged()


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_refused_call_has_no_effect(
    chaos: ChaosStore, store: MemoryKeyStore, operation: str
) -> None:
    """On one operation, so many times."""
    chaos.refuse(times=1, on=operation)  # type: ignore[arg-type]
    with pytest.raises(StoreUnavailable, match="unreachable"):
        await carry_out(chaos, operation)
    assert await store.poll("key", known=0, lease=None) == Unchanged()
    if operation == "poll":
        assert isinstance(await store.poll("key", known=0, lease=ASK), Granted)
    await carry_out(chaos, operation)


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_lost_reply_has_its_effect(
    chaos: ChaosStore, store: MemoryKeyStore, operation: str
) -> None:
    """The same token is granted again, the document is there, the cool-down holds."""
    chaos.lose(TimeoutError(), on=operation)  # type: ignore[arg-type]
    with pytest.raises(TimeoutError):
        await carry_out(chaos, operation)
    holder = ASK.holder if operation == "fail" else "another"
    answer = await store.poll("key", known=0, lease=LeaseRequest(holder, 3.0, "age"))
    expected = {"poll": "Busy", "commit": "Newer", "fail": "Cooling"}
    assert type(answer).__name__ == expected[operation]


async def test_slow_call_waits_on_the_clock(store: MemoryKeyStore) -> None:
    """And goes on when the time has come."""
    clock = FakeClock()
    chaos = ChaosStore(store, clock=clock)
    chaos.slow(2.0)
    call = asyncio.create_task(chaos.poll("key", known=0, lease=None))
    await clock.until_sleeping()
    clock.advance(1.9)
    await asyncio.sleep(0)
    assert not call.done()
    clock.advance(0.1)
    assert await call == Unchanged()


async def test_held_calls_go_on_when_released(chaos: ChaosStore) -> None:
    """And the next one is held again, until the store recovers."""
    chaos.hang()
    for release in (chaos.release, chaos.recover):
        call = asyncio.create_task(chaos.poll("key", known=0, lease=None))
        for _ in range(3):
            await asyncio.sleep(0)
        assert not call.done()
        release()
        assert await call == Unchanged()
    assert await chaos.poll("key", known=0, lease=None) == Unchanged()


def test_state_is_told(chaos: ChaosStore) -> None:
    """How many faults are in force."""
    chaos.slow(1.0)
    chaos.hang()
    assert repr(chaos) == "ChaosStore(MemoryKeyStore(keys=0), faults=2)"


def test_fault_on_an_unknown_operation_is_refused(chaos: ChaosStore) -> None:
    """The error names those that there are."""
    with pytest.raises(ValueError, match="on: expected one of poll, commit, fail, got 'close'"):
        chaos.hang(on="close")  # type: ignore[arg-type]


@pytest.mark.parametrize("fault", ["refuse", "lose"])
@pytest.mark.parametrize(
    "error", [StoreUnavailable("gone"), TimeoutError(), OSError("gone"), KeyError("gone")]
)
async def test_worker_takes_every_error_for_an_outage(
    issuer: FakeIssuer, chaos: ChaosStore, fault: str, error: Exception
) -> None:
    """It verifies, fetches once, and tells the class of what the contract does not allow."""
    events: list[Event] = []
    getattr(chaos, fault)(error)
    async with JWKS(
        issuer.discovery_url, issuer=issuer.issuer, store=chaos, observer=events.append
    ) as jwks:
        for _ in range(2):
            assert (await jwks.verify_token(issuer.sign()))["sub"] == "alice"
    reasons = {event.reason for event in events if isinstance(event, StoreFailed)}
    assert reasons == {"gone" if isinstance(error, StoreUnavailable) else type(error).__name__}
    assert issuer.jwks_requests == 1


@pytest.mark.parametrize("operation", ["poll", "commit"])
async def test_lost_reply_costs_no_fetch(
    issuer: FakeIssuer, chaos: ChaosStore, worker: JWKS, operation: str
) -> None:
    """The worker goes on with its lease, or with what it has stored; so does another one."""
    chaos.lose(times=1, on=operation)  # type: ignore[arg-type]
    assert (await worker.verify_token(issuer.sign()))["sub"] == "alice"
    async with JWKS(issuer.discovery_url, issuer=issuer.issuer, store=chaos) as other:
        assert (await other.verify_token(issuer.sign()))["sub"] == "alice"
    assert (issuer.discovery_requests, issuer.jwks_requests) == (1, 1)


async def test_store_that_stalls_holds_no_known_key(
    issuer: FakeIssuer, chaos: ChaosStore, worker: JWKS
) -> None:
    """A token of a key at hand makes no call at all."""
    await worker.verify_token(issuer.sign())
    chaos.hang()
    chaos.calls.clear()
    assert (await worker.verify_token(issuer.sign(jti="another")))["sub"] == "alice"
    assert chaos.calls == []


def test_faults_are_for_everyone(chaos: ChaosStore) -> None:
    """Every method that brings a fault takes `times` and `on`."""
    faults: list[Callable[..., None]] = [chaos.refuse, chaos.lose, chaos.hang]
    for fault in faults:
        fault(times=1, on="poll")
    chaos.slow(0.0, times=1, on="poll")
    assert repr(chaos).endswith("faults=4)")
