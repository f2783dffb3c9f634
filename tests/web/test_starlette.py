"""`JWTAuthBackend`: Starlette's own `request.user` and `@requires`, with bearer tokens."""

import pickle
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.authentication import AuthenticationError, requires
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from auth_jwks import JWKS
from auth_jwks.bearer import Refusal, Verifier
from auth_jwks.starlette import JWTAuthBackend, TokenRefusedError, TokenUser
from auth_jwks.sync import SyncJWKS
from auth_jwks.testing import FakeIssuer
from tests.web.serving import serving
from tests.web.status_table import (
    REFUSED,
    UNAVAILABLE,
    BrokenVerifier,
    MuteVerifier,
    answer_of,
    answers,
    authorization,
    denial,
    received,
    repeated,
    verifying,
)


async def whoami(request: Request) -> JSONResponse:
    """Show what the middleware knows; open to everyone."""
    request.app.state.reached += 1
    user = request.user
    known = {"identity": user.identity} if user.is_authenticated else {}
    return JSONResponse({"name": user.display_name, "scopes": request.auth.scopes, **known})


@requires("authenticated", status_code=401)
async def members(request: Request) -> JSONResponse:
    """Answer whoever has a good token."""
    return JSONResponse(dict(request.user.claims))


@requires("read")
async def things(request: Request) -> JSONResponse:
    """Answer whoever was granted `read`."""
    return JSONResponse(request.user.identity)


async def feed(websocket: WebSocket) -> None:
    """Say whose websocket it is; open to everyone."""
    websocket.app.state.reached += 1
    await websocket.accept()
    await websocket.send_text(websocket.user.display_name or "nobody")
    await websocket.close()


@requires("read")
async def guarded(websocket: WebSocket) -> None:
    """Say whose websocket it is to whoever was granted `read`."""
    await websocket.accept()
    await websocket.send_text(websocket.user.identity)
    await websocket.close()


def guard(backend: JWTAuthBackend) -> Starlette:
    """Return an application as users write it."""
    wiring = Middleware(AuthenticationMiddleware, backend=backend, on_error=backend.on_error)
    routes = [
        Route("/", whoami),
        Route("/members", members),
        Route("/things", things),
        WebSocketRoute("/feed", feed),
        WebSocketRoute("/guarded", guarded),
    ]
    app = Starlette(routes=routes, middleware=[wiring])
    app.state.reached = 0
    return app


async def test_what_is_refused(issuer: FakeIssuer, jwks: JWKS, client: httpx.AsyncClient) -> None:
    """Bad credentials are answered as RFC 6750 asks, with nothing of them, by no endpoint."""
    app = guard(JWTAuthBackend(jwks, realm="shop"))
    requests = {name: repeated(row.headers(issuer)) for name, row in REFUSED.items()}
    async with serving(app) as address:
        refused = {
            name: answer_of(await client.get(f"http://{address}/", headers=headers))
            for name, headers in requests.items()
        }
        denied = [await denial(f"{address}/feed", headers) for headers in requests.values()]
    assert refused == answers(REFUSED)
    assert {answer.status_code for answer in denied} == {403}  # Starlette says no more
    assert app.state.reached == 0


async def test_a_good_token_lets_in(
    issuer: FakeIssuer, jwks: JWKS, client: httpx.AsyncClient
) -> None:
    """Endpoints see whom the token speaks for, and what it grants, sorted."""
    token = issuer.sign(aud="api", scope="write read", name="Alice Ash")
    async with serving(guard(JWTAuthBackend(jwks))) as address:
        answer = await client.get(f"http://{address}/", headers=authorization(token))
        claims = await client.get(f"http://{address}/members", headers=authorization(token))
        heard = await received(f"{address}/feed", authorization(token))
    assert answer.json() == {
        "identity": "alice",
        "name": "Alice Ash",
        "scopes": ["authenticated", "read", "write"],
    }
    assert (claims.json()["aud"], claims.json()["scope"]) == ("api", "write read")
    assert heard == "Alice Ash"


async def test_without_credentials_a_request_is_anonymous(
    jwks: JWKS, client: httpx.AsyncClient
) -> None:
    """Open endpoints answer, as `request.user` is nobody; guarded ones refuse."""
    async with serving(guard(JWTAuthBackend(jwks))) as address:
        answers = [await client.get(f"http://{address}/{at}") for at in ("", "members", "things")]
        assert await received(f"{address}/feed") == "nobody"
        denied = await denial(f"{address}/guarded")
    assert [answer.status_code for answer in answers] == [200, 401, 403]
    assert answers[0].json() == {"name": "", "scopes": []}
    assert denied.status_code == 403


def permissions(claims: Mapping[str, Any]) -> list[str]:
    """Return what Auth0 grants."""
    return list(claims.get("permissions", ()))


def roles(claims: Mapping[str, Any]) -> list[str]:
    """Return what Keycloak grants."""
    return list(claims.get("realm_access", {}).get("roles", ()))


