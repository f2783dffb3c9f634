"""ID tokens, as their client checks them (OpenID Connect Core §3.1.3.7)."""

from base64 import urlsafe_b64encode
from dataclasses import replace
from hashlib import sha256, sha384, sha512, shake_256
from typing import Any

import jwt
import pytest

from auth_jwks._jose.mldsa import PARAMETER_SETS, is_supported
from auth_jwks.profiles import IDToken
from auth_jwks.testing import FakeClock, FakeIssuer, SigningKey
from tests.verifier.maker import RSA, Make

# The example of OpenID Connect Core, Appendix A.3: an access token, and its at_hash by RS256.
OF_THE_SPECIFICATION = ("jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y", "77QmUPtjPfzWtF2AnpK9RQ")
ED448 = SigningKey.generate("Ed448")
TOKEN = b"token"
# By the key that signs the ID token: the hash of an access token.
HASHES: list[tuple[SigningKey, bytes]] = [
    (SigningKey.generate("RS256"), sha256(TOKEN).digest()),
    (SigningKey.generate("ES256K"), sha256(TOKEN).digest()),
    (SigningKey.generate("ES384"), sha384(TOKEN).digest()),
    (SigningKey.generate("PS512"), sha512(TOKEN).digest()),
    (SigningKey.generate("EdDSA"), sha512(TOKEN).digest()),
    (SigningKey.generate("Ed25519"), sha512(TOKEN).digest()),
    (ED448, shake_256(TOKEN).digest(114)),
    (replace(ED448, algorithm="EdDSA"), shake_256(TOKEN).digest(114)),
    *(
        (SigningKey.generate(name), shake_256(TOKEN).digest(64))
        for name in PARAMETER_SETS
        if is_supported()
    ),
]


@pytest.mark.parametrize("typ", ["JWT", None])
async def test_an_id_token_is_accepted(make: Make, issuer: FakeIssuer, typ: str | None) -> None:
    """With a general type, or without one."""
    jwks = make(profile=IDToken(client_id="web"))
    for claims in ({"aud": "web"}, {"aud": ["web"], "azp": "web"}, {"aud": "web", "at_hash": "x"}):
        for _ in range(2):
            assert await jwks.verify_token(issuer.sign(claims, headers={"typ": typ}))


@pytest.mark.parametrize("typ", ["at+jwt", "logout+jwt", "id+jwt", "", "JWT;v=1"])
async def test_another_type_is_refused(make: Make, issuer: FakeIssuer, typ: str) -> None:
    """Before all an access token, which is often for its client as well."""
    with pytest.raises(jwt.InvalidTokenError, match=r"^typ: expected 'jwt' or none, found "):
        await make().verify_token(
            issuer.sign(aud="web", headers={"typ": typ}), profile=IDToken(client_id="web")
        )


@pytest.mark.parametrize("name", ["iss", "sub", "aud", "exp", "iat"])
async def test_claims_are_required(make: Make, issuer: FakeIssuer, name: str) -> None:
    """Those of OpenID Connect Core §2."""
    token = issuer.sign({"aud": "web"} | {name: None})
    with pytest.raises(jwt.MissingRequiredClaimError, match=name):
        await make().verify_token(token, verify_iss=False, profile=IDToken(client_id="web"))


@pytest.mark.parametrize(
    ("claims", "fault"),
    [
        ({"aud": ["web", "api"]}, jwt.MissingRequiredClaimError),
        ({"aud": ["web", "web"]}, jwt.MissingRequiredClaimError),
        ({"aud": ["web", "api"], "azp": "api"}, jwt.InvalidTokenError),
        ({"aud": "web", "azp": "app"}, jwt.InvalidTokenError),
        ({"aud": "web", "azp": ["web"]}, jwt.InvalidTokenError),
        ({"aud": "web", "azp": ""}, jwt.InvalidTokenError),
        ({"aud": "app", "azp": "web"}, jwt.InvalidAudienceError),
        ({"aud": "web", "nonce": "n"}, jwt.InvalidTokenError),
        (
            {"aud": "web", "events": {"http://schemas.openid.net/event/backchannel-logout": {}}},
            jwt.InvalidTokenError,
        ),
    ],
)
async def test_a_token_for_somebody_else_is_refused(
    make: Make, issuer: FakeIssuer, claims: dict[str, Any], fault: type[Exception]
) -> None:
    """For another client, of another request, or a logout."""
    with pytest.raises(fault) as refused:
        await make(profile=IDToken(client_id="web")).verify_token(issuer.sign(claims))
    assert refused.type is fault


