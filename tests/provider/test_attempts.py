"""When an attempt is made beside one that takes long, and which answer counts."""

import asyncio
from collections import deque

import pytest

from auth_jwks._provider.attempts import Attempts
from auth_jwks._provider.client import FetchError, Reply
from auth_jwks.testing import FakeClock
from tests.cache.worker import spin

DONE = Reply(200, {}, b"{}")
PASSING = FetchError("connection", "it may pass", transient=True)
FINAL = FetchError("status", "it will not pass")


class Provider:
    """What is asked, and answers each attempt when it is told to."""

    def __init__(self) -> None:
        self.asked: deque[asyncio.Future[Reply]] = deque()
        self.dropped = 0

    async def answer(self) -> Reply:
        """Take an attempt, and hold it."""
        self.asked.append(asyncio.get_running_loop().create_future())
        try:
            return await self.asked[-1]
        except asyncio.CancelledError:
            self.dropped += 1
            raise


class Fetch:
    """A fetch with 5 s for each attempt, and `ends_in` for all of them."""

    def __init__(self, retries: int, ends_in: float = 5.0) -> None:
        self.clock = FakeClock()
        self.provider = Provider()
        attempts = Attempts(self.clock, max, retries, 5.0, self.clock.monotonic() + ends_in)
        self.task = asyncio.ensure_future(attempts.first_reply(self.provider.answer))

    async def after(self, *seconds: float) -> int:
        """Let time pass, step by step, and return how many attempts were made by then."""
        for each in seconds or (0.0,):
            await spin()
            self.clock.advance(each)
        await spin()
        return len(self.provider.asked)


@pytest.mark.parametrize("answered", [0, 1])
async def test_an_attempt_without_an_answer_gets_another_beside_it(answered: int) -> None:
    """After a quarter of `timeout`, and whichever answers first is used: the other is dropped."""
    fetch = Fetch(retries=3)
    assert await fetch.after(1.24) == 1
    assert await fetch.after(0.01) == 2
    fetch.provider.asked[answered].set_result(DONE)
    assert await fetch.task is DONE
    assert fetch.provider.dropped == 1
    assert fetch.clock.sleeping == 0


@pytest.mark.parametrize(("retries", "attempts"), [(0, 1), (1, 2), (2, 3), (3, 4), (10**6, 4)])
async def test_a_silent_provider_is_asked_no_more_often(retries: int, attempts: int) -> None:
    """Than `retries` allow, and than there is time for."""
    fetch = Fetch(retries)
    assert await fetch.after(*[1.25] * 3, 1.2, 0.05, 9.0) == attempts
    assert not fetch.task.done()
    fetch.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetch.task
    assert fetch.provider.dropped == attempts


async def test_a_fault_that_may_pass_waits_for_the_other_attempt() -> None:
    """No further one is made while one is under way, and its answer is as good."""
    fetch = Fetch(retries=3)
    assert await fetch.after(1.25) == 2
    fetch.provider.asked[0].set_exception(PASSING)
    assert await fetch.after(0.5) == 2
    fetch.provider.asked[1].set_result(DONE)
    assert await fetch.task is DONE


async def test_faults_of_both_are_one_fault() -> None:
    """After a pause there is another attempt, while some are left."""
    fetch = Fetch(retries=2)
    assert await fetch.after(1.25) == 2
    for asked in fetch.provider.asked:
        asked.set_exception(PASSING)
    assert await fetch.after(0.1) == 3
    fetch.provider.asked[2].set_exception(PASSING)
    with pytest.raises(FetchError) as caught:
        await fetch.task
    assert caught.value is PASSING


@pytest.mark.parametrize("first", [0, 1])
async def test_a_fault_that_will_not_pass_ends_them_all(first: int) -> None:
    """Whichever attempt it meets."""
    fetch = Fetch(retries=3)
    assert await fetch.after(1.25) == 2
    fetch.provider.asked[first].set_exception(FINAL)
    with pytest.raises(FetchError) as caught:
        await fetch.task
    assert caught.value is FINAL
    assert fetch.provider.dropped == 1


@pytest.mark.parametrize("other", [PASSING, FINAL])
async def test_an_answer_counts_beside_a_fault(other: FetchError) -> None:
    """Even if both come in the same moment."""
    fetch = Fetch(retries=3)
    assert await fetch.after(1.25) == 2
    fetch.provider.asked[0].set_exception(other)
    fetch.provider.asked[1].set_result(DONE)
    assert await fetch.task is DONE


async def test_a_client_that_cancels_is_no_fault() -> None:
    """The cancellation is passed on."""
    fetch = Fetch(retries=3)
    await fetch.after()
    fetch.provider.asked[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetch.task
    assert len(fetch.provider.asked) == 1
