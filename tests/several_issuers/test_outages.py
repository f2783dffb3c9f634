"""An outage of one provider is none of another."""

import jwt
import pytest

from auth_jwks import IssuerMismatchError, Issuers, KeysUnavailableError
from auth_jwks.testing import FakeClock, FakeIssuer
from tests.several_issuers.pair import Make, fetches

Pair = tuple[FakeIssuer, FakeIssuer]


@pytest.mark.parametrize("down", [0, 1])
async def test_an_outage_touches_one_issuer_s_tokens(
    issuers: Issuers, pair: Pair, down: int
) -> None:
    """They are not blamed; the other's are verified, or refused for what is wrong with them."""
    away, here = pair[down], pair[1 - down]
    away.outage(retry_after=30)
    for _ in range(2):
        with pytest.raises(KeysUnavailableError) as refused:
            await issuers.verify_token(away.sign())
        assert refused.value.retry_after >= 30
        assert await issuers.verify_token(here.sign())
        with pytest.raises(jwt.InvalidSignatureError):
            await issuers.verify_token(here.forge())
        with pytest.raises(jwt.InvalidIssuerError):
            await issuers.verify_token(away.sign(iss="https://c.example"))
        with pytest.raises(jwt.InvalidSignatureError):
            await issuers.verify_token(away.sign(iss=here.issuer))
    states = issuers.status()
    assert [status.failure is None for status in states] == [down == 1, down == 0]


async def test_another_provider_s_name_is_one_provider_s_fault(
    issuers: Issuers, pair: Pair
) -> None:
    """Even if it is the name that the other one has."""
    a, b = pair
    a.announce(issuer=b.issuer)
    with pytest.raises(IssuerMismatchError):
        await issuers.verify_token(a.sign())
    for _ in range(2):
        with pytest.raises(jwt.InvalidSignatureError):
            await issuers.verify_token(a.sign(iss=b.issuer))
        assert await issuers.verify_token(b.sign())


async def test_stale_keys_of_one_issuer_keep_nobody_waiting(
    make: Make, clock: FakeClock, pair: Pair
) -> None:
    """Each has its own age and its own cool-down."""
    a, b = pair
    issuers = Issuers(make(a, max_stale=0), make(b, max_stale=3600))
    exp = int(clock.time()) + 86_400
    of_a, of_b = a.sign(exp=exp), b.sign(exp=exp)
    for token in (of_a, of_b):
        await issuers.verify_token(token)
    for provider in pair:
        provider.outage()
    clock.advance(1000)
    with pytest.raises(KeysUnavailableError):
        await issuers.verify_token(of_a)
    assert (await issuers.verify_token(of_b))["iss"] == b.issuer
    asked = fetches(pair)
    with pytest.raises(KeysUnavailableError):
        await issuers.verify_token(of_a)
    assert fetches(pair) == asked