async def test_a_party_that_is_null_is_another(make: Make, issuer: FakeIssuer) -> None:
    """It is there, and names no client."""
    payload = issuer.signing_key.sign(
        f'{{"iss":"{issuer.issuer}","sub":"a","aud":"web","azp":null,"iat":1,"exp":9e9}}'.encode()
    )
    with pytest.raises(jwt.InvalidTokenError, match=r"^azp: "):
        await make().verify_token(payload, profile=IDToken(client_id="web"))


async def test_the_party_of_several_audiences(make: Make, issuer: FakeIssuer) -> None:
    """The client itself."""
    profile = IDToken(client_id="web")
    token = issuer.sign(aud=["api", "web"], azp="web")
    assert await make().verify_token(token, profile=profile)


async def test_a_nonce_is_that_of_the_request(make: Make, issuer: FakeIssuer) -> None:
    """It must be there, and the same."""
    jwks, profile = make(), IDToken(client_id="web", nonce="mine")
    assert await jwks.verify_token(issuer.sign(aud="web", nonce="mine"), profile=profile)
    with pytest.raises(jwt.MissingRequiredClaimError, match="nonce"):
        await jwks.verify_token(issuer.sign(aud="web"), profile=profile)
    for other in ("Mine", "", ["mine"], 5):
        with pytest.raises(jwt.InvalidTokenError, match=r"^nonce: expected that of") as refused:
            await jwks.verify_token(issuer.sign(aud="web", nonce=other), profile=profile)
        assert "mine" not in str(refused.value)


async def test_a_hash_binds_the_access_token(make: Make, issuer: FakeIssuer) -> None:
    """That of the specification's example is the one; others and none are refused."""
    issuer.rotate(RSA)
    access_token, at_hash = OF_THE_SPECIFICATION
    jwks, profile = make(), IDToken(client_id="web", access_token=access_token)
    assert await jwks.verify_token(issuer.sign(aud="web", at_hash=at_hash), profile=profile)
    with pytest.raises(jwt.MissingRequiredClaimError, match="at_hash"):
        await jwks.verify_token(issuer.sign(aud="web"), profile=profile)
    for other in (at_hash.lower(), f"{at_hash}==", at_hash[:-1], "", [at_hash]):
        with pytest.raises(jwt.InvalidTokenError, match=r"^at_hash: ") as refused:
            await jwks.verify_token(issuer.sign(aud="web", at_hash=other), profile=profile)
        assert access_token not in str(refused.value)


@pytest.mark.parametrize(
    ("key", "digest"), HASHES, ids=[f"{key.algorithm}-{len(digest)}" for key, digest in HASHES]
)
async def test_the_hash_is_that_of_the_signature(
    make: Make, issuer: FakeIssuer, key: SigningKey, digest: bytes
) -> None:
    """By the `alg` of the ID token, and where that says only EdDSA by the curve."""
    issuer.rotate(key)
    jwks = make(allowed_algorithms=[key.algorithm])
    half = urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()
    profile = IDToken(client_id="web", access_token=TOKEN.decode())
    assert await jwks.verify_token(issuer.sign(aud="web", at_hash=half), profile=profile)


@pytest.mark.parametrize(("leeway", "max_age"), [(0, 0), (0, 60), (30, 60)])
async def test_the_last_login_has_an_age(
    make: Make, clock: FakeClock, issuer: FakeIssuer, leeway: int, max_age: int
) -> None:
    """Judged at each call, as it grows; the leeway counts both ways."""
    jwks, now = make(leeway=leeway), int(clock.time())
    profile = IDToken(client_id="web", max_age=max_age)
    oldest = issuer.sign(aud="web", auth_time=now - max_age - leeway)
    for good in (oldest, issuer.sign(aud="web", auth_time=float(now + leeway))):
        assert await jwks.verify_token(good, profile=profile)
    with pytest.raises(jwt.ImmatureSignatureError, match="auth_time"):
        await jwks.verify_token(issuer.sign(aud="web", auth_time=now + leeway + 1), profile=profile)
    clock.advance(1)
    with pytest.raises(jwt.InvalidTokenError, match=f"^auth_time: expected the last {max_age} s"):
        await jwks.verify_token(oldest, profile=profile)


async def test_the_last_login_is_a_time(make: Make, issuer: FakeIssuer) -> None:
    """It must be there if its age matters, as a number of whatever size."""
    jwks, profile = make(), IDToken(client_id="web", max_age=60)
    with pytest.raises(jwt.MissingRequiredClaimError, match="auth_time"):
        await jwks.verify_token(issuer.sign(aud="web"), profile=profile)
    odd_ones: list[Any] = ["1700000000", True, [], -(10**400), 10**400, -1e300]
    for odd in odd_ones:
        with pytest.raises(jwt.InvalidTokenError, match="auth_time: "):
            await jwks.verify_token(issuer.sign(aud="web", auth_time=odd), profile=profile)
