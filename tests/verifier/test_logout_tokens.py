"""Logout tokens (OpenID Connect Back-Channel Logout 1.0 §2.4, §2.6)."""

from typing import Any

import jwt
import pytest

from auth_jwks.profiles import IDToken, LogoutToken
from auth_jwks.testing import FakeIssuer
from tests.verifier.maker import Make

EVENT = "http://schemas.openid.net/event/backchannel-logout"


def logout_token(issuer: FakeIssuer, typ: str | None = "logout+jwt", **claims: Any) -> str:
    """Return a good logout token, apart from the changes."""
    good = {"aud": "web", "jti": "1", "events": {EVENT: {}}, "sid": "s"}
    return issuer.sign(good | claims, headers={"typ": typ})


@pytest.mark.parametrize("typ", ["logout+jwt", "application/Logout+JWT", "JWT", None])
@pytest.mark.parametrize("claims", [{}, {"sub": None}, {"sid": None}, {"sub": ""}, {"sid": ""}])
async def test_a_logout_token_is_accepted(
    make: Make, issuer: FakeIssuer, typ: str | None, claims: dict[str, Any]
) -> None:
    """With a user, a session or both, whatever `required_claims` says; the type is optional."""
    jwks = make(aud="web", required_claims=["sub", "scope"])
    for _ in range(2):
        token = logout_token(issuer, typ, **claims)
        assert (await jwks.verify_token(token, profile=LogoutToken()))["jti"] == "1"


async def test_a_client_s_logout_token_is_for_that_client(make: Make, issuer: FakeIssuer) -> None:
    """The client of the verifier's ID tokens, unless the call names another audience."""
    jwks = make(profile=IDToken(client_id="web"))
    for _ in range(2):
        assert await jwks.verify_token(logout_token(issuer), profile=LogoutToken())
        token = logout_token(issuer, aud="app")
        with pytest.raises(jwt.InvalidAudienceError):
            await jwks.verify_token(token, profile=LogoutToken())
        assert await jwks.verify_token(token, "app", profile=LogoutToken())


async def test_more_events_and_members_are_none_of_ours(make: Make, issuer: FakeIssuer) -> None:
    """What is not understood is ignored."""
    token = logout_token(issuer, events={EVENT: {"why": "x"}, "other": []})
    assert await make(profile=LogoutToken()).verify_token(token)


@pytest.mark.parametrize("name", ["iss", "aud", "iat", "exp", "jti", "events"])
async def test_claims_are_required(make: Make, issuer: FakeIssuer, name: str) -> None:
    """`exp` among them, since the errata of 2023."""
    with pytest.raises(jwt.MissingRequiredClaimError, match=name):
        await make(profile=LogoutToken()).verify_token(
            logout_token(issuer, **{name: None}), verify_iss=False
        )


@pytest.mark.parametrize(
    ("claims", "match"),
    [
        ({"sub": None, "sid": None}, "sub or sid"),
        ({"sub": "", "sid": ""}, "sub or sid"),
        ({"sid": 5}, "^sid: "),
        ({"nonce": "n"}, "^nonce: "),
        ({"nonce": ""}, "^nonce: "),
        ({"events": {}}, "^events: "),
        ({"events": [EVENT]}, "^events: "),
        ({"events": EVENT}, "^events: "),
        ({"events": {EVENT: None}}, "^events: "),
        ({"events": {EVENT: []}}, "^events: "),
        ({"events": {"http://schemas.openid.net/event/frontchannel-logout": {}}}, "^events: "),
        ({"aud": "app"}, "^aud: "),
    ],
)
async def test_what_is_no_logout_is_refused(
    make: Make, issuer: FakeIssuer, claims: dict[str, Any], match: str
) -> None:
    """An ID token above all, which a nonce tells from it."""
    with pytest.raises(jwt.InvalidTokenError, match=match):
        await make(aud="web", profile=LogoutToken()).verify_token(logout_token(issuer, **claims))


@pytest.mark.parametrize("typ", ["at+jwt", "secevent+jwt", "x"])
async def test_another_type_is_refused(make: Make, issuer: FakeIssuer, typ: str) -> None:
    """Whatever the claims say."""
    with pytest.raises(jwt.InvalidTokenError, match=r"^typ: expected 'jwt' or 'logout\+jwt' or no"):
        await make(profile=LogoutToken()).verify_token(logout_token(issuer, typ))
