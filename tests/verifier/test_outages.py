"""The keys can't be had: what is raised, when, and what serves until then."""

import asyncio
import copy
import pickle
from collections.abc import Callable
from dataclasses import replace

import httpx
import pytest

from auth_jwks import IssuerMismatchError, KeysUnavailableError, UnknownKeyError
from auth_jwks.testing import FakeClock, FakeIssuer
from tests.verifier.maker import KEY, Make, landed

FAULTS: dict[str, Callable[[FakeIssuer], None]] = {
    "500": lambda issuer: issuer.outage(500),
    "404": lambda issuer: issuer.outage(404),
    "HTML": lambda issuer: issuer.junk(b"<html>"),
    "no members": lambda issuer: issuer.junk(b"{}"),
    "no keys": lambda issuer: issuer.junk(b'{"keys": []}', on="jwks"),
    "5 MiB": lambda issuer: issuer.junk(b" " * (5 << 20)),
    "redirect": lambda issuer: issuer.redirect("https://other.test/"),
    "refused": lambda issuer: issuer.refuse(),
    "cut off": lambda issuer: issuer.truncate(),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_faulty_provider_makes_the_keys_unavailable(
    make: Make, clock: FakeClock, issuer: FakeIssuer, fault: str
) -> None:
    """When nothing is cached; when something is, it costs nothing."""
    cold, warm = make(), make()
    await warm.verify_token(issuer.sign())
    FAULTS[fault](issuer)
    with pytest.raises(KeysUnavailableError) as caught:
        await cold.verify_token(issuer.sign())
    assert 6 <= caught.value.retry_after <= 7.25
    assert caught.value.__cause__ is caught.value.__context__ is None
    clock.advance(850)
    assert await warm.verify_token(issuer.sign())
    await landed(warm)
    assert warm.status().failure is not None
    clock.advance(100)
    assert await warm.verify_token(issuer.sign())
    assert not warm.status().fresh


@pytest.mark.parametrize(("mode", "deadline"), [("discovery", 4.0), ("direct", 2.0)])
async def test_a_provider_that_hangs_is_given_up_on(
    make: Make, clock: FakeClock, issuer: FakeIssuer, mode: str, deadline: float
) -> None:
    """After `timeout` for each of the documents."""
    jwks_uri = issuer.jwks_uri if mode == "direct" else None
    jwks = make(timeout=2.0, jwks_uri=jwks_uri)
    issuer.hang()
    waiting = asyncio.ensure_future(jwks.verify_token(issuer.sign()))
    await issuer.arrived(1)
    clock.advance(deadline - 0.1)
    await clock.until_sleeping(2)
    assert not waiting.done()
    clock.advance(0.1)
    with pytest.raises(KeysUnavailableError):
        await waiting


@pytest.mark.parametrize("retries", [0, 2])
async def test_a_refresh_has_that_many_retries(
    make: Make, clock: FakeClock, issuer: FakeIssuer, retries: int
) -> None:
    """An error that may pass is worth another attempt."""
    issuer.outage()
    waiting = asyncio.ensure_future(make(retries=retries).verify_token(issuer.sign()))
    while not waiting.done():
        await asyncio.sleep(0)
        clock.advance(0.01)
    with pytest.raises(KeysUnavailableError):
        await waiting
    assert issuer.discovery_requests == retries + 1


async def test_lifetimes_are_as_configured(
    make: Make, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """`cache_ttl` and `max_stale` count from the fetch."""
    jwks = make(cache_ttl=100, max_stale=50)
    await jwks.refresh()
    assert (jwks.status().expires_in, jwks.status().usable_for) == (100, 150)
    issuer.outage()
    clock.advance(149)
    assert await jwks.verify_token(issuer.sign())
    clock.advance(1)
    with pytest.raises(KeysUnavailableError):
        await jwks.verify_token(issuer.sign())


async def test_errors_hold_no_secret(make: Make, issuer: FakeIssuer) -> None:
    """What a handed-in client raises, and what it sends, stays in it."""

    def fail(request: httpx.Request) -> httpx.Response:
        message = f"hunter2 {request.headers}"
        raise ValueError(message)

    secret = {"authorization": "Bearer hunter2"}
    async with httpx.AsyncClient(transport=httpx.MockTransport(fail), headers=secret) as client:
        with pytest.raises(KeysUnavailableError) as caught:
            await make(http_client=client).verify_token(issuer.sign())
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("kind", [KeysUnavailableError, UnknownKeyError, IssuerMismatchError])
async def test_errors_survive_pickling_and_copying(
    make: Make, issuer: FakeIssuer, kind: type[Exception]
) -> None:
    """So that they pass between processes, with all they say."""
    if kind is KeysUnavailableError:
        issuer.outage(retry_after=40)
    if kind is IssuerMismatchError:
        issuer.announce(issuer="https://other.test")
    with pytest.raises(kind) as caught:
        await make().verify_token(issuer.sign(key=replace(KEY, kid="other")))
    error = caught.value
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):  # noqa: S301 - our own
        assert type(twin) is kind
        assert (twin.args, vars(twin)) == (error.args, vars(error))
    if kind is KeysUnavailableError:
        assert vars(error)["retry_after"] == 41
