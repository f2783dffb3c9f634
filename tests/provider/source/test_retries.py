"""What is tried again, how often, and after which pauses."""

import asyncio
from collections.abc import Callable
from email.utils import formatdate

import httpx
import pytest

from auth_jwks._provider.client import MAX_BODY, FetchError
from auth_jwks.testing import FakeClock, FakeIssuer, SigningKey
from tests.provider.source.asking import URI, SkippingClock, answering, client_of, source


@pytest.mark.parametrize("status", [429, 500, 501, 502, 503, 504, 522, 599])
@pytest.mark.parametrize("pick", [min, max])
async def test_what_may_pass_is_tried_again(
    key: SigningKey, clock: SkippingClock, status: int, pick: Callable[[float, float], float]
) -> None:
    """429 and 5xx: up to `retries` more attempts, after a back-off that doubles, with jitter."""
    issuer = FakeIssuer(keys=[key])
    issuer.outage(status)
    async with client_of(issuer) as client:
        asking = source(
            jwks_uri=issuer.jwks_uri, http_client=client, retries=5, clock=clock, uniform=pick
        )
        with pytest.raises(FetchError, match=f"HTTP status {status}"):
            await asking.fetch(None)
    assert issuer.jwks_requests == 6
    share = pick(0.5, 1.0)
    assert clock.pauses == pytest.approx([share * pause for pause in (0.1, 0.2, 0.4, 0.8, 1.0)])


async def test_the_back_off_is_drawn_at_random(provider: FakeIssuer, clock: SkippingClock) -> None:
    """By default, between half of it and all of it."""
    provider.outage(times=2)
    await source(jwks_uri=provider.jwks_uri, retries=2, clock=clock).fetch(None)
    assert [round(pause, 9) for pause in clock.pauses] != [0.1, 0.2]
    assert 0.05 <= clock.pauses[0] <= 0.1 <= clock.pauses[1] <= 0.2


@pytest.mark.parametrize("status", [204, 302, 304, 400, 401, 403, 404, 410])
async def test_what_will_not_pass_is_not_tried_again(
    key: SigningKey, clock: SkippingClock, status: int
) -> None:
    """Other answers are final."""
    issuer = FakeIssuer(keys=[key])
    issuer.outage(status)
    async with client_of(issuer) as client:
        asking = source(jwks_uri=issuer.jwks_uri, http_client=client, retries=3, clock=clock)
        with pytest.raises(FetchError, match=f"HTTP status {status}"):
            await asking.fetch(None)
    assert (issuer.jwks_requests, clock.pauses) == (1, [])


async def test_each_document_has_its_attempts(provider: FakeIssuer, clock: SkippingClock) -> None:
    """An answer that comes in the end is as good as one that comes at once."""
    provider.outage(times=2, on="discovery")
    provider.refuse(times=1, on="jwks")
    provider.truncate(times=2, on="jwks")
    asking = source(discovery_url=provider.discovery_url, retries=2, clock=clock)
    await asking.fetch(None)
    assert (provider.discovery_requests, provider.jwks_requests) == (3, 3)


@pytest.mark.parametrize("mode", ["discovery_url", "jwks_uri"])
async def test_an_answer_that_is_lost_costs_no_more_than_another_attempt(
    provider: FakeIssuer, mode: str
) -> None:
    """In either mode, and well before the deadline."""
    provider.hang(times=1)
    clock = FakeClock()
    asking = source(**{mode: getattr(provider, mode)}, retries=1, clock=clock)
    fetch = asyncio.ensure_future(asking.fetch(None))
    await provider.arrived(1)
    clock.advance(1.25)
    assert (await fetch).uri == provider.jwks_uri
    assert (provider.jwks_requests, provider.discovery_requests) in {(2, 0), (1, 2)}


async def test_a_slow_provider_is_waited_for(provider: FakeIssuer) -> None:
    """An attempt that takes long is not cut off for the sake of another."""
    provider.hang()
    clock = FakeClock()
    fetch = asyncio.ensure_future(
        source(jwks_uri=provider.jwks_uri, retries=3, clock=clock).fetch(None)
    )
    for count in range(1, 5):
        await provider.arrived(count)
        clock.advance(1.2499 if count == 4 else 1.25)
    provider.release()
    await fetch
    assert provider.jwks_requests == 4


async def test_without_retries_there_is_one_attempt(
    provider: FakeIssuer, clock: SkippingClock
) -> None:
    """`retries=0` means it."""
    provider.outage(times=1)
    with pytest.raises(FetchError):
        await source(jwks_uri=provider.jwks_uri, retries=0, clock=clock).fetch(None)
    assert (provider.jwks_requests, clock.pauses) == (1, [])


async def test_attempts_end_with_the_deadline(key: SigningKey, clock: SkippingClock) -> None:
    """A pause that would outlast the deadline is not begun."""
    issuer, began = FakeIssuer(keys=[key]), clock.monotonic()
    issuer.outage()
    async with client_of(issuer) as client:
        asking = source(
            jwks_uri=issuer.jwks_uri, http_client=client, retries=10**6, clock=clock, uniform=max
        )
        with pytest.raises(FetchError, match="HTTP status 503"):
            await asking.fetch(None)
    assert clock.pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 1, 1, 1])
    assert clock.monotonic() - began < asking.deadline


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("in_seconds", [True, False])
async def test_retry_after_is_obeyed(
    provider: FakeIssuer, clock: SkippingClock, status: int, *, in_seconds: bool
) -> None:
    """In seconds or as a date, it replaces the back-off."""
    date = formatdate(clock.time() + 2, usegmt=True)
    provider.outage(status, retry_after=2 if in_seconds else date, times=1)
    await source(jwks_uri=provider.jwks_uri, retries=3, clock=clock).fetch(None)
    assert clock.pauses == [2]


@pytest.mark.parametrize("value", ["0", "soon", "-1", "Thu, 01 Jan 1970 00:00:00 GMT"])
async def test_a_useless_retry_after_is_ignored(
    provider: FakeIssuer, clock: SkippingClock, value: str
) -> None:
    """Nobody is asked again without a pause."""
    provider.outage(retry_after=value, times=1)
    await source(jwks_uri=provider.jwks_uri, retries=3, clock=clock, uniform=max).fetch(None)
    assert clock.pauses == [0.1]


@pytest.mark.parametrize("status", [429, 503, 404])
async def test_a_long_retry_after_gives_up_at_once(
    provider: FakeIssuer, clock: SkippingClock, status: int
) -> None:
    """Beyond the deadline there is nothing to wait for; the error says when to come back."""
    provider.outage(status, retry_after=5)
    with pytest.raises(FetchError) as caught:
        await source(jwks_uri=provider.jwks_uri, retries=3, clock=clock).fetch(None)
    assert caught.value.retry_after == 5
    assert (provider.jwks_requests, clock.pauses) == (1, [])


@pytest.mark.parametrize(
    ("headers", "body"),
    [({"Content-Encoding": "br"}, b"<html>"), ({}, bytes(MAX_BODY + 1))],
    ids=["unknown encoding", "too large"],
)
async def test_the_body_of_an_error_does_not_matter(
    headers: dict[str, str], body: bytes, clock: SkippingClock
) -> None:
    """An error page that could not be read as a key set still is an outage, with its date."""
    page = httpx.ByteStream(body)
    fault = httpx.Response(503, headers={**headers, "Retry-After": "1"}, stream=page)
    async with answering(fault, httpx.Response(200, json={})) as client:
        asking = source(jwks_uri=URI, http_client=client, retries=1, clock=clock)
        await asking.fetch(None)
    assert clock.pauses == [1]
