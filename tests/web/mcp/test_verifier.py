"""What `JWKSVerifier` takes, what it hands on, and what it does where no guard stands outside."""

import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import httpx
import pytest
from fastmcp import FastMCP
from fastmcp.server import auth
from fastmcp.server.auth import AuthProvider, MultiAuth, RemoteAuthProvider
from mcp.server.auth.provider import AccessToken
from pydantic import AnyHttpUrl

from auth_jwks import fastmcp, mcp
from auth_jwks.asgi import ProtectedResource
from auth_jwks.bearer import Verifier
from auth_jwks.sync import SyncJWKS
from tests.web.asgi.driving import SeenBy, http
from tests.web.status_table import MuteVerifier

URL = "https://api.example.com/mcp"
RESOURCE = ProtectedResource(URL, issuers=["https://login.example.com"])
KINDS = [pytest.param(each.JWKSVerifier, id=each.__name__) for each in (mcp, fastmcp)]

GOOD = "a.b.c"
Found = AccessToken | None


class Server:
    """An application that asks its verifier as the SDK does."""

    def __init__(self, verify: Callable[[str], Awaitable[Found]], asked: str = GOOD) -> None:
        self.verify = verify
        self.asked = asked
        self.found: Found = None
        self.scopes: list[str] = []

    async def __call__(self, scope: Any, _receive: Any, _send: Any) -> None:
        """Ask for the token of a request."""
        self.scopes.append(scope["type"])
        if scope["type"] == "http":
            self.found = await self.verify(self.asked)


async def sent(app: Any, scope: dict[str, Any]) -> list[Any]:
    """Return what an application answers."""
    messages: list[Any] = []

    async def send(message: Any) -> None:
        messages.append(message)

    await app(scope, None, send)
    return messages


def claiming(**claims: Any) -> SeenBy:
    """Return a verifier that knows one token, with these claims beside a few."""
    few: dict[str, Any] = {"aud": URL, "exp": 99_999_999_999.5, "iss": "https://a.example"}
    return SeenBy(GOOD, **(few | claims))


async def found(verifier: Verifier, **options: Any) -> AccessToken:
    """Return what a server is told of the token."""
    it = mcp.JWKSVerifier(verifier, RESOURCE, **options)
    server = Server(it.verify_token)
    assert await sent(it.guard(server), http(b"Bearer a.b.c")) == []
    assert server.found is not None
    return server.found


async def test_a_token_is_told_in_full() -> None:
    """Scopes in order, the audience that matched, and all claims; the token is not in its repr."""
    token = await found(claiming(scope="b a", client_id="editor"))
    assert token.model_dump() == {
        "token": "a.b.c",
        "client_id": "editor",
        "scopes": ["a", "b"],
        "expires_at": 99_999_999_999,
        "resource": URL,
        "subject": "alice",
        "claims": {
            "sub": "alice", "aud": URL, "exp": 99_999_999_999.5, "iss": "https://a.example",
            "scope": "b a", "client_id": "editor",
        },
    }  # fmt: skip
    assert "a.b.c" not in repr(token)


@pytest.mark.parametrize(
    ("claims", "client"),
    [
        ({"client_id": "a", "azp": "b"}, "a"),
        ({"client_id": "", "azp": "b", "appid": "c"}, "b"),
        ({"client_id": ["a"], "appid": "c"}, "c"),
        ({"cid": "d"}, "d"),
        ({}, ""),
    ],
)
async def test_the_client_has_several_names(claims: dict[str, Any], client: str) -> None:
    """The first claim that is a text; empty if the token names none."""
    assert (await found(claiming(**claims))).client_id == client


@pytest.mark.parametrize(("sub", "subject"), [("bob", "bob"), (7, "7"), (None, None), ("", None)])
async def test_the_subject_is_a_text(sub: object, subject: str | None) -> None:
    """A number is written in digits."""
    assert (await found(claiming(sub=sub))).subject == subject


async def test_the_audience_that_matched_is_the_resource() -> None:
    """The first of those that are configured, wherever it stands in the token."""
    token = await found(claiming(aud=["z", "b", "a"]), audience=["c", "a", "b"])
    assert token.resource == "a"
    assert (await found(claiming(aud="c"), audience="c")).resource == "c"


@pytest.mark.parametrize("aud", ["https://other.example", ["x"], [], None, 7, {URL: 1}])
async def test_another_audience_is_refused(aud: object) -> None:
    """Whatever the verifier behind it accepts."""
    it = mcp.JWKSVerifier(claiming(aud=aud), RESOURCE)
    server = Server(it.verify_token)
    start, _ = await sent(it.guard(server), http(b"Bearer a.b.c"))
    assert start["status"] == 401
    assert server.scopes == []


async def test_scopes_are_found_where_they_are() -> None:
    """By the same function for the guard and for the server."""
    seen = claiming(permissions=["read"])
    options: dict[str, Any] = {"scopes_from": lambda claims: claims.get("permissions", ())}
    assert (await found(seen, required_scopes=["read"], **options)).scopes == ["read"]


async def test_a_verifier_without_claims_admits_nobody() -> None:
    """It is a fault of the program."""
    it = mcp.JWKSVerifier(MuteVerifier(), RESOURCE)
    with pytest.raises(TypeError, match="verifier: expected verify_token to return claims"):
        await sent(it.guard(Server(it.verify_token)), http(b"Bearer a.b.c"))


