"""Tokens seen before: verified faster, judged alike."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import jwt
import pytest

from auth_jwks import KeysUnavailableError, UnknownKeyError
from auth_jwks._jose.tokens import signer
from auth_jwks.testing import FakeClock, FakeIssuer, SigningKey
from tests.verifier.maker import Make, landed


@contextmanager
def checks() -> Iterator[list[str]]:
    """Collect the checks of signatures."""
    found: list[str] = []

    def note(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call" and frame.f_code is signer.__code__:
            found.append(event)

    sys.setprofile(note)
    try:
        yield found
    finally:
        sys.setprofile(None)


async def test_claims_are_the_callers_own(make: Make, issuer: FakeIssuer) -> None:
    """What one caller does to them no other sees."""
    jwks, token = make(), issuer.sign(roles=["user"])
    for _ in range(3):
        claims = await jwks.verify_token(token)
        assert claims["roles"] == ["user"]
        claims["roles"].append("admin")


@pytest.mark.parametrize("token_cache_size", [0, 1, 1024])
async def test_a_token_seen_before_is_judged_anew(
    make: Make, clock: FakeClock, issuer: FakeIssuer, token_cache_size: int
) -> None:
    """By its times, the audience and the issuer: the cache can't change an answer."""
    jwks, token = make(token_cache_size=token_cache_size), issuer.sign(aud="api")
    for _ in range(2):
        assert await jwks.verify_token(token)
        assert await jwks.verify_token(token, "api", verify_iss=False)
        with pytest.raises(jwt.InvalidAudienceError):
            await jwks.verify_token(token, "web")
    clock.advance(331)
    with pytest.raises(jwt.ExpiredSignatureError):
        await jwks.verify_token(token)


async def test_a_call_with_the_verifier_s_own_audience_is_no_other(
    make: Make, issuer: FakeIssuer
) -> None:
    """The token is remembered once for both, and again for a call that wants something else."""
    jwks, token = make(aud=["api", "web"]), issuer.sign(aud="api")
    await jwks.verify_token(token)
    for audience, count in ((["web", "api"], 0), ("api", 1), ("api", 0)):
        with checks() as checked:
            await jwks.verify_token(token, audience)
        assert len(checked) == count
    with checks() as checked:
        await jwks.verify_token(token, ["web", "api"], verify_iss=False)
    assert len(checked) == 1


@pytest.mark.parametrize("scheme", ["", "Bearer", "bearer", "BEARER"])
async def test_a_scheme_makes_no_other_token(make: Make, issuer: FakeIssuer, scheme: str) -> None:
    """Nor do blanks, so that one token can't take the places of all others."""
    jwks = make(token_cache_size=2)
    token, other = issuer.sign(jti="1"), issuer.sign(jti="2")
    await jwks.verify_token(other)
    await jwks.verify_token(token)
    for blanks in range(1, 50):
        spelled = f"{scheme}{' ' * blanks}{token}{' ' * blanks}" if scheme else token
        with checks() as checked:
            assert (await jwks.verify_token(spelled))["jti"] == "1"
            assert (await jwks.verify_token(other))["jti"] == "2"
        assert checked == []


async def test_a_token_seen_before_dies_with_its_key(
    make: Make, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """A withdrawn key verifies nothing any more, nor does another one under its `kid`."""
    jwks, token = make(), issuer.sign()
    await jwks.verify_token(token)
    clock.advance(1)
    issuer.rotate(SigningKey.generate("ES256", "first"), keep=False)
    await jwks.refresh(force=True)
    with pytest.raises(jwt.InvalidSignatureError):
        await jwks.verify_token(token)
    clock.advance(1)
    issuer.rotate(keep=False)
    await jwks.refresh(force=True)
    with pytest.raises(UnknownKeyError):
        await jwks.verify_token(token)


async def test_a_token_seen_before_keeps_the_keys_fresh(
    make: Make, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """Repeated tokens alone drive the refreshes, and are no way around the end of the keys."""
    jwks = make(max_stale=100)
    token = issuer.sign(exp=int(clock.time()) + 86_400)
    await jwks.verify_token(token)
    clock.advance(850)
    await jwks.verify_token(token)
    await landed(jwks)
    assert issuer.jwks_requests == 2
    issuer.outage()
    clock.advance(1001)
    with pytest.raises(KeysUnavailableError):
        await jwks.verify_token(token)
