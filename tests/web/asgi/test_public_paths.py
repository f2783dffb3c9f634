"""Paths that need no token, and those that look alike."""

import asyncio

import httpx
from starlette.applications import Starlette
from starlette.routing import Mount, Route

from auth_jwks.asgi import JWTAuthMiddleware
from tests.web.asgi.driving import SeenBy, answer_claims, told, whoami
from tests.web.serving import serving
from tests.web.status_table import authorization, denial, received


async def wire(address: str, target: str) -> int:
    """Return the status of a request whose target goes out as it stands."""
    host, port = address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
    line = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return int(line.split()[1])


async def test_public_paths_need_no_token(client: httpx.AsyncClient) -> None:
    """Whatever is sent there is not looked at; nothing else is open."""
    verifier = SeenBy()
    routes = [Route(path, answer_claims) for path in ("/health", "/docs/x", "/admin")]
    app = Starlette(routes=routes)
    app.add_middleware(
        JWTAuthMiddleware, verifier=verifier, public_paths=["/health"], public_prefixes=["/docs"]
    )
    async with serving(app) as address:
        for path in ("/health", "/docs/x"):
            url = f"http://{address}{path}"
            for headers in ({}, authorization("a.b.c"), authorization("junk")):
                answer = await client.get(url, headers=headers)
                assert (answer.status_code, answer.json()) == (200, None)
        targets = ["/admin", "/health/", "//health", "/docs/../admin", "/docs/%2e%2e/admin",
                   "/docs/..%2fadmin", "/docs/..;/admin", "/docs%2fx", "http://a/health",
        ]  # fmt: skip
        for target in targets:
            assert await wire(address, target) == 401, target
        assert await wire(address, "/docs/nothing") == 404
    assert verifier.asked == []


async def test_a_mounted_application_has_public_paths_of_its_own() -> None:
    """They are held against what its own router sees."""
    guarded = JWTAuthMiddleware(
        Starlette(routes=[Route("/health", answer_claims)]), SeenBy(), public_paths=["/health"]
    )
    app = Starlette(routes=[Mount("/sub", guarded)])
    for root in ("", "/api"):
        async with serving(app, root_path=root) as address:
            assert await wire(address, "/sub/health") == 200
            assert await wire(address, "/sub/sub/health") == 401
            assert await wire(address, "/sub//health") == 401


async def test_a_public_websocket_needs_no_token() -> None:
    """The same paths count."""
    app = JWTAuthMiddleware(whoami, SeenBy(), public_paths=["/feed"])
    async with serving(app) as address:
        assert told(await received(f"{address}/feed"))["claims"] is None
        assert (await denial(f"{address}/feeds")).status_code == 401
