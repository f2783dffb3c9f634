"""Access tokens: RFC 9068, and what other providers issue."""

from typing import Any

import jwt
import pytest

from auth_jwks.profiles import AccessToken
from auth_jwks.testing import FakeIssuer
from tests.verifier.maker import Make

REQUIRED = ("iss", "exp", "aud", "sub", "client_id", "iat", "jti")


def access_token(issuer: FakeIssuer, typ: str | None = "at+jwt", **claims: Any) -> str:
    """Return a token that keeps RFC 9068, apart from the changes."""
    good = {"aud": "api", "client_id": "web", "jti": "1"}
    return issuer.sign(good | claims, headers={"typ": typ})


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt"])
async def test_a_token_of_the_rfc_is_accepted(make: Make, issuer: FakeIssuer, typ: str) -> None:
    """In either spelling that the RFC has, and any case."""
    jwks = make(aud="api", profile=AccessToken())
    for _ in range(2):
        assert (await jwks.verify_token(access_token(issuer, typ)))["client_id"] == "web"


@pytest.mark.parametrize("typ", [None, "JWT", "at+jwt; v=1", "at", "", "logout+jwt"])
async def test_another_type_is_refused(make: Make, issuer: FakeIssuer, typ: str | None) -> None:
    """So that no ID token is taken for an access token (RFC 9068 §4)."""
    with pytest.raises(jwt.InvalidTokenError, match=r"^typ: expected 'at\+jwt', found "):
        await make(profile=AccessToken()).verify_token(access_token(issuer, typ))
    assert issuer.requests == ()


@pytest.mark.parametrize("name", REQUIRED)
async def test_the_claims_of_the_rfc_are_required(
    make: Make, issuer: FakeIssuer, name: str
) -> None:
    """Also where neither issuer nor audience is checked; `required_claims` does not count."""
    jwks = make(required_claims=["scope"])
    assert await jwks.verify_token(access_token(issuer), profile=AccessToken())
    for profile in (AccessToken(), AccessToken(typ=["JWT", "at+jwt"])):
        with pytest.raises(jwt.MissingRequiredClaimError, match=name):
            await jwks.verify_token(
                access_token(issuer, **{name: None}), verify_iss=False, profile=profile
            )


@pytest.mark.parametrize("name", REQUIRED)
async def test_fewer_are_required_of_other_types(make: Make, issuer: FakeIssuer, name: str) -> None:
    """Keycloak, Entra ID and others issue `JWT`, Cognito none, and each has its own claims."""
    profile = AccessToken(typ={"JWT", None})
    jwks = make(profile=profile)
    for typ in ("JWT", None):
        token = access_token(issuer, typ, **{name: None})
        if name in {"exp", "iat", "sub"}:
            with pytest.raises(jwt.MissingRequiredClaimError, match=name):
                await jwks.verify_token(token, verify_iss=False)
        else:
            assert await jwks.verify_token(token, verify_iss=False)


VALUES: list[Any] = [
    "blue", "", "1", 1, 1.0, 0, -1, True, False, [], ["a"], ["a", "b"], ["b", "a"], {}, {"a": 1},
    {"a": True}, "null", 2**70, "é", "\ud800",
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=ascii)
async def test_a_value_is_that_of_the_profile(
    make: Make, issuer: FakeIssuer, value: object
) -> None:
    """The same JSON: of the same type, in the same order."""
    jwks = make(profile=AccessToken(claims={"tenant": value}))
    assert await jwks.verify_token(access_token(issuer, tenant=value))
    others = [each for each in VALUES if ascii(each) != ascii(value)]
    assert len(others) == len(VALUES) - 1
    for other in others:
        with pytest.raises(jwt.InvalidTokenError) as refused:
            await jwks.verify_token(access_token(issuer, tenant=other))
        assert str(refused.value) == "tenant: expected the profile's value, found another"
    with pytest.raises(jwt.MissingRequiredClaimError, match="tenant"):
        await jwks.verify_token(access_token(issuer))


async def test_every_value_must_be_there(make: Make, issuer: FakeIssuer) -> None:
    """One that fits doesn't make up for one that doesn't."""
    jwks = make(profile=AccessToken(typ="JWT", claims={"token_use": "access", "tenant": "blue"}))
    assert await jwks.verify_token(issuer.sign(token_use="access", tenant="blue"))
    for claims in ({"token_use": "id", "tenant": "blue"}, {"token_use": "access", "tenant": "x"}):
        with pytest.raises(jwt.InvalidTokenError, match="expected the profile's value"):
            await jwks.verify_token(issuer.sign(claims))


async def test_a_logout_token_is_none(make: Make, issuer: FakeIssuer) -> None:
    """Not even one without a `typ` of its own."""
    events: dict[str, Any] = {"http://schemas.openid.net/event/backchannel-logout": {}}
    jwks = make(profile=AccessToken(typ="JWT"))
    assert await jwks.verify_token(issuer.sign(events={"a concert": {}}))
    with pytest.raises(jwt.InvalidTokenError, match=r"^events: "):
        await jwks.verify_token(issuer.sign(events=events))
