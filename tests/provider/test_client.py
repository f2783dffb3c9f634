"""One GET, whatever it is for; the folder `source` has what all of a refresh makes of it."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from auth_jwks._clock import SYSTEM_CLOCK
from auth_jwks._provider.client import HTTP, NOT_MODIFIED, FetchError, HTTPClient
from auth_jwks.testing import FakeIssuer


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def provider() -> Iterator[FakeIssuer]:
    """Return a provider that serves on loopback."""
    with FakeIssuer(algorithm="ES256") as provider:
        yield provider


def http_of(client: HTTPClient | None = None) -> HTTP:
    """Return what is tested."""
    return HTTP(client, timeout=5.0, clock=SYSTEM_CLOCK)


async def test_headers_are_added_or_replace_ours(provider: FakeIssuer) -> None:
    """What a caller sends goes along, in place of what would be sent."""
    asking = http_of()
    async with asking.client(provider.jwks_uri) as client:
        await asking.get(client, provider.jwks_uri)
        await asking.get(client, provider.jwks_uri, {"accept": "text/plain", "cookie": "a=b"})
    first, second = (request.headers for request in provider.requests)
    assert first["accept"].startswith("application/json, ")
    assert "cookie" not in first
    assert (second["accept"], second["cookie"]) == ("text/plain", "a=b")
    assert second["accept-encoding"] == first["accept-encoding"] == "gzip, identity;q=0.5"


async def test_not_modified_must_have_been_asked_for(provider: FakeIssuer) -> None:
    """A 304 answers `If-None-Match`, and is a failure otherwise."""
    asking = http_of()
    async with asking.client(provider.jwks_uri) as client:
        tag = (await asking.get(client, provider.jwks_uri)).headers["etag"]
        reply = await asking.get(client, provider.jwks_uri, {"if-none-match": tag})
        assert (reply.status, reply.body) == (NOT_MODIFIED, b"")
        provider.outage(304)
        with pytest.raises(FetchError, match="HTTP status 304"):
            await asking.get(client, provider.jwks_uri)


@pytest.mark.parametrize(
    ("status", "transient"), [(302, False), (401, False), (429, True), (500, True)]
)
async def test_a_refusal_tells_its_status(
    provider: FakeIssuer, status: int, *, transient: bool
) -> None:
    """And whether another attempt may help, and when."""
    provider.outage(status, retry_after=7)
    asking = http_of()
    async with asking.client(provider.jwks_uri) as client:
        with pytest.raises(FetchError) as caught:
            await asking.get(client, provider.jwks_uri)
    fault = caught.value
    assert (fault.status, fault.transient, fault.retry_after) == (status, transient, 7)


async def test_a_failure_has_no_status(provider: FakeIssuer) -> None:
    """Without an answer there is none, nor in an answer that can't be used."""
    asking = http_of()
    async with asking.client(provider.jwks_uri) as client:
        provider.junk(b"", encoding="br", times=1)
        for _ in range(2):
            with pytest.raises(FetchError) as caught:
                await asking.get(client, provider.jwks_uri)
            assert caught.value.status is None
            provider.refuse()


def test_a_client_of_ours_is_for_one_use(provider: FakeIssuer) -> None:
    """It is closed after it, so that another event loop gets one of its own."""
    asking = http_of()

    async def use() -> httpx.AsyncClient:
        async with asking.client(provider.jwks_uri) as client:
            assert isinstance(client, httpx.AsyncClient)
            await asking.get(client, provider.jwks_uri)
            return client

    first, second = asyncio.run(use()), asyncio.run(use())
    assert first is not second
    assert first.is_closed
    assert second.is_closed


async def test_a_client_handed_in_stays_open() -> None:
    """It is the one that is used, each time."""
    async with httpx.AsyncClient() as own:
        asking = http_of(own)
        for _ in range(2):
            async with asking.client("https://issuer.test") as client:
                assert client is own
        assert not own.is_closed


FORKING = """
import asyncio, os, threading, time
from auth_jwks import JWKS, KeysUnavailableError

inside, left = threading.Event(), []

def linger(frame, event, argument):
    if event == "c_call" and argument.__name__ == "load_verify_locations":
        inside.set()
        time.sleep(0.05)
        left.append(time.monotonic())

def refresh():
    try:
        asyncio.run(JWKS(jwks_uri="https://127.0.0.1:9/", retries=0).refresh())
    except KeysUnavailableError:
        pass

threading.setprofile(linger)
thread = threading.Thread(target=refresh)
thread.start()
assert inside.wait(60)
if not os.fork():
    os._exit(0)
forked = time.monotonic()
os.wait()
thread.join()
assert left and left[0] <= forked
"""


@pytest.mark.posix
def test_a_fork_waits_for_a_tls_context() -> None:
    """In a child the locks of OpenSSL stay as they were: none may be held by another thread."""
    command = [sys.executable, "-W", "ignore", "-c", FORKING]
    program = subprocess.run(command, capture_output=True, check=False, text=True, timeout=60)
    assert program.returncode == 0, program.stderr


@pytest.mark.parametrize("status", [401, 403])
async def test_credentials_that_are_wanted_are_told(provider: FakeIssuer, status: int) -> None:
    """With the parameter that brings them."""
    asking = http_of()
    provider.outage(status)
    async with asking.client(provider.jwks_uri) as client:
        with pytest.raises(FetchError, match=rf"{status}: if it wants credentials, .* http_cli"):
            await asking.get(client, provider.jwks_uri)
