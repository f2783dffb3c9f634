"""`JWTAuthMiddleware`: what it lets through, what it refuses, and what an application sees."""

import asyncio
import inspect
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from auth_jwks import JWKS
from auth_jwks.asgi import ASGIApp, JWTAuthMiddleware, Receive, Scope, Send, WebSocketToken
from auth_jwks.bearer import scopes_of
from auth_jwks.sync import SyncJWKS
from auth_jwks.testing import FakeIssuer
from tests.environment import running
from tests.fleet.ports import free_port
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
    verifying,
)

GUNICORN = Path(__file__).parents[3] / "examples" / "fleet" / "gunicorn.conf.py"
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


@pytest.fixture
async def jwks(issuer: FakeIssuer) -> AsyncIterator[JWKS]:
    """Return a verifier of the provider's tokens."""
    async with verifying(issuer) as jwks:
        yield jwks


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


# What an application sees.


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


# Public paths.


async def wire(address: str, target: str) -> int:
    """Return the status of a request whose target goes out as it stands."""
    host, port = address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
    line = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return int(line.split()[1])


async def answer_claims(request: Request) -> Response:
    """Show whose request it is."""
    return JSONResponse(request.state.claims)


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


# CORS.

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


# Websockets.


@contextmanager
def logged() -> Iterator[list[str]]:
    """Collect what uvicorn logs of handshakes."""
    lines: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            """Keep the line."""
            lines.append(record.getMessage())

    collector, logger = Collector(), logging.getLogger("uvicorn.error")
    logger.addHandler(collector)
    try:
        yield lines
    finally:
        logger.removeHandler(collector)


LEGACY = [
    pytest.mark.filterwarnings(f"ignore::{kind}")
    for kind in ("DeprecationWarning", "uvicorn.config.UvicornDeprecationWarning")
]
SERVERS = [pytest.param("websockets", marks=LEGACY), "websockets-sansio", "wsproto"]


@pytest.mark.parametrize("server", SERVERS)
async def test_a_websocket_may_bring_its_token_in_other_ways(
    server: Any, jwks: JWKS, issuer: FakeIssuer
) -> None:
    """Neither the application nor the server's log sees it; the subprotocol is answered."""
    token = issuer.sign(aud=AUDIENCE)
    app = JWTAuthMiddleware(whoami, jwks, websocket=EVERY_WAY)
    async with serving(app, ws=server, log_level="info") as address:
        with logged() as lines:
            url = f"ws://{address}/feed"
            for target, offered in (
                (f"?a=1&access_token={token}&b=2", None),
                ("?a=1&b=2", [Subprotocol("bearer"), Subprotocol(token)]),
            ):
                async with connect(url + target, subprotocols=offered, proxy=None) as socket:
                    text = str(await socket.recv())
                    assert socket.subprotocol == (None if offered is None else "bearer")
                seen = told(text)
                assert seen["claims"]["sub"] == "alice"
                assert seen["query"] == "a=1&b=2"
                assert seen["subprotocols"] == ([] if offered is None else ["bearer"])
                assert token not in text
            refused = await denial(f"{address}/feed?access_token=secret.secret.secret")
            assert refused.status_code == 401
    assert any("/feed?a=1&b=2" in line and "[accepted]" in line for line in lines)
    assert any('/feed" 401' in line for line in lines)
    assert [line for line in lines if token in line or "secret" in line] == []


@pytest.mark.parametrize("way", ["header", "both"])
async def test_only_what_is_asked_for_is_read(way: str) -> None:
    """By default a websocket has its header, and a request has nothing else ever."""
    options: dict[str, Any] = {"websocket": EVERY_WAY} if way == "both" else {}
    verifier = SeenBy()
    app = JWTAuthMiddleware(whoami, verifier, **options)
    query, offered = {"query_string": b"access_token=a.b.c"}, {"subprotocols": ["bearer", "a.b.c"]}
    for make in (http, websocket):
        is_read = way == "both" and make is websocket
        for members in (query, offered):
            scope = make(**members)
            sent = await driven(app, scope)
            assert (sent[0].get("status") != 401) is is_read
            assert all(scope[name] == value for name, value in members.items()) is not is_read
    assert verifier.asked == ["a.b.c"] * 2 * (way == "both")


