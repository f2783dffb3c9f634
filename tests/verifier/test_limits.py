"""What a deployment may move: how long a token is, and whether a number may be its `sub`."""

from typing import Any

import jwt
import pytest
from jwt.exceptions import InvalidSubjectError

from auth_jwks.sync import SyncJWKS
from auth_jwks.testing import FakeClock, FakeIssuer
from tests.verifier.maker import Make
from tests.verifier.test_repeated_tokens import checks


@pytest.mark.parametrize("length", [600, 12_000, 28_000, 45_000])
async def test_a_token_is_as_long_as_it_may_be(make: Make, issuer: FakeIssuer, length: int) -> None:
    """And not a character longer, whatever stands in front; nothing is fetched for one that is."""
    token = issuer.sign(pad="a" * length)
    short = make(max_token_length=len(token) - 1)
    told = f"^the token is longer than {len(token) - 1} characters"
    for spelled in (token, f"Bearer {token}", f"Bearer   {token}  ", "." * 200_000):
        with pytest.raises(jwt.DecodeError, match=told):
            await short.verify_token(spelled)
    assert issuer.requests == ()
    jwks = make(max_token_length=len(token))
    for spelled in (token, f"Bearer {token}", f"bearer  {token} "):
        with checks() as checked:
            assert (await jwks.verify_token(spelled))["sub"] == "alice"
        assert len(checked) == (spelled is token), "it is remembered, at any length"


async def test_one_verifier_says_nothing_of_another(make: Make, issuer: FakeIssuer) -> None:
    """Each has limits and a memory of its own."""
    token = issuer.sign(pad="a" * 15_000)
    assert await make(max_token_length=25_000).verify_token(token)
    with pytest.raises(jwt.DecodeError, match="longer than 16384 characters"):
        await make().verify_token(token)


async def test_a_long_token_has_no_longer_header(make: Make, issuer: FakeIssuer) -> None:
    """What is read before the signature stays as short as ever."""
    jwks = make(max_token_length=61_440)
    with pytest.raises(jwt.DecodeError, match="the header is longer than 8192 characters"):
        await jwks.verify_token(issuer.sign(headers={"pad": "a" * 8192}))
    assert issuer.requests == ()


@pytest.mark.parametrize("subject", [0, 7, -7, 2**70])
async def test_a_number_may_be_a_subject(make: Make, issuer: FakeIssuer, subject: int) -> None:
    """It is returned as it is, from the memory of seen tokens too, and only if that is allowed."""
    jwks, strict, token = make(numeric_sub=True), make(), issuer.sign(sub=subject)
    for _ in range(3):
        found = (await jwks.verify_token(token))["sub"]
        assert (found, type(found)) == (subject, int)
        with pytest.raises(InvalidSubjectError):
            await strict.verify_token(token)
    assert (await jwks.verify_token(issuer.sign(sub=str(subject))))["sub"] == str(subject)


@pytest.mark.parametrize("subject", [True, False, 7.0, [7]])
async def test_only_an_integer_is_such_a_number(
    make: Make, issuer: FakeIssuer, subject: object
) -> None:
    """A boolean is none of JSON's numbers, and nobody's name has a fraction."""
    with pytest.raises(InvalidSubjectError):
        await make(numeric_sub=True).verify_token(issuer.sign(sub=subject))


def test_threads_have_the_same_limits(issuer: FakeIssuer, clock: FakeClock) -> None:
    """`SyncJWKS` heeds both."""
    limits: dict[str, Any] = {"max_token_length": 20_000, "numeric_sub": True, "clock": clock}
    with issuer, SyncJWKS(issuer.discovery_url, issuer=issuer.issuer, **limits) as jwks:
        assert jwks.verify_token(issuer.sign(sub=7, pad="a" * 14_000))["sub"] == 7
        with pytest.raises(jwt.DecodeError, match="longer than 20000 characters"):
            jwks.verify_token("a" * 20_001)