@pytest.mark.parametrize(
    ("claims", "options", "scopes"),
    [
        ({"scope": "write read"}, {}, ["read", "write"]),
        ({"scp": "write read"}, {}, ["read", "write"]),
        ({"scp": ["write", "read"]}, {}, ["read", "write"]),
        ({"permissions": ["read"]}, {}, []),
        ({"permissions": ["read"], "scope": "a"}, {"scopes_from": permissions}, ["read"]),
        ({"realm_access": {"roles": ["read"]}}, {"scopes_from": roles}, ["read"]),
        ({}, {"scopes_from": roles}, []),
    ],
    ids=["scope", "scp", "scp list", "none", "Auth0", "Keycloak", "not Keycloak's"],
)
async def test_scopes_come_from_the_claims(
    claims: Mapping[str, Any], options: Mapping[str, Any], scopes: list[str], issuer: FakeIssuer,
    jwks: JWKS,
) -> None:  # fmt: skip
    """A token grants what the usual claims say, or what the user's own function finds."""
    request = connection(f"Bearer {issuer.sign(claims, aud='api')}")
    known = await JWTAuthBackend(jwks, **options).authenticate(request)
    assert known is not None
    assert known[0].scopes == ["authenticated", *scopes]


async def test_requires_asks_for_scopes(
    issuer: FakeIssuer, jwks: JWKS, client: httpx.AsyncClient
) -> None:
    """`@requires` lets in who was granted the scope, and nobody else, by HTTP and by websocket."""
    reader, writer = (
        authorization(issuer.sign(aud="api", scope=scope)) for scope in ("write read", "write")
    )
    async with serving(guard(JWTAuthBackend(jwks))) as address:
        answer = await client.get(f"http://{address}/things", headers=reader)
        assert (answer.status_code, answer.json()) == (200, "alice")
        assert await received(f"{address}/guarded", reader) == "alice"
        assert (await client.get(f"http://{address}/things", headers=writer)).status_code == 403
        assert (await denial(f"{address}/guarded", writer)).status_code == 403


async def test_misuse_of_scopes_lets_no_one_in(
    issuer: FakeIssuer, jwks: JWKS, client: httpx.AsyncClient
) -> None:
    """A function that returns one string, whose letters would be scopes, is a fault: 500."""
    backend = JWTAuthBackend(jwks, scopes_from=lambda _: "read")
    app, headers = guard(backend), authorization(issuer.sign(aud="api"))
    with pytest.raises(TypeError, match=r"^scopes_from: expected it to return a collection"):
        await backend.authenticate(connection(headers["Authorization"]))
    async with serving(app) as address:
        assert (await client.get(f"http://{address}/", headers=headers)).status_code == 500
    assert app.state.reached == 0


async def test_a_scope_named_authenticated_changes_nothing(
    issuer: FakeIssuer, jwks: JWKS, client: httpx.AsyncClient
) -> None:
    """Every good token has it, whatever it says."""
    headers = authorization(issuer.sign(aud="api", scope="authenticated a"))
    async with serving(guard(JWTAuthBackend(jwks))) as address:
        answer = await client.get(f"http://{address}/", headers=headers)
    assert answer.json()["scopes"] == ["authenticated", "a"]


async def test_an_outage_is_no_fault_of_the_caller(
    issuer: FakeIssuer, jwks: JWKS, client: httpx.AsyncClient
) -> None:
    """Without keys the answer is 503, and when to come again, with no challenge."""
    issuer.outage(retry_after=60)
    app = guard(JWTAuthBackend(jwks, realm="shop"))
    headers = authorization(issuer.sign(aud="api"))
    async with serving(app) as address:
        answer = await client.get(f"http://{address}/", headers=headers)
        assert (await denial(f"{address}/feed", headers)).status_code == 403
    assert (answer.status_code, answer.json()) == UNAVAILABLE
    assert 60 <= int(answer.headers["Retry-After"]) <= 300
    assert "WWW-Authenticate" not in answer.headers
    assert app.state.reached == 0


async def test_another_issuer_is_no_fault_of_the_caller(
    issuer: FakeIssuer, client: httpx.AsyncClient
) -> None:
    """If discovery names another issuer the answer is 503."""
    headers = authorization(issuer.sign(aud="api"))
    async with verifying(issuer, issuer="https://other.example") as jwks:
        app = guard(JWTAuthBackend(jwks))
        async with serving(app) as address:
            answer = await client.get(f"http://{address}/", headers=headers)
    assert (answer.status_code, answer.json()) == UNAVAILABLE
    assert app.state.reached == 0


@pytest.mark.parametrize("verifier", [BrokenVerifier(), MuteVerifier()], ids=["broken", "mute"])
async def test_a_fault_of_the_program_lets_no_one_in(
    verifier: Verifier, client: httpx.AsyncClient
) -> None:
    """A verifier that blames no token and returns no claims is a 500, and reaches no endpoint."""
    app = guard(JWTAuthBackend(verifier))
    async with serving(app) as address:
        answer = await client.get(f"http://{address}/", headers=authorization("a.b.c"))
        denied = await denial(f"{address}/feed", authorization("a.b.c"))
    assert (answer.status_code, denied.status_code) == (500, 500)
    assert app.state.reached == 0


