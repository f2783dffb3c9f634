"""What a first try gets wrong with each provider, and what the error says to change."""

import json
import re
from typing import Any

import jwt
import pytest

from auth_jwks import IssuerMismatchError, KeysUnavailableError
from auth_jwks.profiles import AccessToken
from tests.issuers import shapes
from tests.issuers.conftest import Make
from tests.issuers.shapes import SHAPES, Signed
from tests.issuers.sites import HOME, LOGIN, V1, V2, Site
from tests.provider_pages.pages import INDEX, TEXTS, blocks

# What a first try passes, the token, what it ends in, and what the error or its note says.
MISTAKES: dict[str, tuple[str, dict[str, Any], Signed, type[Exception], str]] = {
    "Auth0 without its slash": (
        "Auth0",
        {"issuer": shapes.AUTH0[:-1]},
        shapes.AUTH0_TOKEN,
        IssuerMismatchError,
        "they differ in the slash at the end; pass issuer= with the provider's",
    ),
    "Auth0 without its slash, and without discovery": (
        "Auth0",
        {"issuer": shapes.AUTH0[:-1], "jwks_uri": f"{shapes.AUTH0}.well-known/jwks.json"},
        shapes.AUTH0_TOKEN,
        jwt.InvalidIssuerError,
        "they differ in the slash at the end; pass issuer= with the provider's",
    ),
    "Keycloak's `account`": (
        "Keycloak",
        {
            "discovery_url": f"{shapes.KEYCLOAK_INSIDE}{shapes.OPENID}",
            "issuer": [shapes.KEYCLOAK, shapes.KEYCLOAK_INSIDE],
            "aud": "web",
        },
        shapes.KEYCLOAK_TOKEN.but(aud="account"),
        jwt.InvalidAudienceError,
        "it is the client of the token (azp); have the provider add it to aud",
    ),
    "Keycloak's missing `sub`": (
        "Keycloak",
        {
            "discovery_url": f"{shapes.KEYCLOAK_INSIDE}{shapes.OPENID}",
            "issuer": [shapes.KEYCLOAK, shapes.KEYCLOAK_INSIDE],
            "aud": "my-api",
        },
        shapes.KEYCLOAK_TOKEN.but(sub=None),
        jwt.MissingRequiredClaimError,
        "required_claims= says which claims a token must have",
    ),
    "Keycloak's missing `sub`, under a profile": (
        "Keycloak",
        {
            "discovery_url": f"{shapes.KEYCLOAK_INSIDE}{shapes.OPENID}",
            "issuer": [shapes.KEYCLOAK, shapes.KEYCLOAK_INSIDE],
            "aud": "my-api",
            "profile": AccessToken(typ="JWT", claims={"typ": "Bearer"}),
        },
        shapes.KEYCLOAK_TOKEN.but(sub=None),
        jwt.MissingRequiredClaimError,
        "the profile requires it, whatever required_claims= says",
    ),
    "Keycloak outside, asked inside": (
        "Keycloak",
        {
            "discovery_url": f"{shapes.KEYCLOAK_INSIDE}{shapes.OPENID}",
            "issuer": shapes.KEYCLOAK_INSIDE,
            "aud": "my-api",
        },
        shapes.KEYCLOAK_TOKEN,
        jwt.InvalidIssuerError,
        "they differ in the host; if both are names of the issuer, pass both",
    ),
    "version 1 at version 2": (
        "Entra ID",
        {"issuer": shapes.ENTRA_V2, "aud": f"api://{shapes.ENTRA_API}"},
        shapes.ENTRA_V1_TOKEN,
        jwt.InvalidIssuerError,
        "this is a token of version 1 of Entra ID; pass issuer= with its name too",
    ),
    "version 1 at all tenants": (
        "Entra ID, many tenants",
        {"issuer": V2, "tenants": [HOME], "aud": f"api://{shapes.ENTRA_API}"},
        shapes.ENTRA_V1_TOKEN,
        jwt.InvalidIssuerError,
        "this is a token of version 1 of Entra ID; pass issuer= with its name too",
    ),
    "`common` as the issuer": (
        "Entra ID, many tenants",
        {"issuer": f"{LOGIN}/common/v2.0"},
        shapes.ENTRA_TOKEN,
        IssuerMismatchError,
        "a template for all tenants; pass it as issuer=, with tenants=",
    ),
    "Cognito's access token with `aud`": (
        "Cognito",
        {"issuer": shapes.POOL, "aud": shapes.COGNITO_CLIENT},
        shapes.COGNITO_TOKEN,
        jwt.MissingRequiredClaimError,
        "if the provider's tokens have no aud, leave out aud= and hold them to another claim",
    ),
    "Clerk with `aud`": (
        "Clerk",
        {"jwks_uri": f"{shapes.CLERK}/.well-known/jwks.json", "issuer": shapes.CLERK},
        shapes.CLERK_TOKEN,
        jwt.MissingRequiredClaimError,
        "if the provider's tokens have no aud, leave out aud= and hold them to another claim",
    ),
    "a profile that wants another `typ`": (
        "Cognito",
        {"issuer": shapes.POOL, "aud": None, "profile": AccessToken()},
        shapes.COGNITO_TOKEN,
        jwt.InvalidTokenError,
        "typ: expected 'at+jwt', found none",
    ),
    "Google's other name": (
        "Google",
        {"issuer": shapes.GOOGLE},
        shapes.GOOGLE_TOKEN.but(iss="accounts.google.com"),
        jwt.InvalidIssuerError,
        "they differ in the scheme; if both are names of the issuer, pass both",
    ),
    "Supabase's shared secret": (
        "Supabase",
        {"jwks_uri": f"{shapes.SUPABASE}/.well-known/jwks.json", "issuer": shapes.SUPABASE},
        Signed(shapes.SUPABASE_TOKEN.claims, {"alg": "HS256"}, shapes.EC_KEY),
        jwt.InvalidAlgorithmError,
        "a shared secret has signed the token",
    ),
    "Kubernetes without credentials": (
        "Kubernetes",
        {"discovery_url": f"{shapes.API_SERVER}{shapes.OPENID}", "issuer": shapes.CLUSTER},
        shapes.KUBERNETES_TOKEN,
        KeysUnavailableError,
        "401: if it wants credentials, pass a client that has them as http_client=",
    ),
    "ADFS with one name": (
        "ADFS",
        {"issuer": shapes.ADFS, "required_claims": ["iat"]},
        shapes.ADFS_TOKEN,
        jwt.InvalidIssuerError,
        "this is the access_token_issuer of ADFS; pass issuer= with both",
    ),
    "ADFS without `sub`": (
        "ADFS",
        {"issuer": [shapes.ADFS, shapes.ADFS_ACCESS]},
        shapes.ADFS_TOKEN,
        jwt.MissingRequiredClaimError,
        "required_claims= says which claims a token must have",
    ),
    "SPIFFE without `iat`": (
        "SPIFFE",
        {"jwks": shapes.BUNDLE, "http_client": None, "aud": "spiffe://example.org/my-api"},
        shapes.SVID,
        jwt.MissingRequiredClaimError,
        "required_claims= says which claims a token must have",
    ),
    "SPIFFE with an issuer": (
        "SPIFFE",
        {
            "jwks": shapes.BUNDLE,
            "issuer": "https://spire.example.org",
            "http_client": None,
            "required_claims": ["sub"],
        },
        shapes.SVID,
        jwt.MissingRequiredClaimError,
        "the issuer is known, by issuer= or from discovery, so iss is required",
    ),
}


