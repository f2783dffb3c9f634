"""What an application sees of the middleware, and the middleware of an application."""

import asyncio
import copy
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
from starlette.routing import Mount, Route

from auth_jwks import JWKS
from auth_jwks.asgi import JWTAuthMiddleware, Receive, Scope, Send
from auth_jwks.testing import FakeIssuer
from tests.web.asgi.driving import (
    EVERY_WAY,
    SeenBy,
    answer_claims,
    driven,
    http,
    status,
    websocket,
    whoami,
)
from tests.web.serving import serving
from tests.web.status_table import AUDIENCE, authorization


@pytest.mark.parametrize("make", [http, websocket])
@pytest.mark.parametrize("before", [{"claims": {"sub": "mallory"}, "other": 1}, {}, None])
async def test_nobody_is_told_as_none(make: Any, before: dict[str, Any] | None) -> None:
    """Without credentials, where they are optional; what was in the state before is gone."""
    scope = make(state=before)
    kept = copy.deepcopy(before)
    await driven(JWTAuthMiddleware(whoami, SeenBy(), optional=True), scope)
    assert scope["state"] == {**(before or {}), "claims": None}
    assert before == kept, "the dict may be that of other requests too"


@pytest.mark.parametrize("make", [http, websocket])
async def test_users_beside_each_other(make: Any) -> None:
    """A server may have one state for all requests of a connection, and run them at once."""
    shared = {"database": "open"}
    both = asyncio.Barrier(3)
    seen: list[tuple[str, Any]] = []

    async def endpoint(scope: Scope, _receive: Receive, _send: Send) -> None:
        await both.wait()
        state = scope["state"]
        seen.append((state["database"], state["claims"] and state["claims"]["sub"]))

    apps = [
        JWTAuthMiddleware(endpoint, SeenBy(sub=user), public_paths=["/open"])
        for user in ("alice", "mallory")
    ]
    await asyncio.gather(
        driven(apps[0], make(b"Bearer a.b.c", state=shared)),
        driven(apps[1], make(b"Bearer a.b.c", state=shared)),
        driven(apps[1], make(path="/open", state=shared)),
    )
    assert sorted(seen, key=str) == [("open", "alice"), ("open", "mallory"), ("open", None)]
    assert shared == {"database": "open"}


async def test_what_a_handshake_offers_is_not_changed_in_place() -> None:
    """Its lists may be the server's own."""
    offered = ["bearer", "a.b.c"]
    scope = websocket(subprotocols=offered)
    headers = scope["headers"]
    kept = list(headers)
    await driven(JWTAuthMiddleware(whoami, SeenBy(), websocket=EVERY_WAY), scope)
    assert (offered, headers) == (["bearer", "a.b.c"], kept)
    assert scope["subprotocols"] == ["bearer"]


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
    """Starlette's lifespan passes, a mounted part sees all, and outer middleware the claims."""
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
        seen.append(request.scope["state"]["claims"]["sub"])
        return response

    mounted = Mount("/part", Starlette(routes=[Route("/", endpoint)]))
    app = Starlette(routes=[Route("/", endpoint), mounted], lifespan=lifespan)
    app.add_middleware(JWTAuthMiddleware, verifier=jwks, scopes=["read"], optional=True)
    app.add_middleware(BaseHTTPMiddleware, dispatch=log)
    headers = authorization(issuer.sign(aud=AUDIENCE, scope="read"))
    async with serving(app, lifespan="on") as address:
        for path in ("/", "/part/"):
            answer = await client.get(f"http://{address}{path}", headers=headers)
            assert answer.json() == ["open", "alice"]
    assert seen == ["alice", "alice", "closed"]


def test_an_application_may_be_started_again(issuer: FakeIssuer) -> None:
    """Its lifespan enters the verifier once more, in a loop of its own; the keys stay."""
    jwks = JWKS(issuer.discovery_url, AUDIENCE, issuer=issuer.issuer)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with jwks:
            yield

    app = Starlette(routes=[Route("/", answer_claims)], lifespan=lifespan)
    app.add_middleware(JWTAuthMiddleware, verifier=jwks)

    async def once() -> int:
        headers = authorization(issuer.sign(aud=AUDIENCE))
        async with serving(app, lifespan="on") as address, httpx.AsyncClient() as client:
            return (await client.get(f"http://{address}", headers=headers)).status_code

    assert [asyncio.run(once()) for _ in range(3)] == [200] * 3
    assert issuer.jwks_requests == 1


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
