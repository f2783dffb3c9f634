"""The recipes of docs/providers.md, as they are printed, against what each provider has.

They reach the provider's own hosts by TLS, through a proxy that leads all of them here.
"""

import asyncio
import json
import re
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
import trustme

from auth_jwks import IssuerMismatchError, KeysUnavailableError
from auth_jwks.profiles import AccessToken
from auth_jwks.testing import SigningKey
from tests.issuers import shapes
from tests.issuers.conftest import Make
from tests.issuers.shapes import SHAPES, Signed
from tests.issuers.sites import HOME, LOGIN, OTHER, V1, V2, Site
from tests.tunnel import Tunnel

DOCUMENT = (Path(__file__).parents[2] / "docs" / "providers.md").read_text(encoding="utf-8")
RECIPES = dict(
    re.findall(r"^## (.+?)\n\n```python\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)
)
HOSTS = sorted({httpx.URL(url).host for shape in SHAPES.values() for url in shape.documents})
POD = "the pod's own token"


@pytest.fixture(scope="session")
def ca() -> trustme.CA:
    """Return an authority that nobody trusts by default."""
    return trustme.CA()


@pytest.fixture(scope="session")
def ca_file(ca: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where its certificate is."""
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    ca.cert_pem.write_to_path(path)
    return path


@pytest.fixture
async def internet(
    ca: trustme.CA, ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Site]:
    """Return all hosts, which the environment leads to."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(*HOSTS).configure_cert(context)
    with Site(ssl_context=context) as site:
        tunnel = Tunnel(lambda to: ("127.0.0.1", site.port(secure=to[1] == 443)))
        async with await asyncio.start_server(tunnel.serve, "127.0.0.1", 0) as server:
            proxy = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            for name in ("HTTP_PROXY", "HTTPS_PROXY"):
                monkeypatch.delenv(name, raising=False)
                monkeypatch.setenv(name.lower(), proxy)
            for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy", "SSL_CERT_DIR"):
                monkeypatch.delenv(name, raising=False)
            monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
            yield site


def run(name: str, files: dict[str, str], *, threads: bool = False) -> dict[str, Any]:
    """Run a recipe with these files for its own, and return its names."""
    code = RECIPES[name]
    for constant, path in files.items():
        code = re.sub(rf'^{constant} = ".*"$', f"{constant} = {path!r}", code, flags=re.MULTILINE)
    if threads:
        code = code.replace("from auth_jwks import JWKS", "from auth_jwks.sync import SyncJWKS")
        code = code.replace("= JWKS(", "= SyncJWKS(")
    namespace: dict[str, Any] = {}
    exec(code, namespace)  # noqa: S102 - the document's own code
    return namespace


@pytest.fixture
def files(ca_file: Path, tmp_path: Path) -> dict[str, str]:
    """Return where the files are that recipes read."""
    paths = {name: tmp_path / name for name in ("TOKEN_FILE", "BUNDLE")}
    paths["TOKEN_FILE"].write_text(f"{POD}\n")
    paths["BUNDLE"].write_text(json.dumps(shapes.BUNDLE))
    return {name: str(path) for name, path in (paths | {"CA_FILE": ca_file}).items()}


def published(site: Site, name: str) -> None:
    """Publish what a provider does, to those who may see it."""
    site.documents = dict(SHAPES[name].documents)
    site.bearers = {"kubernetes.default.svc": POD}


def spoiled(name: str, token: Signed) -> list[str]:
    """Return tokens that no recipe may accept."""
    forger = SigningKey.generate(token.key.algorithm, token.key.kid)
    forged = Signed(token.claims, token.headers, forger)
    others = [token.but(exp=1), forged]
    if name != "SPIFFE":  # whose bundle has no issuer
        others.append(token.but(iss="https://evil.example"))
    if "aud" in token.claims:
        others.append(token.but(aud="another"))
    return [str(each) for each in others]


def test_every_recipe_has_a_shape() -> None:
    """And no code of the page is left out."""
    assert list(RECIPES) == list(SHAPES)
    assert DOCUMENT.count("```python") == len(RECIPES)


@pytest.mark.parametrize("name", SHAPES)
async def test_a_recipe_verifies_the_provider_s_tokens(
    name: str, internet: Site, files: dict[str, str]
) -> None:
    """The first time and the second, and no others."""
    published(internet, name)
    names = run(name, files)
    for verifier, tokens in SHAPES[name].tokens.items():
        async with names[verifier] as jwks:
            for each in tokens:
                token = str(each)
                for _ in range(2):
                    assert (await jwks.verify_token(token)).items() >= present(each).items()
                for bad in spoiled(name, each):
                    with pytest.raises(jwt.InvalidTokenError):
                        await jwks.verify_token(bad)


def present(token: Signed) -> dict[str, Any]:
    """Return the claims that a token has."""
    return {name: value for name, value in token.claims.items() if value is not None}


@pytest.mark.parametrize("name", SHAPES)
async def test_it_does_so_in_threads(name: str, internet: Site, files: dict[str, str]) -> None:
    """With `SyncJWKS` in the place of `JWKS`."""
    published(internet, name)
    names = run(name, files, threads=True)

    def verify() -> None:
        for verifier, tokens in SHAPES[name].tokens.items():
            with names[verifier] as jwks:
                for token in tokens:
                    assert jwks.verify_token(str(token))

    await asyncio.to_thread(verify)


REFUSED = {
    "an app's ID token, at Cognito's API": ("Cognito", "jwks", shapes.COGNITO_ID_TOKEN),
    "an access token, at Cognito's app": ("Cognito", "id_tokens", shapes.COGNITO_TOKEN),
    "of another app": ("Cognito", "jwks", shapes.COGNITO_TOKEN.but(client_id="other")),
    "of another page": ("Clerk", "jwks", shapes.CLERK_TOKEN.but(azp="https://evil.example")),
    "of no page": ("Clerk", "jwks", shapes.CLERK_TOKEN.but(azp=None)),
    "of another repository": ("GitHub Actions", "jwks", shapes.GITHUB_TOKEN.but(repository_id="1")),
    "of a number": ("GitHub Actions", "jwks", shapes.GITHUB_TOKEN.but(repository_id=1296269)),
    "of a fork's branch": ("GitLab CI", "jwks", shapes.GITLAB_TOKEN.but(ref_protected="false")),
    "of another project": (
        "Firebase",
        "jwks",
        shapes.FIREBASE_TOKEN.but(iss="https://securetoken.google.com/other", aud="other"),
    ),
    "of another tenant": (
        "Entra ID",
        "jwks",
        shapes.ENTRA_TOKEN.but(iss=f"{LOGIN}/{OTHER}/v2.0", tid=OTHER),
    ),
    "of a tenant that is nobody's": (
        "Entra ID, many tenants",
        "jwks",
        shapes.ENTRA_TOKEN.but(iss=f"{LOGIN}/{HOME[:-1]}0/v2.0", tid=f"{HOME[:-1]}0"),
    ),
    "of somebody anonymous": ("Supabase", "jwks", shapes.SUPABASE_TOKEN.but(aud="anon")),
}


@pytest.mark.parametrize("which", REFUSED)
async def test_the_provider_s_other_tokens_are_refused(
    which: str, internet: Site, files: dict[str, str]
) -> None:
    """Though its own keys have signed them."""
    name, verifier, token = REFUSED[which]
    published(internet, name)
    async with run(name, files)[verifier] as jwks:
        with pytest.raises(jwt.InvalidTokenError):
            await jwks.verify_token(str(token))


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


async def test_the_page_s_table_has_these_words(site: Site, make: Make) -> None:
    """Each row is looked for by what an error says."""
    rows = re.findall(r"^\| `([^`]+)`", DOCUMENT, re.MULTILINE)
    texts = [await text_of(mistake, site, make) for mistake in MISTAKES]
    assert len(rows) == 7
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


async def test_the_pod_s_token_goes_to_the_api_server_alone(
    internet: Site, files: dict[str, str]
) -> None:
    """And is read anew for each request, as the kubelet replaces it."""
    published(internet, "Kubernetes")
    async with run("Kubernetes", files)["jwks"] as jwks:
        await jwks.verify_token(str(shapes.KUBERNETES_TOKEN))
        internet.bearers["kubernetes.default.svc"] = "another"
        replace(files["TOKEN_FILE"], "another")
        await jwks.refresh(force=True)
    assert {httpx.URL(url).host for url in internet.asked} == {"kubernetes.default.svc"}
    assert len(internet.asked) == 4


def replace(path: str, text: str) -> None:
    """Write another text into a file."""
    Path(path).write_text(text)
