"""Who gets a lease of the Redis store, and who is put off, for how long."""

import math
from dataclasses import replace

import pytest

from auth_jwks import RedisKeyStore
from auth_jwks.stores import Answer, Busy, Cause, Cooling, Granted, LeaseRequest, Unchanged
from tests.stores.redis.storing import KEY, Keys, lease


async def unscheduled(store: RedisKeyStore, keys: Keys, known: int) -> Answer:
    """Ask for one unscheduled lease after the other until one is put off, at most three times."""
    answer: Answer = Unchanged()
    for name in "abc":
        request = LeaseRequest(f"unscheduled {name}", 60, "forced")
        answer = await store.poll(KEY, known=known, lease=request)
        if isinstance(answer, Granted):
            keys.redis.delete(keys.gate)
    return answer


@pytest.mark.parametrize(("window", "left"), [(20.0, 20), (0.0, None)])
async def test_the_window_is_that_of_the_last_commit(
    store: RedisKeyStore, keys: Keys, window: float, left: int | None
) -> None:
    """One of no time holds back nobody."""
    known = await store.commit(await lease(store), b"x", ttl=1000, window=window)
    answer = await unscheduled(store, keys, known or 0)
    if left is None:
        assert isinstance(answer, Granted)
    else:
        assert isinstance(answer, Cooling)
        assert answer.reason == "budget"
        assert left - 5 < answer.retry_after <= left


@pytest.mark.parametrize("stored", [None, "", "soon", "-1", "00"])
async def test_the_window_is_ten_seconds_before_the_first_commit(
    store: RedisKeyStore, keys: Keys, stored: str | None
) -> None:
    """And when what is stored is no number."""
    if stored is not None:
        keys.redis.hset(keys.record, "window", stored)
    answer = await unscheduled(store, keys, 0)
    assert isinstance(answer, Cooling)
    assert answer.reason == "budget"
    assert 5 < answer.retry_after <= 10


@pytest.mark.parametrize("cause", ["forced", "repair"])
async def test_unscheduled_leases_of_a_future_do_not_count(
    store: RedisKeyStore, keys: Keys, cause: Cause
) -> None:
    """When the server's clock went back, the budgets are whole."""
    ahead = keys.now + 10_000_000
    for field in ("unscheduled1", "unscheduled2", "repaired"):
        keys.redis.hset(keys.record, field, str(ahead))
    answer = await store.poll(KEY, known=0, lease=LeaseRequest("a", 60, cause))
    assert isinstance(answer, Granted)


@pytest.mark.parametrize("ago", [299, 301])
async def test_repairs_are_one_in_five_minutes(store: RedisKeyStore, keys: Keys, ago: int) -> None:
    """Beside the other budget, by the server's clock."""
    keys.redis.hset(keys.record, "repaired", str(keys.now - ago * 1_000_000))
    answer = await store.poll(KEY, known=0, lease=LeaseRequest("a", 60, "repair"))
    assert isinstance(answer, Granted if ago > 300 else Cooling)


async def test_a_holder_that_takes_long_is_overtaken(store: RedisKeyStore, keys: Keys) -> None:
    """Three seconds after its grant, which a renewal leaves as it is; the budget is spent by it."""
    slow = await lease(store, "slow")
    for seconds, overtaken in ((1, False), (3, True)):
        granted = keys.now - seconds * 1_000_000
        value = f"L:{slow.fence}:{granted}:{keys.now}:60000000:slow"
        keys.redis.set(keys.gate, value, px=60_000)
        assert (await lease(store, "slow")).fence == slow.fence
        answer = await store.poll(KEY, known=0, lease=LeaseRequest("b", 60, "unknown_kid"))
        assert isinstance(answer, Granted if overtaken else Busy)
    assert keys.field("unscheduled1") > slow.fence
    assert isinstance(await store.poll(KEY, known=0, lease=LeaseRequest("slow", 60, "age")), Busy)


async def test_a_commit_forgets_no_fence(store: RedisKeyStore, keys: Keys) -> None:
    """One that was issued later stays the highest, and the next is above it."""
    granted = await lease(store)
    later = granted.fence + 1_000_000_000
    keys.redis.hset(keys.record, "issued", later)
    assert await store.commit(granted, b"x", ttl=1000, window=30) == granted.fence
    assert (await lease(store, "b", known=granted.fence)).fence == later + 1


async def test_a_holder_may_have_the_separator(store: RedisKeyStore) -> None:
    """Holders are compared whole: neither a part nor a longer one is the holder's."""
    granted = await lease(store, "a:b")
    assert (await lease(store, "a:b")).fence == granted.fence
    for other in ("a", "b", "a:b:c", ""):
        await store.fail(replace(granted, holder=other), retry_after=5)
        answer = await store.poll(KEY, known=0, lease=LeaseRequest(other or "x", 60, "age"))
        assert isinstance(answer, Busy)


async def test_a_mismatch_is_shared(store: RedisKeyStore) -> None:
    """With the cool-down, capped at a minute, once two have failed."""
    await store.fail(await lease(store, "c"), retry_after=1)
    await store.fail(await lease(store), retry_after=1e9, mismatch=True)
    answer = await store.poll(KEY, known=0, lease=LeaseRequest("b", 60, "age"))
    assert isinstance(answer, Cooling)
    assert answer.reason == "mismatch"
    assert 50 < answer.retry_after <= 60


@pytest.mark.parametrize("retry_after", [math.nan, -1.0, 0.0])
async def test_a_cool_down_of_no_time_is_over(store: RedisKeyStore, retry_after: float) -> None:
    """Numbers that make no sense are none."""
    await store.fail(await lease(store), retry_after=retry_after)
    request = LeaseRequest("b", 60, "age")
    answers = [await store.poll(KEY, known=0, lease=request) for _ in range(50)]
    assert isinstance(answers[-1], Granted)
