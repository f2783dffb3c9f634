"""The metadata of a protected resource (RFC 9728): where they are, and who may read them."""

import json
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Mount, Route

from auth_jwks.asgi import JWTAuthMiddleware, ProtectedResource
from tests.web.asgi.driving import SeenBy, websocket, whoami
from tests.web.serving import serving

ISSUER = "https://login.example.com/"
WELL_KNOWN = "/.well-known/oauth-protected-resource"
SEEN = {"Authorization": "Bearer a.b.c"}


def resource(url: str = "https://api.example.com", **options: Any) -> ProtectedResource:
    """Return the metadata of an API."""
    return ProtectedResource(url, **({"issuers": [ISSUER]} | options))


def guarded(it: ProtectedResource, **options: Any) -> JWTAuthMiddleware:
    """Return an application that shows what reached it, guarded."""
    return JWTAuthMiddleware(whoami, SeenBy(), resource=it, **options)


def calling(app: Any, root_path: str = "") -> httpx.AsyncClient:
    """Return a client of an application that runs without a server."""
    transport = httpx.ASGITransport(app, root_path=root_path)
    return httpx.AsyncClient(transport=transport, base_url="https://api.example.com")


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("https://api.example.com", WELL_KNOWN),
        ("https://api.example.com/", WELL_KNOWN),
        ("https://api.example.com:8443/mcp", f"{WELL_KNOWN}/mcp"),
        ("https://api.example.com/a/b/", f"{WELL_KNOWN}/a/b/"),
        ("http://localhost:8000/mcp", f"{WELL_KNOWN}/mcp"),
    ],
)
def test_the_place_is_that_of_the_rfc(url: str, path: str) -> None:
    """Between host and path, and without the slash after the host (RFC 9728 §3.1)."""
    it = resource(url)
    assert it.metadata_path == path
    assert it.metadata_url == "/".join(url.split("/")[:3]) + path


async def test_a_real_server_serves_it(client: httpx.AsyncClient) -> None:
    """As JSON, to anybody, and named in every challenge; all else needs a token."""
    it = resource("https://api.example.com/v1", issuers=[ISSUER, ISSUER], scopes=("b", "a", "b"))
    async with serving(guarded(it, scopes=["a"])) as host:
        answer = await client.get(f"http://{host}{WELL_KNOWN}/v1")
        refused = await client.get(f"http://{host}/v1")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "public, max-age=3600"
    assert answer.json() == {
        "resource": "https://api.example.com/v1",
        "authorization_servers": [ISSUER],
        "scopes_supported": ["b", "a"],
        "bearer_methods_supported": ["header"],
    }
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"] == (
        f'Bearer realm="api", scope="a", resource_metadata="{it.metadata_url}"'
    )


async def test_scopes_are_left_out_where_there_are_none() -> None:
    """An empty member is none (RFC 9728 §3.2)."""
    async with calling(guarded(resource())) as client:
        assert "scopes_supported" not in (await client.get(WELL_KNOWN)).json()


async def test_reading_is_all_that_may_be_done() -> None:
    """`HEAD` has the headers of `GET`, the rest is refused, with a token as well."""
    async with calling(guarded(resource())) as client:
        got, head = await client.get(WELL_KNOWN), await client.head(WELL_KNOWN)
        assert (head.status_code, head.headers, head.content) == (200, got.headers, b"")
        for method in ("POST", "PUT", "DELETE", "PROPFIND"):
            answer = await client.request(method, WELL_KNOWN, headers=SEEN)
            assert answer.status_code == 405
            assert answer.headers["Allow"] == "GET, HEAD, OPTIONS"


async def test_pages_of_any_origin_may_read_it() -> None:
    """With headers of their own, which take a preflight; no cookie is asked for."""
    asking = {
        "Origin": "https://inspector.example",
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "mcp-protocol-version",
    }
    async with calling(guarded(resource())) as client:
        preflight = await client.options(WELL_KNOWN, headers=asking)
        answer = await client.get(WELL_KNOWN, headers=asking)
        elsewhere = await client.options("/", headers=asking)
    assert preflight.status_code == 204
    assert "Content-Length" not in preflight.headers
    assert preflight.headers["Access-Control-Allow-Headers"] == "*"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in answer.headers
    assert elsewhere.status_code == 401


async def test_cors_outside_does_not_double_it() -> None:
    """Its answer counts."""
    outside = Middleware(CORSMiddleware, allow_origins=["https://app.example"])
    app = Starlette(
        middleware=[outside, Middleware(JWTAuthMiddleware, SeenBy(), resource=resource())]
    )
    async with calling(app) as client:
        answer = await client.get(WELL_KNOWN, headers={"Origin": "https://app.example"})
    assert answer.headers.get_list("Access-Control-Allow-Origin") == ["https://app.example"]