@pytest.mark.parametrize(
    ("query", "expected", "left"),
    [
        (b"access_token=a.b.c", True, b""),
        (b"x=1&access_token=a.b.c", True, b"x=1"),
        (b"access%5ftoken=a.b.c&x=%20&&y", True, b"x=%20&&y"),
        (b"access_token=a%2Eb.c", True, b""),
        (b"access_token=a.b.x", 401, b""),
        (b"Access_Token=a.b.c", 401, b"Access_Token=a.b.c"),
        (b"access_token", 400, b""),
        (b"access_token=", 400, b""),
        (b"access_token=+", 400, b""),
        (b"access_token=Bearer%20a.b.c", 400, b""),
        (b"access_token=a+b.c", 400, b""),
        (b"access_token=a.b.c&access_token=a.b.c", 400, b""),
        (b"access_token=a.b.c&access%5Ftoken=", 400, b""),
        (b"access_token=a.b.c%0d%0aX:", 401, b""),
        (b"access_token=%00", 401, b""),
        (b"access_token=\xff", 400, b""),
        (b"access_token=%ff", 400, b""),
        (b"\xff=1", 401, b"\xff=1"),
    ],
)
async def test_tokens_in_a_query(query: bytes, expected: int, left: bytes) -> None:
    """There may be one, and nothing stays of any, however it is written."""
    scope = websocket(query_string=query)
    sent = await driven(JWTAuthMiddleware(whoami, SeenBy(), websocket=EVERY_WAY), scope)
    assert sent[0].get("status", True) == expected
    assert scope["query_string"] == left


@pytest.mark.parametrize(
    ("offered", "expected", "left"),
    [
        (["bearer", "a.b.c"], True, ["bearer"]),
        (["chat", "bearer", "a.b.c", "soap"], True, ["chat", "bearer", "soap"]),
        (("bearer", "a.b.c"), True, ["bearer"]),
        (["bearer", "a.b.x"], 401, ["bearer"]),
        (["bearer"], 400, ["bearer"]),
        (["chat", "bearer"], 400, ["chat", "bearer"]),
        (["bearer", ""], 400, ["bearer"]),
        (["bearer", "a b"], 400, ["bearer"]),
        (["bearer", "caf\udce9"], 400, ["bearer"]),
        (["\udce9\u20ac", "bearer", "a.b.c"], True, ["\udce9\u20ac", "bearer"]),
        (["bearer", "a.b.c", "bearer", "a.b.c"], 400, ["bearer", "bearer"]),
        (["a.b.c"], 401, ["a.b.c"]),
        (["Bearer", "a.b.c"], 401, ["Bearer", "a.b.c"]),
    ],
)
async def test_tokens_among_subprotocols(offered: Any, expected: int, left: list[str]) -> None:
    """The entry after the name is the token, and is taken away with the header's copy of it."""
    header = b"sec-websocket-protocol"
    value = ", ".join(offered).encode("utf-8", "replace")
    scope = websocket(subprotocols=offered)
    scope["headers"] = [(header, value[:3]), *scope["headers"], (header, value[3:])]
    sent = await driven(JWTAuthMiddleware(whoami, SeenBy(), websocket=EVERY_WAY), scope)
    assert sent[0].get("status", True) == expected
    assert scope["subprotocols"] == left
    if "bearer" in left:
        copies = [value for name, value in scope["headers"] if name == header]
        assert copies == [", ".join(left).encode("latin-1", "replace")]