async def test_a_fault_of_the_program_is_no_refusal() -> None:
    """It passes as it is, so that it gets to the log."""
    with pytest.raises(LookupError):
        await JWTAuthBackend(BrokenVerifier()).authenticate(connection("Bearer a.b.c"))


def connection(*values: str) -> HTTPConnection:
    """Return a request with these `Authorization` headers."""
    fields = [(b"authorization", value.encode()) for value in values]
    return HTTPConnection({"type": "http", "headers": fields})


async def test_a_refusal_tells_nothing_of_the_token(jwks: JWKS) -> None:
    """The error holds the fixed answer, and no cause or context; it pickles."""
    backend = JWTAuthBackend(jwks)
    with pytest.raises(TokenRefusedError, match=r"^Invalid token$") as caught:
        await backend.authenticate(connection("Bearer junk"))
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert caught.value.refusal.status == 401
    assert pickle.loads(pickle.dumps(caught.value)).refusal == caught.value.refusal  # noqa: S301


async def test_an_error_of_others_is_answered_too(jwks: JWKS) -> None:
    """An `AuthenticationError` of a subclass of the user's is a 401, without its text."""
    backend = JWTAuthBackend(jwks, resource_metadata="https://api.example/meta")
    answer = backend.on_error(connection(), AuthenticationError("revoked: secret"))
    assert (answer.status_code, answer.body) == (401, b'{"detail":"Invalid token"}')
    assert answer.headers["WWW-Authenticate"] == (
        'Bearer realm="api", error="invalid_token", error_description="Invalid token", '
        'resource_metadata="https://api.example/meta"'
    )


async def test_a_refusal_of_ones_own_is_answered_as_it_stands(jwks: JWKS) -> None:
    """A subclass may refuse with another answer."""
    refusal = Refusal(418, "No coffee", {"Retry-After": "9"})
    answer = JWTAuthBackend(jwks).on_error(connection(), TokenRefusedError(refusal))
    assert (answer.status_code, answer.headers["Retry-After"]) == (418, "9")


@pytest.mark.parametrize(
    ("claims", "identity", "name"),
    [
        ({"sub": "7", "name": "Al", "preferred_username": "al", "email": "a@b.c"}, "7", "Al"),
        ({"sub": "7", "preferred_username": "al", "email": "a@b.c"}, "7", "al"),
        ({"sub": "7", "email": "a@b.c"}, "7", "a@b.c"),
        ({"sub": "7", "name": "", "email": None}, "7", "7"),
        ({"sub": 7, "name": ["Al"]}, "7", "7"),
        ({"sub": 0}, "0", "0"),
        ({"sub": True}, "", ""),
        ({"sub": 7.0}, "", ""),
        ({}, "", ""),
    ],
)
def test_user(claims: dict[str, Any], identity: str, name: str) -> None:
    """A user has the `sub` for identity, the best of four claims for a name, and shows no more."""
    user = TokenUser(claims)
    assert user.is_authenticated
    assert (user.identity, user.display_name, user.claims) == (identity, name, claims)
    assert repr(user) == f"TokenUser('{identity}')"
    assert len({user, TokenUser(claims)}) == 2


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"verifier": object()}, TypeError, "verifier: expected a JWKS"),
        ({"verifier": JWKS}, TypeError, "verifier: expected a JWKS"),
        ({"scopes_from": "scope"}, TypeError, "scopes_from: expected a function, got str"),
        ({"realm": 'a"b'}, ValueError, "realm: expected"),
        ({"resource_metadata": "meta"}, ValueError, "resource_metadata: the scheme"),
    ],
)
async def test_misuse(
    options: dict[str, Any], error: type[Exception], message: str, jwks: JWKS
) -> None:
    """What can't work is refused at construction."""
    with pytest.raises(error, match=f"^{message}"):
        JWTAuthBackend(**({"verifier": jwks} | options))


def test_without_starlette_the_import_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever lacks Starlette is told what to install."""
    monkeypatch.setitem(sys.modules, "starlette.authentication", None)
    monkeypatch.delitem(sys.modules, "auth_jwks.starlette")
    with pytest.raises(ImportError, match=r"install auth-jwks\[starlette\]$") as caught:
        import_module("auth_jwks.starlette")
    assert caught.value.name == "starlette.authentication"


def test_a_verifier_for_threads_is_refused() -> None:
    """It would work, and block the event loop for all others while it waits for keys."""
    threads: Any = SyncJWKS("https://idp.test", issuer="https://idp.test")
    with pytest.raises(TypeError, match="verifier: expected a JWKS, got a SyncJWKS"):
        JWTAuthBackend(threads)
