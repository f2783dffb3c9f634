"""CORS: preflights, which have no credentials."""

from collections.abc import Mapping

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route

from auth_jwks.asgi import JWTAuthMiddleware
from tests.web.asgi.driving import SeenBy, answer_claims, driven, http, status, websocket, whoami
from tests.web.serving import serving
from tests.web.status_table import authorization

ORIGIN = {"Origin": "https://app.example"}
PREFLIGHT = ORIGIN | {"Access-Control-Request-Method": "GET"}
CORS = Middleware(
    CORSMiddleware, allow_origins=["https://app.example"], allow_headers=["Authorization"]
)


@pytest.mark.parametrize("is_outside", [True, False])
async def test_a_preflight_reaches_cors(client: httpx.AsyncClient, *, is_outside: bool) -> None:
    """A browser sends no credentials with it; refusals carry CORS headers only from outside."""
    guard = Middleware(JWTAuthMiddleware, verifier=SeenBy(), preflight=not is_outside)
    order = [CORS, guard] if is_outside else [guard, CORS]
    app = Starlette(routes=[Route("/", answer_claims)], middleware=order)
    async with serving(app) as address:
        url = f"http://{address}"
        wanted = PREFLIGHT | {"Access-Control-Request-Headers": "authorization"}
        before = await client.options(url, headers=wanted)
        assert before.status_code == 200
        assert before.headers["Access-Control-Allow-Origin"] == "https://app.example"
        assert "Authorization" in before.headers["Access-Control-Allow-Headers"]
        answer = await client.get(url, headers=ORIGIN | authorization("a.b.c"))
        assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example"
        refused = await client.get(url, headers=ORIGIN)
        assert refused.status_code == 401
        assert ("Access-Control-Allow-Origin" in refused.headers) is is_outside


@pytest.mark.parametrize(
    ("method", "headers", "expected"),
    [
        ("OPTIONS", PREFLIGHT, 200),
        ("OPTIONS", ORIGIN, 401),
        ("OPTIONS", {"Access-Control-Request-Method": "GET"}, 401),
        ("GET", PREFLIGHT, 401),
        ("options", PREFLIGHT, 401),
        ("OPTIONS", PREFLIGHT | {"Authorization": "Bearer junk"}, 401),
        ("OPTIONS", PREFLIGHT | {"Authorization": ""}, 401),
    ],
)
async def test_only_a_preflight_passes(
    method: str, headers: Mapping[str, str], expected: int
) -> None:
    """It has both headers and no credentials; the application sees that nobody sent it."""
    fields = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    scope = http(method=method) | {"headers": fields}
    app = JWTAuthMiddleware(whoami, SeenBy(), preflight=True)
    assert status(await driven(app, scope)) == expected
    assert scope.get("state") == ({"claims": None} if expected == 200 else None)


async def test_a_preflight_is_refused_by_default() -> None:
    """Many an application runs the same code for every method, `OPTIONS` with these too."""
    fields = [(name.lower().encode(), value.encode()) for name, value in PREFLIGHT.items()]
    scope = http(method="OPTIONS") | {"headers": fields}
    assert status(await driven(JWTAuthMiddleware(whoami, SeenBy()), scope)) == 401


async def test_a_websocket_is_no_preflight() -> None:
    """Whatever a server puts into its scope."""
    fields = [(name.lower().encode(), value.encode()) for name, value in PREFLIGHT.items()]
    scope = websocket(method="OPTIONS") | {"headers": fields}
    app = JWTAuthMiddleware(whoami, SeenBy(), preflight=True)
    assert status(await driven(app, scope)) == 401
