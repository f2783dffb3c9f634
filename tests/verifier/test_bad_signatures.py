"""Keys that can't be told by their names: one replaced under its `kid`, tokens without one."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import jwt
import pytest

from auth_jwks import JWKS, KeysUnavailableError
from auth_jwks.testing import FakeClock, FakeIssuer, SigningKey
from tests.verifier.maker import KEY, landed

REUSED = SigningKey.generate("ES256", "first")
NAMELESS: dict[str, Any] = {"headers": {"kid": None}}
LONG = 4_000_000_000


@pytest.fixture
def provider(clock: FakeClock) -> Iterator[FakeIssuer]:
    """Return a provider of one key, over HTTP."""
    with FakeIssuer(keys=[KEY], clock=clock) as issuer:
        yield issuer
        issuer.release()


@pytest.fixture
def jwks(provider: FakeIssuer, clock: FakeClock) -> JWKS:
    """Return a verifier without keys as yet."""
    return JWKS(provider.discovery_url, "api", issuer=provider.issuer, retries=0, clock=clock)


async def test_a_key_that_tokens_do_not_name_is_replaced(
    jwks: JWKS, provider: FakeIssuer, clock: FakeClock
) -> None:
    """The first token of the new key is verified; those of the old one are refused, seen or not."""
    async with jwks:
        old = [provider.sign(aud="api", jti=str(number), **NAMELESS) for number in range(2)]
        assert await jwks.verify_token(old[0])
        clock.advance(1)
        provider.rotate(keep=False)
        new = provider.sign(aud="api", **NAMELESS)
        for _ in range(2):
            assert (await jwks.verify_token(new))["sub"] == "alice"
        assert provider.jwks_requests == 2
        for token in old:
            with pytest.raises(jwt.InvalidSignatureError):
                await jwks.verify_token(token)


async def test_a_key_is_replaced_under_its_name(
    jwks: JWKS, provider: FakeIssuer, clock: FakeClock
) -> None:
    """Its first token is refused and sets a search going; then the old tokens are refused."""
    async with jwks:
        old = [provider.sign(aud="api", exp=LONG, jti=str(number)) for number in range(2)]
        assert await jwks.verify_token(old[0])
        clock.advance(1)
        provider.rotate(REUSED, keep=False)
        new = provider.sign(aud="api")
        with pytest.raises(jwt.InvalidSignatureError):
            await jwks.verify_token(new)
        assert provider.jwks_requests == 1, "it did not wait"
        await landed(jwks)
        assert (await jwks.verify_token(new))["sub"] == "alice"
        assert provider.jwks_requests == 2
        for token in old * 2:
            with pytest.raises(jwt.InvalidSignatureError):
                await jwks.verify_token(token)
        await landed(jwks)
        assert (await jwks.verify_token(new))["sub"] == "alice"


@pytest.mark.parametrize(
    "claims",
    [{"exp": 1}, {"aud": "web"}, {"iss": "https://else.test"}, {"sub": None}, {"nbf": LONG}],
    ids=str,
)
@pytest.mark.parametrize("headers", [None, {"kid": None}], ids=["kid", "no kid"])
async def test_what_its_own_claims_rule_out_is_not_searched_for(
    jwks: JWKS,
    provider: FakeIssuer,
    claims: dict[str, Any],
    headers: dict[str, None] | None,
) -> None:
    """And its signature is the first fault, as PyJWT has it."""
    async with jwks:
        await jwks.refresh()
        provider.reset()
        for _ in range(5):
            with pytest.raises(jwt.InvalidSignatureError):
                await jwks.verify_token(provider.forge({"aud": "api"} | claims, headers=headers))
        await landed(jwks)
        assert provider.requests == ()


async def test_a_cold_start_is_no_way_around_that(jwks: JWKS, provider: FakeIssuer) -> None:
    """The issuer that the provider confirms holds for the search that follows."""
    async with jwks:
        token = provider.sign(aud="api", iss="https://else.test", headers={"kid": "unknown"})
        with pytest.raises(jwt.InvalidIssuerError):
            await jwks.verify_token(token)
        assert provider.jwks_requests == 1


@pytest.mark.parametrize("headers", [None, {"kid": None}], ids=["kid", "no kid"])
async def test_junk_costs_the_provider_two_fetches(
    jwks: JWKS, provider: FakeIssuer, headers: dict[str, None] | None
) -> None:
    """However much of it comes, though each search succeeds."""
    async with jwks:
        await jwks.refresh()
        provider.reset()
        for number in range(100):
            with pytest.raises(jwt.InvalidSignatureError):
                await jwks.verify_token(provider.forge(aud="api", jti=str(number), headers=headers))
            await landed(jwks)
        assert provider.jwks_requests == 2
        assert (await jwks.verify_token(provider.sign(aud="api")))["sub"] == "alice"


async def test_an_outage_refuses_nothing_that_is_held(
    jwks: JWKS, provider: FakeIssuer, clock: FakeClock
) -> None:
    """A token without `kid` that no held key signed may be of a new one: that is a 503."""
    async with jwks:
        await jwks.refresh()
        provider.outage()
        good = provider.sign(aud="api", **NAMELESS)
        with pytest.raises(KeysUnavailableError):
            await jwks.verify_token(provider.forge(aud="api", **NAMELESS))
        with pytest.raises(jwt.InvalidSignatureError):
            await jwks.verify_token(provider.forge(aud="api"))
        assert (await jwks.verify_token(good))["sub"] == "alice"
        provider.recover()
        provider.rotate(replace(REUSED, kid="new"), keep=False)
        clock.advance(10)
        assert (await jwks.verify_token(provider.sign(aud="api", **NAMELESS)))["sub"] == "alice"
