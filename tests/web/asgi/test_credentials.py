"""`JWTAuthMiddleware`: which tokens and scopes get through, and how others are refused."""

from typing import Any

import httpx
import pytest

from auth_jwks import JWKS
from auth_jwks.asgi import ASGIApp, JWTAuthMiddleware
from auth_jwks.testing import FakeIssuer
from tests.web.asgi.driving import SeenBy, driven, http, status, told, whoami
from tests.web.serving import serving
from tests.web.status_table import (
    AUDIENCE,
    REFUSED,
    UNAVAILABLE,
    BrokenVerifier,
    MuteVerifier,
    answer_of,
    answers,
    authorization,
    challenge,
    denial,
    received,
    repeated,
)


async def both(
    app: ASGIApp, client: httpx.AsyncClient, headers: Any = ()
) -> tuple[httpx.Response, httpx.Response]:
    """Return how a request and a handshake are refused."""
    async with serving(app) as address:
        plain = await client.get(f"http://{address}", headers=headers)
        return plain, await denial(address, headers)


# Tokens, good and bad.


async def test_a_good_token_opens(
    jwks: JWKS, issuer: FakeIssuer, client: httpx.AsyncClient
) -> None:
    """The application finds the claims in the state of the scope."""
    headers = authorization(issuer.sign(aud=AUDIENCE, sub="alice"))
    async with serving(JWTAuthMiddleware(whoami, jwks)) as address:
        plain = await client.get(f"http://{address}", headers=headers)
        assert told(plain)["claims"]["sub"] == "alice"
        assert told(await received(address, headers))["claims"]["sub"] == "alice"


@pytest.mark.parametrize("optional", [False, True])
async def test_bad_credentials_are_refused(
    jwks: JWKS, issuer: FakeIssuer, client: httpx.AsyncClient, *, optional: bool
) -> None:
    """Each with its status, a fixed text and a challenge, by a websocket as well."""
    app = JWTAuthMiddleware(whoami, jwks, realm="shop", optional=optional)
    plain, handshakes = {}, {}
    async with serving(app) as address:
        for name, row in REFUSED.items():
            headers = repeated(row.headers(issuer))
            plain[name] = await client.get(f"http://{address}", headers=headers)
            handshakes[name] = await denial(address, headers)
    for refused in (plain, handshakes):
        assert {name: answer_of(answer) for name, answer in refused.items()} == answers(REFUSED)
        kinds = {answer.headers["Content-Type"] for answer in refused.values()}
        assert kinds == {"application/json"}


async def test_no_credentials_are_refused(jwks: JWKS, client: httpx.AsyncClient) -> None:
    """The challenge has no code then (RFC 6750 §3.1)."""
    app = JWTAuthMiddleware(
        whoami, jwks, realm="shop", scopes=["read"], resource_metadata="https://a.example/m"
    )
    expected = 'Bearer realm="shop", scope="read", resource_metadata="https://a.example/m"'
    for refused in await both(app, client):
        assert answer_of(refused) == (401, "Not authenticated", [expected])


@pytest.mark.parametrize("optional", [False, True])
async def test_unavailable_keys_are_no_fault_of_the_caller(
    jwks: JWKS, issuer: FakeIssuer, client: httpx.AsyncClient, *, optional: bool
) -> None:
    """503 says when to come back, and asks for no login."""
    issuer.outage(retry_after=60)
    app = JWTAuthMiddleware(whoami, jwks, optional=optional)
    for refused in await both(app, client, authorization(issuer.sign(aud=AUDIENCE))):
        assert (refused.status_code, refused.json()) == UNAVAILABLE
        assert 1 <= int(refused.headers["Retry-After"]) <= 300
        assert "WWW-Authenticate" not in refused.headers


async def test_another_issuer_is_no_fault_of_the_caller(
    jwks: JWKS, issuer: FakeIssuer, client: httpx.AsyncClient
) -> None:
    """The configuration is at fault, and no wait mends it."""
    issuer.announce(issuer="https://a.example")
    app = JWTAuthMiddleware(whoami, jwks)
    for refused in await both(app, client, authorization(issuer.sign(aud=AUDIENCE))):
        assert (refused.status_code, refused.json()) == UNAVAILABLE
        assert {"Retry-After", "WWW-Authenticate"} & set(refused.headers) == set()


@pytest.mark.parametrize("optional", [False, True])
async def test_another_fault_is_a_500(client: httpx.AsyncClient, *, optional: bool) -> None:
    """What blames no token is the program's fault, and lets nobody through."""
    app = JWTAuthMiddleware(whoami, BrokenVerifier(), optional=optional)
    for refused in await both(app, client, authorization("a.b.c")):
        assert (refused.status_code, refused.text) == (500, "Internal Server Error")


async def test_a_verifier_that_returns_nothing_lets_nobody_through() -> None:
    """Its caller would look like one who needs no token."""
    app = JWTAuthMiddleware(whoami, MuteVerifier(), optional=True)
    with pytest.raises(TypeError, match="verifier: expected verify_token to return claims"):
        await driven(app, http(b"Bearer a.b.c"))


# Scopes.


async def test_missing_scopes_are_told(
    jwks: JWKS, issuer: FakeIssuer, client: httpx.AsyncClient
) -> None:
    """403 with the scopes that it takes, of which none may be missing."""
    app = JWTAuthMiddleware(whoami, jwks, realm="shop", scopes=["read", "write"])
    expected = challenge("insufficient_scope", "Insufficient scope") + ', scope="read write"'
    headers = authorization(issuer.sign(aud=AUDIENCE, scope="read"))
    for refused in await both(app, client, headers):
        assert answer_of(refused) == (403, "Insufficient scope", [expected])


@pytest.mark.parametrize(
    "claims", [{"scope": "write x read"}, {"scp": ["read", "write"]}, {"scp": "read write"}]
)
async def test_granted_scopes_open(claims: dict[str, Any]) -> None:
    """More than what is taken does no harm."""
    app = JWTAuthMiddleware(whoami, SeenBy(**claims), scopes=["read", "write"])
    assert status(await driven(app, http(b"Bearer a.b.c"))) == 200


@pytest.mark.parametrize(("permissions", "expected"), [(["read"], 200), (["write"], 403)])
async def test_scopes_may_be_in_another_claim(permissions: list[str], expected: int) -> None:
    """Then `scope` does not count."""
    app = JWTAuthMiddleware(
        whoami,
        SeenBy(permissions=permissions, scope="read" * (expected == 403)),
        scopes=["read"],
        scopes_from=lambda claims: claims["permissions"],
    )
    assert status(await driven(app, http(b"Bearer a.b.c"))) == expected


async def test_a_bare_string_of_scopes_is_misuse() -> None:
    """Its letters are not what the token was granted."""
    app = JWTAuthMiddleware(
        whoami, SeenBy(role="read"), scopes=["r"], scopes_from=lambda claims: claims["role"]
    )
    with pytest.raises(TypeError, match="scopes_from: expected it to return a collection"):
        await driven(app, http(b"Bearer a.b.c"))
