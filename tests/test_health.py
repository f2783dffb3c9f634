"""Readiness: what a probe is answered, and that probes alone make a worker ready."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from auth_jwks import JWKS, Issuers
from auth_jwks.cloudflare import CloudFlareTokenValidation
from auth_jwks.health import readiness
from auth_jwks.sync import SyncIssuers, SyncJWKS
from auth_jwks.testing import FakeClock, FakeIssuer
from tests.web.serving import serving


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock that stands still."""
    return FakeClock()


@pytest.fixture
def issuer(clock: FakeClock) -> Iterator[FakeIssuer]:
    """Return a provider on loopback."""
    with FakeIssuer(algorithm="ES256", clock=clock) as issuer:
        yield issuer


def made(issuer: FakeIssuer, clock: FakeClock, **more: Any) -> JWKS:
    """Return a verifier that tries nothing twice."""
    return JWKS(issuer.discovery_url, issuer=issuer.issuer, retries=0, clock=clock, **more)


async def settled(*verifiers: JWKS) -> None:
    """Return when no refresh is under way."""
    async with asyncio.timeout(60):
        for _ in range(10):  # until what a probe has started is visible
            await asyncio.sleep(0)
        while any(each.status().refreshing for each in verifiers):  # noqa: ASYNC110 - a state
            await asyncio.sleep(0.005)


async def test_a_worker_is_ready_once_it_has_keys(issuer: FakeIssuer, clock: FakeClock) -> None:
    """The probe waits for nothing, and starts what the first token would start."""
    async with made(issuer, clock) as jwks:
        before = readiness(jwks)
        assert (before.ok, before.status) == (False, 503)
        await settled(jwks)
        after = readiness(jwks)
        assert (after.ok, after.status) == (True, 200)
        source = {"source": issuer.discovery_url, "ready": True, "age": 0.0}
        source |= {"usable_for": 87_300.0, "failure": None}
        assert json.loads(json.dumps(after.body)) == {"ready": True, "sources": [source]}
        assert len(issuer.requests) == 2


async def test_an_idle_worker_with_stale_keys_is_ready(
    issuer: FakeIssuer, clock: FakeClock
) -> None:
    """A token would be verified, so it is given some; until then it asks for nothing."""
    async with made(issuer, clock) as jwks:
        await jwks.refresh()
        clock.advance(50_000)
        assert readiness(jwks).ok
        await settled(jwks)
        assert len(issuer.requests) == 2


async def test_probes_ask_no_more_often_than_tokens(issuer: FakeIssuer, clock: FakeClock) -> None:
    """While the provider is down, once in each cool-down."""
    issuer.outage(503)
    async with made(issuer, clock) as jwks:
        for _ in range(20):
            readiness(jwks)
            await settled(jwks)
        assert len(issuer.requests) == 1
        assert readiness(jwks).body["sources"][0]["failure"] == "status"


async def test_probes_alone_make_a_worker_ready(issuer: FakeIssuer, clock: FakeClock) -> None:
    """Behind a real server: the provider is down at the start, and comes back."""
    jwks = made(issuer, clock)

    async def readyz(_request: Request) -> JSONResponse:
        ready = readiness(jwks)
        return JSONResponse(ready.body, ready.status)

    issuer.outage(503)
    app = Starlette(routes=[Route("/readyz", readyz)])
    async with jwks, serving(app) as host, httpx.AsyncClient(trust_env=False) as client:

        async def probed() -> int:
            answer = (await client.get(f"http://{host}/readyz")).status_code
            await settled(jwks)
            return answer

        assert [await probed() for _ in range(3)] == [503, 503, 503]
        issuer.recover()
        assert await probed() == 503, "the cool-down is not over"
        clock.advance(60)
        assert [await probed(), await probed()] == [503, 200]


async def test_one_of_several_issuers_is_enough(issuer: FakeIssuer, clock: FakeClock) -> None:
    """The others' tokens are verified without it. The body names it, and it is tried again."""
    with FakeIssuer(algorithm="ES256", clock=clock) as dead:
        dead.outage(503)
        good, bad = made(issuer, clock), made(dead, clock)
        async with Issuers(good, bad) as issuers:
            assert not readiness(issuers).ok
            await settled(good, bad)
            ready = readiness(issuers)
            assert ready.ok
            assert [each["ready"] for each in ready.body["sources"]] == [True, False]
            dead.recover()
            clock.advance(60)
            assert readiness(issuers).ok
            await settled(good, bad)
            assert [each["ready"] for each in readiness(issuers).body["sources"]] == [True, True]


async def test_a_closed_verifier_is_not_ready(issuer: FakeIssuer, clock: FakeClock) -> None:
    """It refuses every token, and harms no probe."""
    jwks = made(issuer, clock)
    await jwks.refresh()
    await jwks.close()
    assert readiness(jwks).status == 503
    await settled(jwks)


def test_without_an_event_loop_nothing_is_started(issuer: FakeIssuer, clock: FakeClock) -> None:
    """As in a thread of a framework's pool: the answer is true all the same."""
    assert not readiness(made(issuer, clock)).ok
    assert issuer.requests == ()


@pytest.mark.parametrize("several", [False, True])
async def test_a_verifier_for_threads_becomes_ready(
    issuer: FakeIssuer,
    clock: FakeClock,
    several: bool,  # noqa: FBT001 - a parameter
) -> None:
    """Its background loop does the work, wherever the probe is answered."""
    one = SyncJWKS(issuer.discovery_url, issuer=issuer.issuer, retries=0, clock=clock)
    verifier = SyncIssuers(one) if several else one
    with verifier:
        assert not readiness(verifier).ok
        async with asyncio.timeout(60):
            while not readiness(verifier).ok:  # noqa: ASYNC110 - nobody tells of it
                await asyncio.sleep(0.005)


async def test_cloudflares_verifier_has_it_too(clock: FakeClock) -> None:
    """With the keys of the team."""
    team = FakeIssuer(
        issuer="https://team.cloudflareaccess.com", jwks_path="/cdn-cgi/access/certs", clock=clock
    )
    async with (
        httpx.AsyncClient(transport=team.transport()) as client,
        CloudFlareTokenValidation(
            team="team", aud="tag", http_client=client, clock=clock
        ) as access,
    ):
        assert not readiness(access).ok
        await access.refresh()
        assert readiness(access).ok
