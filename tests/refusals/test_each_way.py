"""What an operator sees of each kind of refusal, whichever way the token was verified."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import jwt
import pytest

from auth_jwks import JWKS, Issuers
from auth_jwks.asgi import JWTAuthMiddleware
from auth_jwks.errors import Reason, reason_of
from auth_jwks.sync import SyncIssuers, SyncJWKS
from auth_jwks.testing import FakeClock, FakeIssuer
from tests.refusals.faults import FAULTS, OF_ISSUERS, PUBLISHED, Diary, Fault
from tests.web.asgi.driving import whoami

SILENT = {Reason.UNAVAILABLE, Reason.MISMATCH}


@dataclass
class Way:
    """One way to have a token verified, and what became of it."""

    verify: Callable[[str], Awaitable[object]]
    counts: Callable[[], dict[str, int]]


@asynccontextmanager
async def by_jwks(url: str, options: dict[str, Any]) -> AsyncIterator[Way]:
    """Verify with a `JWKS`."""
    async with JWKS(url, **options) as jwks:
        yield Way(jwks.verify_token, lambda: dict(jwks.status().verifications))


@asynccontextmanager
async def by_thread(url: str, options: dict[str, Any]) -> AsyncIterator[Way]:
    """Verify with a `SyncJWKS`."""
    with SyncJWKS(url, **options) as jwks:

        async def verify(token: str) -> object:
            return jwks.verify_token(token)

        yield Way(verify, lambda: dict(jwks.status().verifications))


@asynccontextmanager
async def by_issuers(url: str, options: dict[str, Any]) -> AsyncIterator[Way]:
    """Verify with an `Issuers`."""
    async with Issuers(JWKS(url, **options)) as issuers:
        yield Way(
            issuers.verify_token,
            lambda: {**issuers.status()[0].verifications, **issuers.refused},
        )


@asynccontextmanager
async def by_threaded_issuers(url: str, options: dict[str, Any]) -> AsyncIterator[Way]:
    """Verify with a `SyncIssuers`."""
    with SyncIssuers(SyncJWKS(url, **options)) as issuers:

        async def verify(token: str) -> object:
            return issuers.verify_token(token)

        yield Way(verify, lambda: {**issuers.status()[0].verifications, **issuers.refused})


WAYS = [by_jwks, by_thread, by_issuers, by_threaded_issuers]


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock that stands still."""
    return FakeClock()


@pytest.fixture
def issuer(clock: FakeClock) -> Iterator[FakeIssuer]:
    """Return a provider on loopback."""
    with FakeIssuer(keys=[PUBLISHED], clock=clock) as issuer:
        yield issuer


def options_of(fault: Fault, issuer: FakeIssuer, clock: FakeClock) -> dict[str, Any]:
    """Return the options of a verifier that meets the fault."""
    common: dict[str, Any] = {"aud": "api", "issuer": issuer.issuer, "clock": clock, "retries": 0}
    return common | fault.options


def told_at(level: int, caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the lines about refused tokens."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno == level and record.getMessage().startswith("refused a token")
    ]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", [*FAULTS, *OF_ISSUERS])
async def test_each_fault_is_told(
    name: str, way: Any, issuer: FakeIssuer, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """By class, reason and words; in one WARNING and one line at DEBUG; as event, and counted."""
    fault, diary = (FAULTS | OF_ISSUERS)[name], Diary()
    fault.trouble(issuer)
    token = fault.token(issuer)
    async with way(
        issuer.discovery_url, options_of(fault, issuer, clock) | {"observer": diary}
    ) as one:
        with caplog.at_level(logging.DEBUG, "auth_jwks"), pytest.raises(fault.raised) as caught:
            await one.verify(token)
        counts = one.counts()
    assert type(caught.value) is fault.raised
    assert reason_of(caught.value) is fault.reason
    assert fault.matches(str(caught.value)), str(caught.value)
    [event] = diary.refusals
    assert event.reason is fault.reason
    assert event.detail.startswith(str(caught.value))
    assert diary.results == [(event.source, fault.reason)]
    assert counts == {"ok": 0, "seen": 0, fault.reason.value: 1}
    [line] = told_at(logging.DEBUG, caplog)
    assert line.startswith(f"refused a token: {fault.reason}: ")
    assert line.endswith(f"; source: {event.source}")
    assert told_at(logging.WARNING, caplog) == ([] if fault.reason in SILENT else [line])
    assert line.isascii()
    assert line.isprintable()
    if len(token) > 20:
        assert [part for part in token.split(".") if len(part) > 8 and part in caplog.text] == []


@pytest.mark.parametrize("name", [*FAULTS, *OF_ISSUERS])
async def test_nothing_of_it_reaches_the_client(
    name: str, issuer: FakeIssuer, clock: FakeClock
) -> None:
    """The answers are fixed texts, whatever the message says."""
    fault, diary = (FAULTS | OF_ISSUERS)[name], Diary()
    fault.trouble(issuer)
    options = options_of(fault, issuer, clock) | {"observer": diary}
    async with JWKS(issuer.discovery_url, **options) as jwks:
        app = JWTAuthMiddleware(whoami, jwks, realm="shop")
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as client:
            headers = {"Authorization": f"Bearer {fault.token(issuer)}"}
            answer = await client.get("/", headers=headers)
    details = {event.detail for event in diary.refusals}
    assert len(details) == (name != "empty"), "a request without a token asks no verifier"
    assert answer.json() in (
        {"detail": "Invalid token"},
        {"detail": "The token has expired"},
        {"detail": "Temporarily unavailable"},
        {"detail": "Malformed credentials"},
    )
    assert answer.headers.get("WWW-Authenticate", 'Bearer realm="shop", ').startswith(
        'Bearer realm="shop", '
    )
    said = f"{answer.text}{answer.headers}"
    assert [detail for detail in details if detail in said] == []


@pytest.mark.parametrize("way", WAYS)
async def test_what_is_verified_is_counted(
    way: Any, issuer: FakeIssuer, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The first time and later, in whatever case its scheme is; and no line is written."""
    diary = Diary()
    options = options_of(FAULTS["junk"], issuer, clock) | {"observer": [diary, diary]}
    token = issuer.sign(aud="api")
    async with way(issuer.discovery_url, options) as one:
        for text in (token, token, f"Bearer {token}", f"bearer {token}"):
            await one.verify(text)
        with pytest.raises(jwt.DecodeError):
            await one.verify("Bearer junk")
        counts = one.counts()
    assert counts == {"ok": 1, "seen": 3, "opaque": 1}
    results = [result for _, result in diary.results]
    assert results[:8] == ["ok", "ok", *["seen"] * 6]
    assert results[8:] == [Reason.OPAQUE] * (len(results) - 8)
    assert len(caplog.messages) == 1