def published(site: Site, name: str) -> None:
    """Publish what a provider does, to those who may see it."""
    site.documents = dict(SHAPES[name].documents)
    site.bearers = {"kubernetes.default.svc": "the pod's own token"}


# What mends those that the verifier alone can mend.
BOTH_OF_KEYCLOAK = {"issuer": [shapes.KEYCLOAK, shapes.KEYCLOAK_INSIDE]}
CURES: dict[str, dict[str, Any]] = {
    "Auth0 without its slash": {"issuer": shapes.AUTH0},
    "Auth0 without its slash, and without discovery": {"issuer": shapes.AUTH0},
    "Keycloak's missing `sub`": {"required_claims": ("exp", "iat")},
    "Keycloak's missing `sub`, under a profile": {"profile": None, "required_claims": ["iat"]},
    "Keycloak outside, asked inside": BOTH_OF_KEYCLOAK,
    "version 1 at version 2": {"issuer": [shapes.ENTRA_V2, shapes.ENTRA_V1]},
    "version 1 at all tenants": {"issuer": [V2, V1]},
    "`common` as the issuer": {"issuer": V2, "tenants": [HOME]},
    "Cognito's access token with `aud`": {
        "aud": None,
        "profile": AccessToken(typ=[None, "JWT"], claims={"client_id": shapes.COGNITO_CLIENT}),
    },
    "Clerk with `aud`": {
        "aud": None,
        "profile": AccessToken(typ="JWT", claims={"azp": "https://app.example.com"}),
    },
    "a profile that wants another `typ`": {"profile": AccessToken(typ=[None])},
    "Google's other name": {"issuer": [shapes.GOOGLE, "accounts.google.com"]},
    "ADFS with one name": {"issuer": [shapes.ADFS, shapes.ADFS_ACCESS]},
    "ADFS without `sub`": {"required_claims": ["iat"]},
    "SPIFFE without `iat`": {"required_claims": ["sub"]},
    "SPIFFE with an issuer": {"issuer": None},
}


