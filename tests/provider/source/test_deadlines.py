"""When a fetch ends, and what is left open then: nothing."""

import asyncio
import contextlib
import time

import httpx
import pytest

from auth_jwks._provider.client import MAX_BODY, FetchError
from auth_jwks.testing import FakeClock, FakeIssuer
from tests.provider.source.asking import URI, SkippingClock, said, source
from tests.provider.source.wire import chunked, wire

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
SILENCE = b""
STAMMER = ANSWER[:-1]


@pytest.mark.parametrize("mode", ["discovery_url", "jwks_uri"])
@pytest.mark.parametrize("fault", ["hang", "drip"])
async def test_the_deadline_ends_every_fetch(provider: FakeIssuer, mode: str, fault: str) -> None:
    """No answer, or one byte at a time: the fetch ends at the deadline, and not before."""
    getattr(provider, fault)()
    clock = FakeClock()
    asking = source(**{mode: getattr(provider, mode)}, clock=clock)
    fetch = asyncio.ensure_future(asking.fetch(None))
    await provider.arrived()
    clock.advance(asking.deadline - 0.1)
    await asyncio.sleep(0.01)
    assert not fetch.done()
    clock.advance(0.1)
    with pytest.raises(FetchError) as caught:
        await fetch
    assert caught.value.reason == f"no answer within {asking.deadline:g} s"
    said(caught.value)


@pytest.mark.parametrize(("fault", "arguments"), [("hang", ()), ("drip", (0.01,)), ("slow", (9,))])
async def test_the_deadline_holds_on_the_real_clock(
    provider: FakeIssuer, fault: str, arguments: tuple[float, ...]
) -> None:
    """A read timeout of httpx's, which starts anew with every byte, is not enough."""
    getattr(provider, fault)(*arguments)
    began = time.monotonic()
    with pytest.raises(FetchError):
        await source(jwks_uri=provider.jwks_uri, timeout=0.05, retries=3).fetch(None)
    assert 0.04 < time.monotonic() - began < 2


@pytest.mark.parametrize(
    "answer",
    [ANSWER, ANSWER.replace(b"200", b"500"), chunked([bytes(MAX_BODY)] * 2), STAMMER],
    ids=["success", "failure", "too large", "deadline"],
)
async def test_no_connection_outlives_a_fetch(answer: bytes) -> None:
    """A client of our own leaves nothing open, whatever came of it."""
    async with wire(answer) as served:
        clock = FakeClock()
        fetch = asyncio.ensure_future(source(jwks_uri=served.url, clock=clock).fetch(None))
        await served.asked.wait()
        if answer == STAMMER:
            clock.advance(5)
        with contextlib.suppress(FetchError):
            await fetch
        await served.deserted()


@pytest.mark.parametrize("answer", [SILENCE, STAMMER], ids=["before the answer", "amid the body"])
async def test_a_cancelled_fetch_stops_at_once(answer: bytes) -> None:
    """The cancellation is passed on, not turned into a failure, and the connection is closed."""
    async with wire(answer) as served:
        fetch = asyncio.ensure_future(source(jwks_uri=served.url, retries=3).fetch(None))
        await served.asked.wait()
        fetch.cancel()
        with pytest.raises(asyncio.CancelledError):
            await fetch
        await served.deserted()
    assert served.requests == 1


async def test_a_cancellation_by_the_client_is_passed_on(clock: SkippingClock) -> None:
    """It is no failure of the provider's, and not tried again."""

    def answer(_: httpx.Request) -> httpx.Response:
        raise asyncio.CancelledError

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        asking = source(jwks_uri=URI, http_client=client, retries=1, clock=clock)
        with pytest.raises(asyncio.CancelledError):
            await asking.fetch(None)
    assert clock.pauses == []


def test_a_source_outlives_its_event_loop(provider: FakeIssuer) -> None:
    """A second loop can go on where the first one ended."""
    asking = source(discovery_url=provider.discovery_url)
    held = asyncio.run(asking.fetch(None))
    assert asyncio.run(asking.fetch(held)) == held
    assert asyncio.run(asking.fetch(None)) == held