@pytest.mark.parametrize("kind", KINDS)
async def test_without_its_guard_a_verifier_lets_nobody_in(kind: Any) -> None:
    """It says what to do, and does not take the word of another's guard."""
    verifier, other = kind(claiming(), RESOURCE), mcp.JWKSVerifier(claiming(), RESOURCE)
    with pytest.raises(RuntimeError, match=r"not guarded\. With the MCP SDK serve"):
        await verifier.verify_token("a.b.c")
    with pytest.raises(RuntimeError, match="not guarded"):
        await sent(other.guard(Server(verifier.verify_token)), http(b"Bearer a.b.c"))


async def test_another_token_than_the_verified_one_lets_nobody_in() -> None:
    """Something in between has changed the request."""
    it = mcp.JWKSVerifier(claiming(), RESOURCE)
    with pytest.raises(RuntimeError, match="not the one that the guard has verified"):
        await sent(it.guard(Server(it.verify_token, "d.e.f")), http(b"Bearer a.b.c"))


async def test_a_token_put_in_after_the_guard_lets_nobody_in() -> None:
    """A middleware in between may write its own header into the request."""
    it = mcp.JWKSVerifier(claiming(), RESOURCE)
    inner = Server(it.verify_token, "d.e.f")

    async def between(scope: Any, receive: Any, send: Any) -> None:
        scope["headers"][:] = [(b"authorization", b"Bearer d.e.f")]
        await inner(scope, receive, send)

    with pytest.raises(RuntimeError, match="not the one that the guard has verified"):
        await sent(it.guard(between), http(b"Bearer a.b.c"))


async def test_nothing_is_left_behind() -> None:
    """After a request the verifier knows nothing of it."""
    it = mcp.JWKSVerifier(claiming(), RESOURCE)
    await sent(it.guard(Server(it.verify_token)), http(b"Bearer a.b.c"))
    with pytest.raises(RuntimeError, match="not guarded"):
        await it.verify_token("a.b.c")


async def test_a_public_path_has_no_user() -> None:
    """Though a token comes along."""
    it = mcp.JWKSVerifier(claiming(), RESOURCE, public_paths=["/things"])
    server = Server(it.verify_token)
    assert await sent(it.guard(server), http(b"Bearer a.b.c")) == []
    assert server.scopes == ["http"]
    assert server.found is None


async def test_lifespans_pass() -> None:
    """A server needs its own."""
    it = mcp.JWKSVerifier(claiming(), RESOURCE)
    server = Server(it.verify_token)
    assert await sent(it.guard(server), {"type": "lifespan"}) == []
    assert server.scopes == ["lifespan"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"verifier": SyncJWKS("https://idp.test", "b", issuer="a")},
            "verifier: expected a JWKS",
        ),
        ({"resource": URL}, "resource: expected a ProtectedResource"),
        ({"audience": ()}, "audience: expected at least one"),
        ({"audience": 7}, "audience: expected a collection"),
        ({"audience": ""}, "audience: expected non-empty"),
        ({"required_scopes": "read"}, "required_scopes: expected a collection"),
        ({"scopes_from": "scope"}, "scopes_from: expected a function"),
        ({"public_paths": ["health"]}, "public_paths: expected plain paths"),
    ],
)
def test_what_makes_no_sense_is_refused(kind: Any, options: dict[str, Any], message: str) -> None:
    """At construction, by name."""
    with pytest.raises((TypeError, ValueError), match=message):
        kind(**({"verifier": claiming(), "resource": RESOURCE} | options))


def told_of_guard(provider: AuthProvider | None) -> AbstractContextManager[Any]:
    """Return a context that expects an error, unless FastMCP is known to swallow it."""
    if isinstance(provider, MultiAuth) and not hasattr(auth, "TokenVerificationError"):
        return nullcontext()
    return pytest.raises(RuntimeError, match="not guarded")


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda verifier: MultiAuth(verifiers=[verifier]),
        lambda verifier: RemoteAuthProvider(
            verifier, [AnyHttpUrl("https://login.example.com")], "https://api.example.com"
        ),
    ],
    ids=["MultiAuth", "RemoteAuthProvider"],
)
async def test_other_providers_of_fastmcp_leave_the_guard_out(
    wrapped: Callable[[fastmcp.JWKSVerifier], AuthProvider],
) -> None:
    """That is told, and is no bad token, but for the `MultiAuth` of releases before 4.2."""
    server: FastMCP[Any] = FastMCP("x", auth=wrapped(fastmcp.JWKSVerifier(claiming(), RESOURCE)))
    transport = httpx.ASGITransport(server.http_app())
    async with httpx.AsyncClient(transport=transport, base_url="https://api.example.com") as client:
        with told_of_guard(server.auth):
            answer = await client.post("/mcp", headers={"Authorization": "Bearer a.b.c"})
            assert answer.status_code == 401


@pytest.mark.parametrize(
    ("module", "missing", "message"),
    [
        ("mcp", "mcp", r"needs the MCP SDK 2: install auth-jwks\[mcp\]"),
        ("fastmcp", "fastmcp", "needs FastMCP 4: install fastmcp"),
    ],
)
def test_a_missing_package_is_named(module: str, missing: str, message: str) -> None:
    """Importing the core needs neither."""
    code = (
        f"import sys, re; sys.modules[{missing!r}] = None; import auth_jwks\n"
        f"try: import auth_jwks.{module}\n"
        f"except ImportError as fault: assert re.search({message!r}, str(fault)), fault\n"
        "else: raise SystemExit('imported')"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
