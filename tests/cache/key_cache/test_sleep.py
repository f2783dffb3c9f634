"""Time that passes while nobody looks: a machine asleep, a snapshot restored, a process frozen."""

import asyncio
from collections.abc import Awaitable, Callable

import httpx
import pytest

from auth_jwks import JWKS, KeysUnavailableError, MemoryKeyStore
from auth_jwks.events import Event, RefreshFailed
from auth_jwks.testing import FakeClock, FakeIssuer
from tests.cache.key_cache.calling import stale
from tests.cache.worker import FIRST, SECOND, Hire
from tests.scripted_store import ScriptedStore, granted

WEEK = 7 * 86_400.0


def wake(clock: FakeClock, slept: float) -> None:
    """Let only the wall clock have noticed that time has passed."""
    clock.set_time(clock.time() + slept)


async def test_keys_age_while_the_machine_sleeps(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """After a week a withdrawn key verifies nothing, though the clock for intervals stood still."""
    worker = hire()
    await worker.verify()
    issuer.rotate(SECOND, keep=False)
    wake(clock, WEEK)
    assert worker.cache.ready(clock.time()) is None
    assert await worker.verify("second") == ["second"]
    assert worker.kids == ["second"]


async def test_short_sleep_is_a_short_age(hire: Hire, clock: FakeClock, issuer: FakeIssuer) -> None:
    """The keys are due, and used while they are refreshed; then they are new."""
    worker = hire()
    await worker.verify()
    wake(clock, 700)
    assert worker.at_once == ["first"]
    await worker.landed()
    assert worker.cache.status().age == 0
    wake(clock, 600)
    assert worker.at_once == ["first"]
    assert issuer.jwks_requests == 2


async def test_cool_downs_pass_while_the_machine_sleeps(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """Whoever wakes tries at once."""
    worker = hire(store=ScriptedStore(granted(1), granted(2), granted(3)))
    await worker.verify()
    issuer.outage(times=1, retry_after=50)
    clock.advance(901)
    assert await worker.verify() == ["first"]
    assert worker.cache.status().retry_after == 51
    wake(clock, 3600)
    assert await worker.verify() == ["first"]
    assert worker.cache.status().age == 0


async def test_clock_that_is_set_back_makes_no_key_younger(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """Nor a difference of less than a second one of them older: clocks drift."""
    worker = hire()
    await worker.verify()
    wake(clock, -WEEK)
    clock.advance(901)
    await worker.verify()
    assert issuer.jwks_requests == 2
    wake(clock, 0.5)
    assert worker.cache.status().age == 0


async def test_worker_that_wakes_adopts_what_the_fleet_has(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """A stored set that was fetched meanwhile is newer than its own, and not seen in vain."""
    fleet_time = clock.monotonic()
    store = MemoryKeyStore(timer=lambda: fleet_time)
    sleeper = hire(store=store)
    await sleeper.verify()
    other_clock = FakeClock()
    issuer.rotate(SECOND, keep=False)
    fleet_time += WEEK
    other_clock.advance(WEEK)
    async with httpx.AsyncClient(transport=issuer.transport()) as client:
        fleet = JWKS(
            issuer.discovery_url, issuer=issuer.issuer, http_client=client, store=store,
            clock=other_clock,
        )  # fmt: skip
        await fleet.refresh()
        await fleet.close()
    requests = len(issuer.requests)
    fleet_time += 60
    wake(clock, WEEK + 60)
    assert await sleeper.verify("second") == ["second"]
    assert len(issuer.requests) == requests


async def test_a_set_that_came_before_a_sleep_is_no_new_one(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """A machine sleeps while the provider answers: what it wakes up to is asked for again."""
    worker = hire()
    issuer.hang(times=1)
    waiting = asyncio.ensure_future(worker.verify("second"))
    await issuer.arrived(1)
    wake(clock, WEEK)
    issuer.rotate(SECOND, keep=False)
    issuer.release()
    assert await waiting == ["second"]
    assert issuer.jwks_requests == 2


async def test_a_fetch_that_fails_after_a_sleep_is_nobodys_failure(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """The connection has not survived the sleep of the machine: that is no fault of anybody's."""
    worker = hire()
    issuer.outage(times=1)
    issuer.hang(times=1)
    waiting = asyncio.ensure_future(worker.verify())
    await issuer.arrived(1)
    wake(clock, WEEK)
    issuer.release()
    assert await waiting == ["first"]
    assert worker.told(RefreshFailed) == []


class JumpyLoop(asyncio.SelectorEventLoop):
    """An event loop that can be late, as after its process was frozen."""

    ahead = 0.0

    def time(self) -> float:
        """Return the loop's time."""
        return super().time() + self.ahead

    def freeze(self, seconds: float) -> None:
        """Let that much time have passed in which no callback ran."""
        self.ahead += seconds


class LoopClock:
    """The clock of such a loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.monotonic = loop.time

    def time(self) -> float:
        """Return the wall clock, which passes alike."""
        return 1_800_000_000 + self.monotonic()

    async def sleep(self, seconds: float, /) -> None:
        """Wait on the loop."""
        await asyncio.sleep(seconds)


Story = Callable[[JumpyLoop, FakeIssuer, JWKS, list[Event]], Awaitable[None]]


def tell(story: Story) -> None:
    """Run a story on a loop that can be frozen, with a provider that is healthy."""
    with asyncio.Runner(loop_factory=JumpyLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, JumpyLoop)
        events: list[Event] = []
        with FakeIssuer(keys=[FIRST]) as issuer:
            jwks = JWKS(
                issuer.discovery_url, issuer=issuer.issuer, timeout=3.0, clock=LoopClock(loop),
                observer=events.append,
            )  # fmt: skip
            runner.run(_told(story(loop, issuer, jwks, events), jwks))


async def _told(story: Awaitable[None], jwks: JWKS) -> None:
    await story
    await jwks.close()


async def frozen_amid_the_first_refresh(
    loop: JumpyLoop, issuer: FakeIssuer, jwks: JWKS, events: list[Event]
) -> None:
    """Thaw after the deadline of a refresh has passed, and that of its caller."""
    token = issuer.sign(exp=4_000_000_000)
    issuer.hang(times=1)
    call = asyncio.ensure_future(jwks.verify_token(token))
    await issuer.arrived(1)
    loop.freeze(60)
    assert (await call)["sub"] == "alice"
    assert [type(event).__name__ for event in events] == ["KeysRefreshed"]
    assert jwks.status().failure is None
    issuer.release()


async def frozen_amid_a_later_refresh(
    loop: JumpyLoop, issuer: FakeIssuer, jwks: JWKS, events: list[Event]
) -> None:
    """Thaw with stale keys: they are refreshed, and nobody is told that they were used."""
    token = issuer.sign(exp=4_000_000_000)
    await jwks.verify_token(token)
    loop.freeze(1000)
    issuer.reset()
    issuer.hang(times=1)
    call = asyncio.ensure_future(jwks.verify_token(token))
    await issuer.arrived(1)
    loop.freeze(60)
    await call
    assert [type(event).__name__ for event in events] == ["KeysRefreshed"] * 2
    issuer.release()


async def frozen_amid_a_search(
    loop: JumpyLoop, issuer: FakeIssuer, jwks: JWKS, events: list[Event]
) -> None:
    """Thaw while a token of a new key waits: it is found."""
    await jwks.verify_token(issuer.sign(exp=4_000_000_000))
    issuer.rotate(SECOND)
    issuer.reset()
    issuer.hang(times=1)
    call = asyncio.ensure_future(jwks.verify_token(issuer.sign(exp=4_000_000_000)))
    await issuer.arrived(1)
    loop.freeze(60)
    assert (await call)["sub"] == "alice"
    assert [type(event).__name__ for event in events] == ["KeysRefreshed"] * 2
    issuer.release()


@pytest.mark.parametrize(
    "story", [frozen_amid_the_first_refresh, frozen_amid_a_later_refresh, frozen_amid_a_search]
)
def test_frozen_process_blames_nobody(story: Story) -> None:
    """What came due while the loop did not run is no failure: the caller gets a new attempt."""
    tell(story)


async def frozen_within_every_fetch(
    loop: JumpyLoop, issuer: FakeIssuer, jwks: JWKS, events: list[Event]
) -> None:
    """Thaw four times, each time amid another fetch, which would time out anyway."""
    issuer.hang()
    call = asyncio.ensure_future(jwks.verify_token(issuer.sign(exp=4_000_000_000)))
    fetches = 0
    while not call.done():
        arrived = asyncio.ensure_future(issuer.arrived(len(issuer.requests) + 1))
        await asyncio.wait((call, arrived), return_when=asyncio.FIRST_COMPLETED)
        arrived.cancel()
        if not call.done():
            fetches += 1
            loop.freeze(60)
    with pytest.raises(KeysUnavailableError):
        await call
    assert fetches == 4
    assert [type(event).__name__ for event in events] == ["RefreshFailed", "TokenRefused"]
    issuer.release()


def test_loop_that_always_stands_still_makes_no_fetch_for_ever() -> None:
    """Three in a row are nobody's failure; the fourth is one, and cools down."""
    tell(frozen_within_every_fetch)


async def test_failure_of_a_loop_that_runs_is_one(hire: Hire, issuer: FakeIssuer) -> None:
    """The provider is still to blame for what it does."""
    issuer.outage()
    worker = hire(max_stale=0.0)
    with pytest.raises(KeysUnavailableError):
        await worker.verify()
    assert stale(worker) == []
    assert worker.cache.status().failure == "HTTP status 503 (discovery document)"
