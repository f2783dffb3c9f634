"""The main job: good tokens, with every kind of key."""

import asyncio
from dataclasses import replace

import jwt
import pytest

from auth_jwks import JWKS, UnknownKeyError
from auth_jwks.testing import FakeClock, FakeIssuer, SigningKey
from tests.verifier.maker import KEY, RSA, Make


async def test_a_token_is_verified(make: Make, issuer: FakeIssuer) -> None:
    """Its claims come back, all of them."""
    claims = await make().verify_token(issuer.sign(scope="read"))
    assert claims.keys() == {"iss", "sub", "iat", "exp", "scope"}
    assert (claims["sub"], claims["scope"]) == ("alice", "read")
    assert (issuer.discovery_requests, issuer.jwks_requests) == (1, 1)


async def test_it_works_over_real_http_with_defaults() -> None:
    """A hundred tokens at once are one discovery and one key set."""
    with FakeIssuer(keys=[RSA, KEY]) as issuer:
        async with JWKS(issuer.discovery_url, issuer=issuer.issuer) as jwks:
            tokens = [issuer.sign(key=key, n=n) for key in (RSA, KEY) for n in range(50)]
            claims = await asyncio.gather(*map(jwks.verify_token, tokens))
            assert [each["n"] for each in claims] == [*range(50)] * 2
        assert (issuer.discovery_requests, issuer.jwks_requests) == (1, 1)


async def test_parameters_may_be_given_by_position() -> None:
    """As code written for 0.4.0 does."""
    with FakeIssuer(keys=[KEY]) as issuer:
        jwks = JWKS(issuer.discovery_url, "api", {"ES256"}, 600, 10, 2.5, 1, False)  # noqa: FBT003 - as of old
        claims = await jwks.verify_token(issuer.sign(aud="api"), "api")
        assert claims["aud"] == "api"
        assert jwks.status().expires_in == pytest.approx(600, abs=5)
        await jwks.close()


@pytest.mark.parametrize(
    "algorithm",
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "ES256K",
     "EdDSA", "Ed25519"],
)  # fmt: skip
async def test_every_asymmetric_algorithm_can_be_named(
    make: Make, issuer: FakeIssuer, algorithm: str
) -> None:
    """Its tokens are verified, forged ones refused."""
    is_rsa = algorithm.startswith(("RS", "PS"))
    key = replace(RSA, algorithm=algorithm) if is_rsa else SigningKey.generate(algorithm)
    issuer.rotate(key, keep=False)
    jwks = make(allowed_algorithms={algorithm})
    assert (await jwks.verify_token(issuer.sign()))["sub"] == "alice"
    with pytest.raises(jwt.InvalidSignatureError):
        await jwks.verify_token(issuer.forge())


@pytest.mark.parametrize("algorithm", ["PS256", "EdDSA", "ES384"])
async def test_other_algorithms_must_be_asked_for(
    make: Make, issuer: FakeIssuer, algorithm: str
) -> None:
    """Without `allowed_algorithms` only RS256 and ES256 are allowed."""
    jwks = make()
    header = {"alg": algorithm}
    with pytest.raises(jwt.InvalidAlgorithmError):
        await jwks.verify_token(issuer.sign(headers=header))
    assert issuer.requests == ()


async def test_a_key_without_alg_serves_what_fits_it(make: Make, issuer: FakeIssuer) -> None:
    """As Entra ID publishes them."""
    issuer.withdraw("first")
    issuer.publish(RSA.jwk(alg=None))
    jwks = make(allowed_algorithms=["RS256", "PS256", "ES256"])
    for algorithm in ("RS256", "PS256"):
        token = issuer.sign(key=replace(RSA, algorithm=algorithm))
        assert (await jwks.verify_token(token))["sub"] == "alice"
    with pytest.raises(UnknownKeyError):
        await jwks.verify_token(issuer.sign(key=replace(KEY, kid="rsa")))


async def test_a_token_without_kid_is_tried_on_four_keys(make: Make, issuer: FakeIssuer) -> None:
    """Of those that fit, the first."""
    issuer.publish(RSA)
    for _ in range(4):
        issuer.publish(SigningKey.generate("ES256"))
    jwks = make()
    good = [issuer.sign(key=key, headers={"kid": None}) for key in (*issuer.keys[:-1], KEY)]
    for token in good * 2:
        assert (await jwks.verify_token(token))["sub"] == "alice"
    for token in (issuer.sign(key=issuer.keys[-1], headers={"kid": None}), issuer.forge()):
        with pytest.raises(jwt.InvalidSignatureError):
            await jwks.verify_token(token)


async def test_a_key_without_a_name_may_be_named_by_tokens(make: Make, issuer: FakeIssuer) -> None:
    """As long as no key has that name."""
    other = SigningKey.generate("ES256")
    issuer.publish(other.jwk(kid=None))
    jwks = make()
    for kid in ("any", "", "first", None):
        token = issuer.sign(key=other, headers={"kid": kid})
        if kid == "first":
            with pytest.raises(jwt.InvalidSignatureError):
                await jwks.verify_token(token)
        else:
            assert (await jwks.verify_token(token))["sub"] == "alice"
    assert issuer.jwks_requests <= 2, "one for the keys, one for the bad signature"


async def test_several_keys_may_share_a_kid(make: Make, issuer: FakeIssuer) -> None:
    """Each is tried."""
    twin = SigningKey.generate("ES256", "first")
    issuer.publish(twin)
    jwks = make()
    for key in (KEY, twin):
        assert (await jwks.verify_token(issuer.sign(key=key)))["sub"] == "alice"
    with pytest.raises(jwt.InvalidSignatureError):
        await jwks.verify_token(issuer.forge())


async def test_members_that_cannot_be_used_are_skipped_alone(
    make: Make, issuer: FakeIssuer
) -> None:
    """Junk, encryption keys and unknown key types spoil nothing."""
    for member in (
        "junk",
        {"kty": "AKP", "kid": "pq"},
        RSA.jwk(use="enc"),
        {"kty": "oct", "k": "x"},
    ):
        issuer.publish(member)
    jwks = make()
    await jwks.verify_token(issuer.sign())
    assert jwks.status().kids == ("first",)
    assert len(jwks.status().skipped) == 4


async def test_a_rotation_is_followed(make: Make, clock: FakeClock, issuer: FakeIssuer) -> None:
    """A token of a new key is verified as soon as it comes."""
    jwks = make()
    await jwks.verify_token(issuer.sign())
    clock.advance(1)
    issuer.rotate()
    assert (await jwks.verify_token(issuer.sign()))["sub"] == "alice"
