"""Handshakes, and the ways in which they bring a token."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from auth_jwks import JWKS
from auth_jwks.asgi import JWTAuthMiddleware, Receive, Scope, Send, WebSocketToken
from auth_jwks.testing import FakeIssuer
from tests.web.asgi.driving import EVERY_WAY, SeenBy, driven, http, status, told, websocket, whoami
from tests.web.serving import SERVERS, serving
from tests.web.status_table import AUDIENCE, denial


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
