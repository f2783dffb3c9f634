"""What `SyncJWKS` does as `JWKS` does: its answers, its state, its end."""

import asyncio
from typing import Any

import pytest

from auth_jwks import JWKS, KeysUnavailableError
from auth_jwks.sync import SyncJWKS
from auth_jwks.testing import FakeClock, FakeIssuer, SigningKey
from tests.sync.threads import Make, outcome, threads


@pytest.mark.parametrize(
    ("options", "audience", "verify_iss"),
    [
        ({}, None, True),
        ({"aud": "api"}, None, True),
        ({"aud": "api"}, ["web"], False),
        ({"aud": "api"}, "", "no"),
    ],
)
def test_the_answers_are_those_of_the_other(
    make: Make,
    clock: FakeClock,
    issuer: FakeIssuer,
    options: dict[str, Any],
    audience: Any,
    verify_iss: Any,
) -> None:
    """For all kinds of tokens, the first time and the second."""
    jwks = make(**options)
    other = JWKS(issuer.discovery_url, issuer=issuer.issuer, retries=0, clock=clock, **options)

    async def verify(token: str) -> dict[str, Any]:
        return await other.verify_token(token, audience, verify_iss=verify_iss)

    def ours(token: str) -> tuple[str, str]:
        return outcome(lambda: jwks.verify_token(token, audience, verify_iss=verify_iss))

    def theirs(token: str) -> tuple[str, str]:
        return outcome(lambda: asyncio.run(verify(token)))

    tokens = all_kinds(issuer) * 2
    answers = [ours(token) for token in tokens]
    assert answers == [theirs(token) for token in tokens]
    assert len({answer[0] for answer in answers}) > 5 or audience == ""


def all_kinds(issuer: FakeIssuer) -> list[Any]:
    """Return good and bad tokens, and what is none."""
    return [
        issuer.sign(),
        "bEaReR " + issuer.sign(aud="api"),
        issuer.sign(aud="web"),
        issuer.sign(aud="api", exp=1),
        issuer.sign(aud="api", nbf=int(1.9e9)),
        issuer.sign(aud="web", iss="https://other.test"),
        issuer.sign(aud="api", sub=None),
        issuer.forge(aud="api"),
        issuer.sign(aud="api", headers={"kid": "gone"}),
        issuer.sign(aud="api", headers={"kid": "gone too"}),
        issuer.sign(aud="api", headers={"crit": ["b64"]}),
        issuer.sign(aud="api", key=SigningKey.generate("RS256", "first")),
        *("a.b", "x" * 20_000, "", None),
    ]


def test_claims_are_the_callers_own(jwks: SyncJWKS, issuer: FakeIssuer) -> None:
    """A fresh dict each time."""
    token = issuer.sign(roles=["user"])
    jwks.verify_token(token)["roles"].append("admin")
    assert jwks.verify_token(token)["roles"] == ["user"]


def test_refresh_warms_up(jwks: SyncJWKS, issuer: FakeIssuer) -> None:
    """Once, unless it is forced; and says why it can't."""
    jwks.refresh()
    jwks.refresh()
    assert issuer.jwks_requests == 1
    jwks.refresh(force=True)
    assert issuer.jwks_requests == 2
    issuer.outage()
    with pytest.raises(KeysUnavailableError, match="503"):
        jwks.refresh(force=True)
    assert jwks.status().failure == "HTTP status 503 (discovery document)"


def test_its_state_is_told(jwks: SyncJWKS, issuer: FakeIssuer) -> None:
    """By `status` and the representation, without a thread."""
    assert (jwks.status().kids, jwks.status().fresh) == ((), False)
    assert repr(jwks) == f"SyncJWKS({issuer.discovery_url!r}, issuer={issuer.issuer!r}, keys=0)"
    assert threads() == 0
    jwks.refresh()
    assert (jwks.status().kids, jwks.status().fresh) == (("first",), True)
    assert repr(jwks).endswith("keys=1)")
    jwks.close()
    assert repr(jwks).endswith("closed)")


def test_after_close_nothing_works(make: Make, issuer: FakeIssuer) -> None:
    """But `status`, and another close; a block closes as well."""
    with make() as used, make() as unused:
        used.verify_token(issuer.sign())
    for jwks in (used, unused):
        jwks.close()
        with pytest.raises(RuntimeError, match="closed"):
            jwks.verify_token(issuer.sign())
        for force in (False, True):
            with pytest.raises(RuntimeError, match="closed"):
                jwks.refresh(force=force)
    assert used.status().kids == ("first",)


def test_a_closed_verifier_may_be_entered_again(
    make: Make, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """It keeps its keys, and fetches new ones."""
    jwks, token = make(), issuer.sign()
    for fetches in range(1, 4):
        with jwks as same:
            assert same is jwks
            assert jwks.verify_token(token)["sub"] == "alice"
            assert issuer.jwks_requests == fetches
            clock.advance(1)
            jwks.refresh(force=True)
            assert threads() == 1
        assert threads() == 0
        with pytest.raises(RuntimeError, match="closed"):
            jwks.verify_token(token)
        clock.advance(30)