@pytest.mark.parametrize(
    "path",
    [
        f"{WELL_KNOWN}/mcp/", f"{WELL_KNOWN}/mcp/x", f"{WELL_KNOWN}/MCP", WELL_KNOWN,
        f"{WELL_KNOWN}//mcp", f"/x{WELL_KNOWN}/mcp", "/.well-known/openid-configuration", "/mcp",
    ],
)  # fmt: skip
async def test_no_other_path_is_public(path: str) -> None:
    """Not one that looks like it."""
    async with calling(guarded(resource("https://api.example.com/mcp"))) as client:
        assert (await client.get(path)).status_code == 401


async def test_a_websocket_never_is() -> None:
    """Its handshake needs a token there, too."""
    assert not resource().is_asked(websocket(path=WELL_KNOWN))


@pytest.mark.parametrize("path", [f"/api{WELL_KNOWN}/api", f"{WELL_KNOWN}/api"])
async def test_a_root_path_is_left_out(path: str) -> None:
    """Behind a proxy the server puts it in front, or the proxy leaves the path as it is."""
    it = resource("https://api.example.com/api")
    async with calling(guarded(it), root_path="/api") as client:
        assert (await client.get(path)).json()["resource"] == it.resource


async def test_a_mount_needs_a_route_beside_it() -> None:
    """The resource is an application of its own, for the root, where a mount can't answer."""
    it = resource("https://api.example.com/mcp")
    app = Starlette(routes=[Route(it.metadata_path, it), Mount("/mcp", guarded(it))])
    async with calling(app) as client:
        refused = await client.get("/mcp/things")
        _, _, named = refused.headers["WWW-Authenticate"].partition('resource_metadata="')
        answer = await client.get(named.rstrip('"'))
        assert (await client.get("/mcp/things", headers=SEEN)).status_code == 200
    assert answer.json()["resource"] == it.resource


async def test_the_application_never_sees_it() -> None:
    """Nothing that it does there is public."""
    seen: list[Any] = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        seen.append(scope)

    async with calling(JWTAuthMiddleware(app, SeenBy(), resource=resource())) as client:
        for method in ("GET", "HEAD", "OPTIONS", "POST"):
            await client.request(method, WELL_KNOWN, headers=SEEN)
    assert seen == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resource": None}, "resource: expected a URL, got None"),
        ({"resource": 7}, "resource: expected a URL, got int"),
        ({"resource": ""}, "resource: expected an http or https URL"),
        ({"resource": "http://api.example.com"}, "resource: expected an https URL, or http"),
        ({"resource": "https://a:b@api.example.com"}, "resource: it must not contain credentials"),
        ({"resource": "https://api.example.com?x"}, "resource: expected a plain ASCII URL"),
        ({"resource": "https://api.example.com/#"}, "resource: expected a plain ASCII URL"),
        ({"resource": "https://api.example.com/a//b"}, "resource: expected a plain ASCII URL"),
        ({"resource": "https://api.example.com/%61"}, "resource: expected a plain ASCII URL"),
        ({"resource": 'https://api".example.com'}, "resource: expected a plain ASCII URL"),
        ({"resource": "https://b\u00fccher.example"}, "resource: expected a plain ASCII URL"),
        ({"issuers": ISSUER}, "issuers: expected a collection"),
        ({"issuers": []}, "issuers: expected at least one URL"),
        ({"issuers": ["login"]}, "issuers: the scheme must be"),
        ({"issuers": ["http://login.example.com"]}, "issuers: expected an https URL"),
        ({"issuers": [f"{ISSUER}{{tenantid}}/v2.0"]}, "issuers: expected a plain ASCII URL"),
        ({"scopes": "read"}, "scopes: expected a collection"),
        ({"scopes": ["a b"]}, "scopes: expected words"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], message: str) -> None:
    """At construction, by name, and without what it was."""
    good = {"resource": "https://api.example.com", "issuers": [ISSUER]} | options
    with pytest.raises((TypeError, ValueError), match=message) as raised:
        ProtectedResource(good.pop("resource"), **good)
    assert "a:b" not in str(raised.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resource": "https://api.example.com"}, "resource: expected a ProtectedResource or None"),
        (
            {"resource": resource(), "resource_metadata": "https://a.example/m"},
            "resource, resource_metadata: expected at most one",
        ),
    ],
)
def test_the_middleware_takes_a_resource_only(options: dict[str, Any], message: str) -> None:
    """And no other metadata beside it."""
    with pytest.raises((TypeError, ValueError), match=message):
        JWTAuthMiddleware(whoami, SeenBy(), **options)


def test_it_is_a_value() -> None:
    """Equal if it says the same, and its repr is what it was made of."""
    assert resource(scopes=["a"]) == resource(scopes=("a", "a"))
    assert hash(resource()) == hash(resource())
    assert json.dumps(ISSUER)[1:-1] in repr(resource())
