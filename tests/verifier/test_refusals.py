"""Tokens that are at fault, and how far each of them gets."""

from dataclasses import replace
from typing import Any

import jwt
import pytest

from auth_jwks import UnknownKeyError
from auth_jwks.testing import FakeClock, FakeIssuer
from tests.verifier.maker import KEY, Make


@pytest.mark.parametrize("prefix", ["Bearer ", "bearer ", "BEARER ", "bEaReR   "])
async def test_bearer_is_stripped(make: Make, issuer: FakeIssuer, prefix: str) -> None:
    """In whatever case."""
    assert (await make().verify_token(prefix + issuer.sign()))["sub"] == "alice"


@pytest.mark.parametrize("token", ["", "junk", "a.b", "a.b.c", "Bearer", "é.a.a", "." * 20_000])
async def test_a_malformed_token_is_refused_before_any_request(
    make: Make, issuer: FakeIssuer, token: str
) -> None:
    """PyJWT's `DecodeError` says so."""
    with pytest.raises(jwt.DecodeError):
        await make().verify_token(token)
    assert issuer.requests == ()


@pytest.mark.parametrize("token", [None, 5, b"a.b.c"])
async def test_a_token_is_a_string(make: Make, issuer: FakeIssuer, token: Any) -> None:
    """Anything else is malformed."""
    with pytest.raises(jwt.DecodeError):
        await make().verify_token(token)
    assert issuer.requests == ()


@pytest.mark.parametrize(
    "headers", [{"alg": "none"}, {"alg": "HS256"}, {"kid": 5}, {"kid": "x" * 257}, {"crit": ["x"]}]
)
async def test_a_bad_header_is_refused_before_any_request(
    make: Make, issuer: FakeIssuer, headers: dict[str, object]
) -> None:
    """What no key could make acceptable is not looked up."""
    with pytest.raises(jwt.InvalidTokenError):
        await make().verify_token(issuer.sign(headers=headers))
    assert issuer.requests == ()


async def test_a_forged_token_is_refused(make: Make, issuer: FakeIssuer) -> None:
    """At once: what it sets going, nobody waits for."""
    jwks = make()
    await jwks.refresh()
    issuer.hang()
    for _ in range(3):
        with pytest.raises(jwt.InvalidSignatureError):
            await jwks.verify_token(issuer.forge())
    assert issuer.jwks_requests == 1


async def test_an_unknown_kid_is_refused(make: Make, issuer: FakeIssuer) -> None:
    """After one look at the provider."""
    jwks = make()
    await jwks.refresh()
    with pytest.raises(UnknownKeyError):
        await jwks.verify_token(issuer.sign(key=replace(KEY, kid="other")))
    assert issuer.jwks_requests == 2


@pytest.mark.parametrize("name", ["exp", "iat", "sub"])
async def test_claims_are_required(make: Make, issuer: FakeIssuer, name: str) -> None:
    """By default `exp`, `iat` and `sub`."""
    with pytest.raises(jwt.MissingRequiredClaimError, match=name):
        await make().verify_token(issuer.sign({name: None}))


async def test_required_claims_only_add(make: Make, issuer: FakeIssuer) -> None:
    """Others may be named, and `exp` and a checked `iss` are required regardless."""
    jwks = make(required_claims=())
    await jwks.verify_token(issuer.sign(iat=None, sub=None))
    for name in ("exp", "iss"):
        with pytest.raises(jwt.MissingRequiredClaimError, match=name):
            await jwks.verify_token(issuer.sign({name: None}))
    jwks = make(required_claims=["scope"])
    await jwks.verify_token(issuer.sign(iat=None, sub=None, scope="x"))
    with pytest.raises(jwt.MissingRequiredClaimError, match="scope"):
        await jwks.verify_token(issuer.sign())


@pytest.mark.parametrize(("options", "leeway"), [({}, 30), ({"leeway": 0}, 0), ({"leeway": 5}, 5)])
async def test_times_have_leeway(
    make: Make, clock: FakeClock, issuer: FakeIssuer, options: dict[str, float], leeway: int
) -> None:
    """Thirty seconds, unless told otherwise, on `exp`, `nbf` and `iat`."""
    jwks = make(**options)
    now = int(clock.time())
    for good in ({"exp": now - leeway + 1}, {"nbf": now + leeway}, {"iat": now + leeway}):
        assert await jwks.verify_token(issuer.sign(good))
    with pytest.raises(jwt.ExpiredSignatureError):
        await jwks.verify_token(issuer.sign(exp=now - leeway))
    for name in ("nbf", "iat"):
        with pytest.raises(jwt.ImmatureSignatureError):
            await jwks.verify_token(issuer.sign({name: now + leeway + 1}))
