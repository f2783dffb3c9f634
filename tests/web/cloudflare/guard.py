"""An application behind `CfaAuthMiddleware`, what is sent to it, and what it answers."""

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import asdict
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from auth_jwks.asgi import Receive, Scope, Send
from auth_jwks.cloudflare import CfaAuthMiddleware, User

HEADER = "Cf-Access-Jwt-Assertion"
COOKIE = "CF_Authorization"
NONE_CAME = (401, {"detail": "Invalid CFA Token"}, "Cloudflare-Access", None)
FAILED = (401, {"detail": "CFA token verification failed"}, "Cloudflare-Access", None)
ALICE: dict[str, Any] = {
    "sub": "7335d417-61da", "email": "alice@example.com", "country": "US", "exists_identity": True,
}  # fmt: skip
DEV = User("dev", "dev@example.com")

Fields = list[tuple[str, str]]
Answer = tuple[int, object, str | None, str | None]


async def whoami(request: Request) -> JSONResponse:
    """Show the user."""
    request.app.state.reached += 1
    return JSONResponse(asdict(request.state.user))


async def feed(websocket: WebSocket) -> None:
    """Say whose websocket it is."""
    websocket.app.state.reached += 1
    await websocket.accept()
    await websocket.send_text(websocket.state.user.sub)
    await websocket.close()


def guard(**options: Any) -> Starlette:
    """Return an application as users write it."""
    app = Starlette(routes=[Route("/", whoami), WebSocketRoute("/feed", feed)])
    app.add_middleware(CfaAuthMiddleware, **options)
    app.state.reached = 0
    return app


def summary(response: httpx.Response) -> Answer:
    """Return what an answer says: its status, body, challenge, and when to come again."""
    headers = response.headers
    return (
        response.status_code,
        response.json(),
        headers.get("WWW-Authenticate"),
        headers.get("Retry-After"),
    )


def cookie(*values: str, name: str = COOKIE) -> Fields:
    """Return a `Cookie` header with these cookies."""
    return [("Cookie", "; ".join(f"{name}={value}" for value in values))]


def raw(fields: Fields) -> list[tuple[bytes, bytes]]:
    """Return headers as they are sent."""
    return [(name.encode(), value.encode("latin-1")) for name, value in fields]


async def unreached(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """Stand for an application that must not be reached."""
    pytest.fail("the application was reached")


async def connecting() -> MutableMapping[str, Any]:
    """Return a websocket's first message."""
    return {"type": "websocket.connect"}


def collector(sent: list[MutableMapping[str, Any]]) -> Send:
    """Return a `send` that keeps messages."""

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    return send


Verify = Callable[[str], Awaitable[Any]]


def raising(error: BaseException) -> Verify:
    """Return a `verify_token` that raises."""

    async def verify_token(_token: str) -> User:
        raise error

    return verify_token
