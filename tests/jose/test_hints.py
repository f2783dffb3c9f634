"""What refusals say about the configuration, without a claim's value."""

import copy
import pickle

import jwt
import pytest

from auth_jwks._jose.hints import algorithm_hint, audience_hint, issuer_hint, missing
from auth_jwks._jose.issuer import issuer_names

HOME = "72f988bf-86f1-41af-91ab-2d7cd011db47"
V1, V2 = f"https://sts.windows.net/{HOME}/", f"https://login.microsoftonline.com/{HOME}/v2.0"
TEMPLATE = "https://login.microsoftonline.com/{tenantid}/v2.0"
ADFS = "https://adfs.example.com/adfs"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("sub", "required_claims= says which claims a token must have"),
        ("scope", "required_claims= says which claims a token must have"),
        ("exp", "exp is always required"),
        ("iss", "the issuer is known"),
        ("aud", "leave out aud= and hold them to another claim"),
    ],
)
def test_what_requires_a_claim_is_told(name: str, told: str) -> None:
    """In a note, as the text is PyJWT's own; it survives a copy."""
    error = missing(name)
    for each in (error, copy.copy(error), pickle.loads(pickle.dumps(error))):  # noqa: S301
        assert type(each) is jwt.MissingRequiredClaimError
        assert str(each) == str(jwt.MissingRequiredClaimError(name))
        assert [told in note for note in each.__notes__] == [True]
    assert missing(name, "the profile requires it").__notes__ == ["the profile requires it"]


@pytest.mark.parametrize(
    ("names", "stated", "told"),
    [
        (["https://a.eu.auth0.com"], "https://a.eu.auth0.com/", "differ in the slash at the end"),
        ([TEMPLATE], V2 + "/", "differ in the slash at the end"),
        ([V2], V1, "a token of version 1 of Entra ID"),
        ([TEMPLATE], V1, "a token of version 1 of Entra ID"),
        ([V1], V2, "a token of version 2 of Entra ID"),
        ([ADFS], "http://adfs.example.com/adfs/services/trust", "the access_token_issuer of ADFS"),
        (["https://sso.example.com/realms/x"], "http://keycloak:8080/realms/x", "in the host"),
        (["https://keycloak/realms/x"], "http://keycloak/realms/x", "in the scheme"),
        (["https://accounts.google.com"], "accounts.google.com", "in the scheme"),
        (["x", "https://accounts.google.com"], "accounts.google.com", "in the scheme"),
    ],
)
def test_a_name_that_nearly_fits_is_told(names: list[str], stated: str, told: str) -> None:
    """With what to change, and without what the token has."""
    hint = issuer_hint(issuer_names(tuple(names)), stated)
    assert told in hint
    assert "pass" in hint
    assert stated not in hint


@pytest.mark.parametrize(
    ("names", "stated"),
    [
        ([V2], V2.replace("7", "8")),
        ([V2, V1], V1.replace("7", "8")),
        (["https://a.example.com"], "https://b.example.com"),
        (["https://a.example.com/x"], "https://a.example.com/y"),
        (["https://a.example.com"], "x"),
        (["https://a.example.com"], ""),
        (["https://a.example.com"], None),
        (["https://a.example.com"], ["https://a.example.com/"]),
    ],
)
def test_another_issuer_is_no_slip(names: list[str], stated: object) -> None:
    """Nothing is guessed."""
    assert issuer_hint(issuer_names(tuple(names)), stated) == ""


def test_an_audience_in_another_claim_is_told() -> None:
    """As of a client that Keycloak has no mapper for."""
    audience = frozenset(["api"])
    assert "have the provider add it to aud" in audience_hint({"azp": "api"}, audience)
    assert "(client_id)" in audience_hint({"azp": "web", "client_id": "api"}, audience)
    others: list[dict[str, object]] = [{}, {"azp": "web"}, {"azp": ["api"]}, {"client_id": {}}]
    for claims in others:
        assert audience_hint(claims, audience) == ""


@pytest.mark.parametrize("alg", ["HS256", "HS512"])
def test_a_shared_secret_is_told(alg: str) -> None:
    """No allow-list makes it good."""
    assert "a shared secret" in algorithm_hint(alg)


@pytest.mark.parametrize("alg", [None, "none", "RS512", "x"])
def test_an_algorithm_can_be_allowed(alg: str | None) -> None:
    """The parameter is named."""
    assert "allowed_algorithms=" in algorithm_hint(alg)