@pytest.mark.parametrize(
    ("offered", "chosen", "told_to_client"),
    [
        (["bearer", "a.b.c"], None, "bearer"),
        (["bearer", "a.b.c"], "", "bearer"),
        (["bearer", "a.b.c", "chat"], "chat", "chat"),
        (["chat"], None, None),
        ([], None, None),
    ],
)
async def test_a_subprotocol_is_selected_for_want_of_another(
    offered: list[str], chosen: str | None, told_to_client: str | None
) -> None:
    """A browser that offered some takes an answer without any for a failure."""

    async def accept(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept", "subprotocol": chosen})
        await send({"type": "websocket.close", "code": len(scope["headers"])})

    app = JWTAuthMiddleware(accept, SeenBy(), websocket=EVERY_WAY, optional=True)
    sent = await driven(app, websocket(subprotocols=offered))
    assert sent[0] == {"type": "websocket.accept", "subprotocol": told_to_client}
    assert "subprotocol" not in sent[1]


@pytest.mark.parametrize(
    ("values", "members"),
    [
        ([b"Bearer a.b.c"], {"query_string": b"access_token=a.b.c"}),
        ([b"Bearer a.b.c"], {"subprotocols": ["bearer", "a.b.c"]}),
        ([b"Basic YTpi"], {"query_string": b"access_token=a.b.c"}),
        ([], {"query_string": b"access_token=a.b.c", "subprotocols": ["bearer", "a.b.c"]}),
    ],
)
async def test_one_way_at_a_time(values: list[bytes], members: dict[str, Any]) -> None:
    """A client must not use two methods at once (RFC 6750 §2)."""
    app = JWTAuthMiddleware(whoami, SeenBy(), websocket=EVERY_WAY, optional=True)
    scope = websocket(*values, **members)
    assert status(await driven(app, scope)) == 400
    assert "a.b.c" not in str((scope.get("query_string"), scope.get("subprotocols")))


@pytest.mark.parametrize("extensions", [{}, None])
async def test_a_handshake_is_closed_where_it_can_not_be_answered(extensions: Any) -> None:
    """1008 is a violation of policy (RFC 6455 §7.4.1)."""
    sent = await driven(JWTAuthMiddleware(whoami, SeenBy()), websocket(extensions=extensions))
    assert sent == [{"type": "websocket.close", "code": 1008}]


@pytest.mark.parametrize("field", ["query_parameter", "subprotocol"])
@pytest.mark.parametrize("name", ["", " ", "a b", "a=b", "a,b", "caf\xe9", "a\n", "a%20b", 1])
def test_names_of_websocket_tokens_are_checked(field: str, name: Any) -> None:
    """They stand in a URL or a header as they are."""
    with pytest.raises((TypeError, ValueError), match=f"{field}: expected"):
        WebSocketToken(**{field: name})


# Whatever is sent.

HOSTILE = st.binary() | st.lists(
    st.sampled_from([b"Bearer", b"bearer", b" ", b"\t", b",", b"a.b.c", b"\xff", b"\0", b"=", b"&",
                     b"access_token", b"%", b"%ff", b"%5f"])
).map(b"".join)  # fmt: skip


@given(
    make=st.sampled_from([http, websocket]),
    values=st.lists(HOSTILE, max_size=2),
    query=HOSTILE,
    offered=st.lists(st.text() | st.sampled_from(["bearer", "a.b.c", "\udce9"]), max_size=3),
    optional=st.booleans(),
)
async def test_whatever_is_sent_is_answered(
    *, make: Any, values: list[bytes], query: bytes, offered: list[str], optional: bool
) -> None:
    """There is a clean refusal for everything, and claims only for the good token."""
    app = JWTAuthMiddleware(whoami, SeenBy(), optional=optional, websocket=EVERY_WAY)
    scope = make(*values, query_string=query, subprotocols=offered)
    sent = await driven(app, scope)
    if sent[0].get("status", 200) == 200:
        claims = scope["state"]["claims"]
        assert claims == {"sub": "alice"} or (optional and claims is None and not values)
    else:
        assert status(sent) in {400, 401}
        assert json.loads(sent[1]["body"])["detail"] in {
            "Not authenticated", "Malformed credentials", "Invalid token",
        }  # fmt: skip


async def test_a_huge_token_is_refused(
    jwks: JWKS, issuer: FakeIssuer, client: httpx.AsyncClient
) -> None:
    """Without a look at the keys."""
    async with serving(JWTAuthMiddleware(whoami, jwks)) as address:
        for size in (17_000, 60_000):
            headers = authorization("a." + "b" * size + ".c")
            refused = await client.get(f"http://{address}", headers=headers)
            assert (refused.status_code, refused.json()) == (401, {"detail": "Invalid token"})
    assert issuer.requests == ()


async def test_a_scope_may_lack_what_is_optional() -> None:
    """Headers, subprotocols and a query may be absent (ASGI)."""
    app = JWTAuthMiddleware(whoami, SeenBy(), websocket=EVERY_WAY)
    assert status(await driven(app, {"type": "http", "method": "OPTIONS", "path": "/"})) == 401
    bare: dict[str, Any] = {"type": "websocket", "path": "/"}
    assert await driven(app, bare) == [{"type": "websocket.close", "code": 1008}]


# Configuration.


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"verifier": None}, "verifier: expected a JWKS"),
        ({"verifier": JWKS}, "verifier: expected a JWKS"),
        ({"scopes": "read"}, "scopes: expected a collection"),
        ({"scopes": ["a b"]}, "scopes: expected words"),
        ({"scopes_from": "scope"}, "scopes_from: expected a function"),
        ({"public_paths": "/health"}, "public_paths: expected a collection"),
        ({"public_paths": ["health"]}, "public_paths: expected plain paths"),
        ({"public_prefixes": ["/"]}, "public_prefixes: expected plain paths"),
        ({"optional": 1}, "optional: expected True or False"),
        ({"websocket": None}, "websocket: expected a WebSocketToken"),
        ({"realm": '"'}, "realm: expected printable ASCII"),
        ({"resource_metadata": "a"}, "resource_metadata: the scheme must be"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], message: str) -> None:
    """At construction, by name."""
    with pytest.raises((TypeError, ValueError), match=message):
        JWTAuthMiddleware(whoami, **({"verifier": SeenBy()} | options))


