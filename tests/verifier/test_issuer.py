"""Whose token it is: the configured issuer, or that of the discovery document."""

import logging
from typing import Any

import httpx
import jwt
import pytest

from auth_jwks import IssuerMismatchError, KeysUnavailableError
from auth_jwks.testing import FakeClock, FakeIssuer
from tests.verifier.maker import Make, landed


async def test_the_issuer_of_a_token_is_checked(make: Make, issuer: FakeIssuer) -> None:
    """It must be the configured one, to the letter, unless a call waives it."""
    jwks = make()
    for stated in ("https://other.test", issuer.issuer + "/", issuer.issuer.upper()):
        with pytest.raises(jwt.InvalidIssuerError):
            await jwks.verify_token(issuer.sign(iss=stated))
        assert await jwks.verify_token(issuer.sign(iss=stated), verify_iss=False)
        with pytest.raises(jwt.InvalidIssuerError):
            await jwks.verify_token(issuer.sign(iss=stated))
    assert await jwks.verify_token(issuer.sign(iss=None), verify_iss=False)


async def test_without_issuer_that_of_the_discovery_document_is_trusted(
    make: Make, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """Whatever it is, and from one refresh to the next."""
    jwks = make(issuer=None)
    with pytest.raises(jwt.InvalidIssuerError):
        await jwks.verify_token(issuer.sign(iss="https://other.test"))
    assert await jwks.verify_token(issuer.sign())
    assert jwks.status().issuer == issuer.issuer
    issuer.announce(issuer="https://other.test")
    clock.advance(1)
    await jwks.refresh(force=True)
    assert await jwks.verify_token(issuer.sign(iss="https://other.test"))
    with pytest.raises(jwt.InvalidIssuerError):
        await jwks.verify_token(issuer.sign())


async def test_a_jwks_uri_wins_over_discovery(make: Make, issuer: FakeIssuer) -> None:
    """Discovery is never asked, whatever it would say."""
    issuer.announce(issuer="https://other.test", jwks_uri="https://other.test/jwks")
    jwks = make(jwks_uri=issuer.jwks_uri)
    assert await jwks.verify_token(issuer.sign())
    with pytest.raises(jwt.InvalidIssuerError):
        await jwks.verify_token(issuer.sign(iss="https://other.test"))
    await jwks.refresh(force=True)
    assert (issuer.discovery_requests, issuer.jwks_requests) == (0, 2)


async def test_in_direct_mode_without_issuer_none_is_checked(
    make: Make, issuer: FakeIssuer
) -> None:
    """As the warning said."""
    jwks = make(discovery_url=None, jwks_uri=issuer.jwks_uri, issuer=None)
    for stated in (issuer.issuer, "https://other.test", None):
        assert await jwks.verify_token(issuer.sign(iss=stated))


async def test_another_issuer_is_refused_before_its_keys(
    make: Make, clock: FakeClock, issuer: FakeIssuer, caplog: pytest.LogCaptureFixture
) -> None:
    """A discovery document that differs by a slash is refused: an ERROR, and no key is fetched."""
    jwks = make(aud="api", issuer=issuer.issuer + "/")
    for _ in range(3):
        with pytest.raises(IssuerMismatchError, match=r"^issuer: ") as caught:
            await jwks.verify_token(issuer.sign(aud="api"))
        assert isinstance(caught.value, jwt.InvalidTokenError)
    with pytest.raises(IssuerMismatchError):
        await jwks.refresh(force=True)
    assert (issuer.discovery_requests, issuer.jwks_requests) == (2, 0), "the last was forced"
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2
    clock.advance(20)
    with pytest.raises(IssuerMismatchError):
        await jwks.refresh()
    assert issuer.discovery_requests == 3


async def test_an_issuer_that_changes_is_never_papered_over(
    make: Make, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """Fresh keys serve to their end; then every call fails, until the document is mended."""
    jwks = make(cache_ttl=900)
    token = issuer.sign(exp=int(clock.time()) + 86_400)
    await jwks.verify_token(token)
    issuer.announce(issuer="https://other.test")
    for wait in (850, 40, 9):
        clock.advance(wait)
        assert await jwks.verify_token(token)
        await landed(jwks)
    assert issuer.discovery_requests > 1
    for wait in (1, 1, 60, 600):
        clock.advance(wait)
        with pytest.raises(IssuerMismatchError):
            await jwks.verify_token(token)
    assert issuer.jwks_requests == 1
    issuer.announce(issuer=issuer.issuer)
    clock.advance(310)
    assert await jwks.verify_token(token)
    assert jwks.status().fresh


@pytest.mark.parametrize(
    "said", [{"issuer": None}, {"issuer": ""}, {"issuer": 5}, {"jwks_uri": None}, {"jwks_uri": ""}]
)
@pytest.mark.parametrize("expected", ["https://issuer.test", None])
async def test_a_discovery_document_must_say_both(
    make: Make, issuer: FakeIssuer, said: dict[str, object], expected: str | None
) -> None:
    """Without `issuer` or `jwks_uri` there are no keys to trust."""
    issuer.announce(**said)
    with pytest.raises(KeysUnavailableError):
        await make(issuer=expected).verify_token(issuer.sign())
    assert issuer.jwks_requests == 0


@pytest.mark.parametrize(
    ("advertised", "fix_local_url", "asked"),
    [
        ("http://keycloak:8080/jwks", True, "https://issuer.test/jwks"),
        ("http://keycloak:8080/jwks", False, None),
        ("https://keycloak:8080/jwks", False, "https://keycloak:8080/jwks"),
        ("https://www.keys.test/jwks", True, "https://www.keys.test/jwks"),
        ("http://www.keys.test/jwks", True, None),
    ],
)
async def test_local_urls_are_repaired_and_public_ones_left_alone(
    issuer: FakeIssuer, make: Make, advertised: str, *, fix_local_url: bool, asked: str | None
) -> None:
    """A name of the provider's own network is replaced; https never becomes http."""
    asks: list[str] = []

    async def note(request: httpx.Request) -> None:
        asks.append(str(request.url))

    issuer.announce(jwks_uri=advertised)
    hooks: dict[str, Any] = {"request": [note]}
    async with httpx.AsyncClient(transport=issuer.transport(), event_hooks=hooks) as client:
        jwks = make(fix_local_url=fix_local_url, http_client=client)
        if asked is None:
            with pytest.raises(KeysUnavailableError):
                await jwks.verify_token(issuer.sign())
        else:
            await jwks.verify_token(issuer.sign())
    assert asks[1:] == ([] if asked is None else [asked])
