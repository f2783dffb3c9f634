"""An application behind the middleware, and scopes to drive it with, without a server."""

import json
from typing import Any

import httpx
import jwt
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from auth_jwks.asgi import ASGIApp, Receive, Scope, Send, WebSocketToken

EVERY_WAY = WebSocketToken(query_parameter="access_token", subprotocol="bearer")
TOLD = ("claims", "headers", "query", "subprotocols")

Sent = list[dict[str, Any]]


async def whoami(scope: Scope, receive: Receive, send: Send) -> None:
    """Show what came through, as JSON or as the first message of a websocket."""
    seen = {
        "claims": scope["state"]["claims"],
        "query": scope.get("query_string", b"").decode("latin-1"),
        "subprotocols": list(scope.get("subprotocols", ())),
        "headers": [value.decode("latin-1") for _, value in scope.get("headers", ())],
    }
    text = json.dumps(seen)
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": text})
        await send({"type": "websocket.close"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": text.encode()})


class SeenBy:
    """A verifier that knows one good token, and what it was asked."""

    def __init__(self, good: str = "a.b.c", **claims: Any) -> None:
        self.good = good
        self.claims = {"sub": "alice", **claims}
        self.asked: list[str] = []

    async def verify_token(self, token: str, /) -> dict[str, Any]:
        """Return the claims of the good one."""
        self.asked.append(token)
        if token != self.good:
            raise jwt.InvalidSignatureError(token)
        return dict(self.claims)


def http(*values: bytes, **members: Any) -> dict[str, Any]:
    """Return the scope of a request with these `Authorization` headers."""
    headers = [(b"host", b"api.example.com"), *((b"authorization", value) for value in values)]
    return {"type": "http", "method": "GET", "path": "/things", "headers": headers, **members}


def websocket(*values: bytes, **members: Any) -> dict[str, Any]:
    """Return the scope of a handshake with these `Authorization` headers."""
    denial: dict[str, Any] = {"websocket.http.response": {}}
    return http(*values, type="websocket", method=None, extensions=denial) | members


async def driven(app: ASGIApp, scope: dict[str, Any]) -> Sent:
    """Return what an application sends, called without a server."""
    sent: Sent = []
    kind = {"http": "http.request", "websocket": "websocket.connect"}
    taken: Sent = []

    async def receive() -> dict[str, Any]:
        taken.append({"type": kind[scope["type"]]})
        return taken[-1]

    async def send(message: dict[str, Any]) -> None:
        assert taken or scope["type"] == "http", "a handshake is answered, not foreseen"
        sent.append(message)

    await app(scope, receive, send)
    return sent


def status(sent: Sent) -> int:
    """Return the status of an answer."""
    told: int = sent[0]["status"]
    return told


def told(answer: str | httpx.Response) -> dict[str, Any]:
    """Return what `whoami` showed."""
    seen = json.loads(answer) if isinstance(answer, str) else answer.json()
    assert sorted(seen) == sorted(TOLD)
    return dict(seen)


async def answer_claims(request: Request) -> Response:
    """Show whose request it is."""
    return JSONResponse(request.state.claims)
