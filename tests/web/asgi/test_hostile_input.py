"""Whatever is sent is answered."""

import json
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_jwks import JWKS
from auth_jwks.asgi import JWTAuthMiddleware
from auth_jwks.testing import FakeIssuer
from tests.web.asgi.driving import EVERY_WAY, SeenBy, driven, http, status, websocket, whoami
from tests.web.serving import serving
from tests.web.status_table import authorization

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


@pytest.mark.parametrize("path", ["/things", "/health"])
async def test_a_handshake_too_long_to_look_through_is_refused(path: str) -> None:
    """On public paths too, as what might be a token would be left for the application to see."""
    app = JWTAuthMiddleware(whoami, SeenBy(), websocket=EVERY_WAY, public_paths=["/health"])
    for members in (
        {"query_string": b"%25&" * 2048 + b"access_token=a.b.c"},
        {"subprotocols": ["a"] * 200 + ["bearer", "a.b.c"]},
        {"query_string": b"access_token=" + b"%41" * 1000},
    ):
        scope = websocket(path=path, **members)
        assert status(await driven(app, scope)) == 400
        assert b"access_token" not in scope.get("query_string", b"")
    many = http(path=path)
    many["headers"] = many["headers"] * 2000
    assert status(await driven(app, many)) == {"/things": 400, "/health": 200}[path]