@pytest.mark.parametrize("mistake", CURES)
async def test_what_is_told_mends_it(mistake: str, site: Site, make: Make) -> None:
    """The same token is verified after the change."""
    name, options, token, *_ = MISTAKES[mistake]
    published(site, name)
    audience = {"aud": token.claims["aud"]} if "aud" in token.claims else {}
    assert await make(**audience | options | CURES[mistake]).verify_token(str(token))


async def text_of(mistake: str, site: Site, make: Make) -> str:
    """Return what the error of a mistake says, notes included."""
    name, options, token, fault, _ = MISTAKES[mistake]
    published(site, name)
    audience = {"aud": token.claims["aud"]} if "aud" in token.claims else {}
    with pytest.raises(fault) as caught:
        await make(**audience | options).verify_token(str(token))
    return "\n".join((str(caught.value), *getattr(caught.value, "__notes__", [])))


@pytest.mark.parametrize("mistake", MISTAKES)
async def test_a_first_try_is_told_what_to_change(mistake: str, site: Site, make: Make) -> None:
    """In the message or its note, and without what the token has but for issuer and audience."""
    name, options, token, _, told = MISTAKES[mistake]
    text = await text_of(mistake, site, make)
    assert told in text
    configured = json.dumps(options, default=repr)
    known = json.dumps(SHAPES[name].documents) + configured
    for claim, value in token.claims.items():
        if isinstance(value, str) and len(value) > 8 and value not in known:
            assert claim in {"iss", "aud"} or value not in text


async def test_the_index_s_table_has_these_words(site: Site, make: Make) -> None:
    """Each row is looked for by what an error says, here or on the pages."""
    rows = re.findall(r"^\| `([^`]+)`", INDEX, re.MULTILINE)
    texts = [await text_of(mistake, site, make) for mistake in MISTAKES]
    texts += [it.code for page in TEXTS for it in blocks(page) if it.language == "text"]
    assert len(rows) == 9
    assert [row for row in rows if not any(row in text for text in texts)] == []


async def test_an_encrypted_token_is_none(site: Site, make: Make) -> None:
    """As Auth0 gives them out without an audience: five segments, which nobody here can read."""
    published(site, "Auth0")
    with pytest.raises(jwt.DecodeError, match="encrypted"):
        await make(issuer=shapes.AUTH0).verify_token("eyJhbGciOiJkaXIifQ..aXY.Y2lwaGVy.dGFn")


async def test_supabase_with_a_legacy_secret_publishes_no_key(site: Site, make: Make) -> None:
    """Which is told, instead of the caller being blamed."""
    uri = f"{shapes.SUPABASE}/.well-known/jwks.json"
    site.documents = {uri: {"keys": []}}
    with pytest.raises(KeysUnavailableError, match="no usable"):
        await make(jwks_uri=uri, issuer=shapes.SUPABASE).refresh()
