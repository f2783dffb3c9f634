"""Against a certified OpenID provider: npm's oidc-provider, started here on loopback."""

import json
from collections.abc import Iterator

import jwt
import pytest

from auth_jwks import JWKS, IssuerMismatchError, UnknownKeyError
from tests.openid import ALGORITHMS, Provider, running


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    """Run one provider for all tests of this module."""
    with running() as provider:
        yield provider


def altered(token: str, segment: int, **members: str) -> str:
    """Return the token with members of its header (0) or payload (1) replaced."""
    segments = token.split(".")
    content = json.loads(jwt.utils.base64url_decode(segments[segment])) | members
    segments[segment] = jwt.utils.base64url_encode(json.dumps(content).encode()).decode()
    return ".".join(segments)


@pytest.mark.parametrize("alg", ALGORITHMS)
async def test_an_access_token_of_each_algorithm_is_verified(provider: Provider, alg: str) -> None:
    """Discovery, the key set and the token fit together, and the claims come out as issued."""
    token = await provider.token(alg)
    async with provider.verifier(alg) as jwks:
        claims = await jwks.verify_token(token)
    assert jwt.get_unverified_header(token)["alg"] == alg
    assert claims == jwt.decode(token, options={"verify_signature": False})
    assert (claims["iss"], claims["aud"]) == (provider.issuer, f"urn:api:{alg}")


async def test_the_published_encryption_key_verifies_nothing(provider: Provider) -> None:
    """The `use: enc` key of the set is left out alone, and a token that names it finds no key."""
    kids = {key["kid"]: key["use"] for key in await provider.published_keys()}
    (encryption,) = (kid for kid, use in kids.items() if use == "enc")
    async with provider.verifier("RS256") as jwks:
        with pytest.raises(UnknownKeyError):
            await jwks.verify_token(altered(await provider.token("RS256"), 0, kid=encryption))
        assert set(jwks.status().kids) == kids.keys() - {encryption}


async def test_a_rotation_is_followed_within_the_key_set_lifetime(provider: Provider) -> None:
    """The first token under a new key is verified at once, and those under the old one still."""
    old = await provider.token("RS256")
    async with provider.verifier("RS256") as jwks:
        await jwks.verify_token(old)
        provider.tell("rotate")
        new = await provider.token("RS256")
        assert (await jwks.verify_token(new))["jti"] != (await jwks.verify_token(old))["jti"]
    kids = {jwt.get_unverified_header(token)["kid"] for token in (old, new)}
    assert len(kids) == 2


async def test_a_withdrawn_key_is_gone_after_a_forced_refresh(provider: Provider) -> None:
    """Once the provider has withdrawn a key and the set is fetched anew, its tokens are refused."""
    token = await provider.token("ES256")
    async with provider.verifier("ES256") as jwks:
        await jwks.verify_token(token)
        provider.tell("rotate")
        provider.tell("withdraw")
        await jwks.refresh(force=True)
        with pytest.raises(UnknownKeyError):
            await jwks.verify_token(token)
        await jwks.verify_token(await provider.token("ES256"))


async def test_a_tampered_token_is_refused(provider: Provider) -> None:
    """A payload changed after signing fails the signature check."""
    forged = altered(await provider.token("ES256"), 1, sub="admin")
    async with provider.verifier("ES256") as jwks:
        with pytest.raises(jwt.InvalidSignatureError):
            await jwks.verify_token(forged)


async def test_a_token_for_another_resource_server_is_refused(provider: Provider) -> None:
    """The audience is the resource server the token was asked for, and no other."""
    async with provider.verifier("RS256") as jwks:
        with pytest.raises(jwt.InvalidAudienceError):
            await jwks.verify_token(await provider.token("ES256"))


async def test_an_issuer_that_is_not_the_configured_one_is_refused(provider: Provider) -> None:
    """A slash too many in the configured issuer, and no key of the provider is trusted."""
    token = await provider.token("RS256")
    async with JWKS(provider.discovery_url, issuer=f"{provider.issuer}/") as jwks:
        with pytest.raises(IssuerMismatchError):
            await jwks.verify_token(token)