def test_no_framework_is_needed() -> None:
    """The module imports where Starlette is not installed."""
    code = "import sys; sys.modules['starlette'] = None; import auth_jwks.asgi"
    subprocess.run([sys.executable, "-c", code], check=True)


PAGE = (Path(__file__).parents[3] / "docs" / "web.md").read_text("utf-8")


@pytest.mark.parametrize("documented", [JWTAuthMiddleware, WebSocketToken])
def test_the_page_lists_every_parameter(documented: type) -> None:
    """In the order of the signature, with its default."""
    table = PAGE.split(f"| parameter of `{documented.__name__}` |")[1].split("\n\n")[0]
    listed = re.findall(r"^\| `(\w+)` \|(?: `(.+?)`)? \|", table, re.MULTILINE)
    known = {
        inspect.Parameter.empty: "",
        scopes_of: "scopes_of",
        WebSocketToken(): "WebSocketToken()",
    }
    parameters = inspect.signature(documented).parameters.values()
    assert listed == [
        (each.name, known.get(each.default, repr(each.default))) for each in parameters
    ]


# As it is deployed.

APP = """
import os
from auth_jwks import JWKS
from auth_jwks.asgi import JWTAuthMiddleware

async def inner(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["state"]["claims"]["sub"].encode()})

def guarded(url):
    return JWTAuthMiddleware(inner, JWKS(url, issuer=os.environ["ISSUER"], retries=0))

up, down = guarded(os.environ["UP"]), guarded(os.environ["DOWN"])

async def app(scope, receive, send):
    await (down if scope.get("path") == "/down" else up)(scope, receive, send)
"""


@contextmanager
def deployed(folder: Path, issuer: FakeIssuer, down: FakeIssuer) -> Iterator[str]:
    """Run gunicorn's own ASGI workers, with the settings of the example."""
    (folder / "app.py").write_text(APP)
    address = f"127.0.0.1:{free_port()}"
    told_to = {"BIND": address, "ISSUER": issuer.issuer}
    told_to |= {"UP": issuer.discovery_url, "DOWN": down.discovery_url}
    command = [
        sys.executable, "-m", "gunicorn", "-c", str(GUNICORN), "-k", "asgi", "--workers", "2",
        "--log-level", "critical",
    ]  # fmt: skip
    with running(command, env=os.environ | told_to, cwd=folder):
        yield address


async def first(client: httpx.AsyncClient, url: str) -> httpx.Response:
    """Return the first answer of a service that is about to start."""
    async with asyncio.timeout(20):
        while True:
            with suppress(httpx.NetworkError, httpx.RemoteProtocolError):
                return await client.get(url)
            await asyncio.sleep(0.02)


async def test_gunicorn_workers_answer_alike(
    issuer: FakeIssuer, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    """401, 200 and 503 as behind uvicorn; a handshake is closed, as there is no denial response."""
    headers = authorization(issuer.sign(iss=issuer.issuer))
    with FakeIssuer(issuer=issuer.issuer) as down:
        down.outage(retry_after=60)
        with deployed(tmp_path, issuer, down) as address:
            refused = await first(client, f"http://{address}")
            assert answer_of(refused) == (401, "Not authenticated", ['Bearer realm="api"'])
            answer = await client.get(f"http://{address}", headers=headers)
            assert (answer.status_code, answer.text) == (200, "alice")
            late = await client.get(f"http://{address}/down", headers=headers)
            assert (late.status_code, late.json()) == UNAVAILABLE
            assert 1 <= int(late.headers["Retry-After"]) <= 300
            assert (await denial(address)).status_code == 403


def test_a_verifier_for_threads_is_refused() -> None:
    """It would work, and block the event loop for all others while it waits for keys."""
    threads: Any = SyncJWKS("https://idp.test", issuer="https://idp.test")
    with pytest.raises(TypeError, match="verifier: expected a JWKS, got a SyncJWKS"):
        JWTAuthMiddleware(whoami, threads)
