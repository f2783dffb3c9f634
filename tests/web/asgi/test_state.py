"""What an application sees of the middleware, and the middleware of an application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import jwt
import pytest
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from auth_jwks import JWKS
from auth_jwks.asgi import JWTAuthMiddleware, Receive, Scope, Send
from auth_jwks.testing import FakeIssuer
from tests.web.asgi.driving import SeenBy, driven, http, status, websocket, whoami
from tests.web.serving import serving
from tests.web.status_table import AUDIENCE, authorization


@pytest.mark.parametrize("make", [http, websocket])
async def test_nobody_is_told_as_none(make: Any) -> None:
    """Without credentials, where they are optional; what was in the state before is gone."""
    state = {"claims": {"sub": "mallory"}, "other": 1}
    scope = make(state=state)
    await driven(JWTAuthMiddleware(whoami, SeenBy(), optional=True), scope)
    assert scope["state"] is state
    assert state == {"claims": None, "other": 1}


@pytest.mark.parametrize(
    "value", [b"", b"Basic YTpi", b"Bearer", b"Bearer a.b.x", b"a.b.c", b"\xff", b"\x00"]
)
@pytest.mark.parametrize("make", [http, websocket])
async def test_bad_credentials_are_never_nobody(make: Any, value: bytes) -> None:
    """Optional are credentials, not their being good."""
    app = JWTAuthMiddleware(whoami, SeenBy(), optional=True)
    assert status(await driven(app, make(value))) in {400, 401}


async def test_the_state_of_a_lifespan_stays(
    jwks: JWKS, issuer: FakeIssuer, client: httpx.AsyncClient
) -> None:
    """Starlette's lifespan passes, and outer middleware sees the claims in the same state."""
    seen: list[Any] = []

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[dict[str, Any]]:
        yield {"database": "open"}
        seen.append("closed")

    async def endpoint(request: Request) -> Response:
        return JSONResponse([request.state.database, request.state.claims["sub"]])

    async def log(request: Request, call_next: RequestResponseEndpoint) -> Response:
        assert request.state.database == "open"
        response = await call_next(request)
        seen.append(request.state.claims["sub"])
        return response

    app = Starlette(routes=[Route("/", endpoint)], lifespan=lifespan)
    app.add_middleware(JWTAuthMiddleware, verifier=jwks, scopes=["read"], optional=True)
    app.add_middleware(BaseHTTPMiddleware, dispatch=log)
    headers = authorization(issuer.sign(aud=AUDIENCE, scope="read"))
    async with serving(app, lifespan="on") as address:
        answer = await client.get(f"http://{address}", headers=headers)
    assert answer.json() == ["open", "alice"]
    assert seen == ["alice", "closed"]


@pytest.mark.parametrize("error", [jwt.InvalidTokenError, ValueError])
async def test_what_the_application_raises_is_its_own(error: type[Exception]) -> None:
    """No error from within becomes a refusal."""

    async def broken(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise error

    with pytest.raises(error):
        await driven(JWTAuthMiddleware(broken, SeenBy()), http(b"Bearer a.b.c"))


async def test_every_method_needs_a_token(client: httpx.AsyncClient) -> None:
    """None is thought harmless."""
    async with serving(JWTAuthMiddleware(whoami, SeenBy())) as address:
        for method in ("HEAD", "OPTIONS", "TRACE", "POST", "PROPFIND"):
            url = f"http://{address}"
            refused = await client.request(method, url)
            answer = await client.request(method, url, headers=authorization("a.b.c"))
            assert (refused.status_code, answer.status_code) == (401, 200)
            assert refused.headers["WWW-Authenticate"] == 'Bearer realm="api"'


async def test_an_unknown_kind_of_scope_does_not_pass() -> None:
    """What is not known can't be guarded."""
    with pytest.raises(ValueError, match="scope: expected type http, websocket or lifespan"):
        await driven(JWTAuthMiddleware(whoami, SeenBy(), optional=True), http(type="webtransport"))
