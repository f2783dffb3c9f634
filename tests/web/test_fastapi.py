"""`JWTBearer`: claims as a dependency, scopes as `Security`, and what OpenAPI says of both."""

import logging
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Annotated, Any

import httpx
import pytest
from fastapi import (
    APIRouter,
    Depends,
    FastAPI,
    HTTPException,
    Request,
    Response,
    Security,
    WebSocket,
)
from fastapi.openapi.models import OpenAPI
from fastapi.security import SecurityScopes
from pydantic import BaseModel, field_validator, model_validator
from starlette.requests import HTTPConnection

from auth_jwks import JWKS
from auth_jwks.bearer import Verifier
from auth_jwks.fastapi import JWTBearer
from auth_jwks.sync import SyncJWKS
from auth_jwks.testing import FakeIssuer
from tests.web.serving import serving
from tests.web.status_table import (
    REFUSED,
    UNAVAILABLE,
    BrokenVerifier,
    MuteVerifier,
    answer_of,
    answers,
    authorization,
    denial,
    received,
    repeated,
    verifying,
)


class Claims(BaseModel):
    """What an application may want of a token."""

    sub: str
    level: int = 0
    tenant: str | None = None

    @field_validator("tenant")
    @classmethod
    def known(cls, tenant: str | None) -> str | None:
        """Refuse a tenant that isn't."""
        if tenant == "unknown":
            raise ValueError(tenant)
        return tenant


def guard(bearer: JWTBearer[Any]) -> FastAPI:
    """Return an application as users write it, which counts what its endpoints answer."""
    app = FastAPI()
    app.state.reached = 0

    @app.get("/")
    async def me(claims: Annotated[Any, Depends(bearer)]) -> Any:
        app.state.reached += 1
        return claims

    @app.get("/things", dependencies=[Security(bearer, scopes=["read", "list"])])
    async def things() -> None:
        app.state.reached += 1

    @app.websocket("/feed")
    async def feed(
        websocket: WebSocket, claims: Annotated[Any, Security(bearer, scopes=["read"])]
    ) -> None:
        app.state.reached += 1
        await websocket.accept()
        await websocket.send_text(claims["sub"])
        await websocket.close()

    return app


async def asked(app: FastAPI, path: str, token: str) -> httpx.Response:
    """Return what an application answers to a token, without a server."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        return await client.get(path, headers=authorization(token))


async def test_what_is_refused(issuer: FakeIssuer, jwks: JWKS, client: httpx.AsyncClient) -> None:
    """Bad credentials are answered as RFC 6750 asks, with nothing of them, by no endpoint."""
    app = guard(JWTBearer(jwks, realm="shop"))
    requests = {name: repeated(row.headers(issuer)) for name, row in REFUSED.items()}
    async with serving(app) as address:
        refused = {
            name: answer_of(await client.get(f"http://{address}/", headers=headers))
            for name, headers in requests.items()
        }
        denied = {
            name: answer_of(await denial(f"{address}/feed", headers))
            for name, headers in requests.items()
        }
    assert refused == answers(REFUSED)
    scope = ', scope="read"'
    assert denied == {
        name: (status, detail, [f"{challenge}{scope}"])
        for name, (status, detail, [challenge]) in answers(REFUSED).items()
    }
    assert app.state.reached == 0


async def test_without_credentials_the_challenge_says_no_more(
    jwks: JWKS, client: httpx.AsyncClient
) -> None:
    """Who brings nothing is told what is asked for, and of no error (RFC 6750 §3.1)."""
    metadata = "https://api.example/.well-known/oauth-protected-resource"
    async with serving(guard(JWTBearer(jwks, resource_metadata=metadata))) as address:
        plain, scoped = [await client.get(f"http://{address}/{at}") for at in ("", "things")]
        denied = await denial(f"{address}/feed")
    assert answer_of(plain) == (
        401, "Not authenticated", [f'Bearer realm="api", resource_metadata="{metadata}"'],
    )  # fmt: skip
    for answer, scope in ((scoped, "read list"), (denied, "read")):
        assert answer.status_code == 401
        assert f'realm="api", scope="{scope}", res' in answer.headers["WWW-Authenticate"]


async def test_a_good_token_lets_in(
    issuer: FakeIssuer, jwks: JWKS, client: httpx.AsyncClient
) -> None:
    """Endpoints and websockets get the claims."""
    token = issuer.sign(aud="api", scope="read", groups=["a"])
    async with serving(guard(JWTBearer(jwks))) as address:
        answer = await client.get(f"http://{address}/", headers=authorization(token))
        heard = await received(f"{address}/feed", authorization(token))
    assert answer.status_code == 200
    assert (answer.json()["sub"], answer.json()["groups"], heard) == ("alice", ["a"], "alice")


async def test_claims_are_the_caller_s_own(
    issuer: FakeIssuer, jwks: JWKS, client: httpx.AsyncClient
) -> None:
    """What an endpoint does to its claims, the next request doesn't see."""
    app = FastAPI()

    @app.get("/")
    async def spoil(claims: Annotated[dict[str, Any], Depends(JWTBearer(jwks))]) -> Any:
        claims["groups"].append("admin")
        return claims["groups"]

    headers = authorization(issuer.sign(aud="api", groups=["a"]))
    async with serving(app) as address:
        heard = [(await client.get(f"http://{address}/", headers=headers)).json() for _ in "12"]
    assert heard == [["a", "admin"]] * 2


async def test_a_scope_that_lacks_is_told(
    issuer: FakeIssuer, jwks: JWKS, client: httpx.AsyncClient
) -> None:
    """A token without all the scopes of the route is answered 403, and which they are."""
    app, headers = guard(JWTBearer(jwks)), authorization(issuer.sign(aud="api", scope="list"))
    error = 'Bearer realm="api", error="insufficient_scope", error_description="Insufficient scope"'
    async with serving(app) as address:
        refused = await client.get(f"http://{address}/things", headers=headers)
        denied = await denial(f"{address}/feed", headers)
    assert answer_of(refused) == (403, "Insufficient scope", [f'{error}, scope="read list"'])
    assert answer_of(denied) == (403, "Insufficient scope", [f'{error}, scope="read"'])
    assert app.state.reached == 0


class CountingVerifier:
    """A verifier that counts what it is asked."""

    def __init__(self, jwks: JWKS) -> None:
        self.jwks = jwks
        self.calls = 0

    async def verify_token(self, token: str, /) -> dict[str, Any]:
        """Return the claims."""
        self.calls += 1
        return await self.jwks.verify_token(token)


@pytest.mark.parametrize(
    ("scope", "path", "status", "calls"),
    [
        ("a b c", "/a/plain", 200, 1),
        ("a b c", "/a/b/c", 200, 3),
        ("a b", "/a/b/c", 403, 3),
        ("a c", "/a/b/c", 403, 2),
        ("b c", "/a/b/c", 403, 1),
        ("b c", "/a/plain", 403, 1),
    ],
)
async def test_nested_scopes_add_up(
    scope: str,
    path: str,
    status: int,
    calls: int,
    issuer: FakeIssuer,
    jwks: JWKS,
) -> None:
    """Scopes of a router, of a dependency and below it add up; equal ones are checked once."""
    verifier = CountingVerifier(jwks)
    bearer = JWTBearer(verifier)
    router = APIRouter(prefix="/a", dependencies=[Security(bearer, scopes=["a"])])

    async def user(claims: Annotated[dict[str, Any], Security(bearer, scopes=["c"])]) -> str:
        return str(claims["sub"])

    @router.get("/plain", dependencies=[Security(bearer, scopes=["a"])])
    async def plain() -> None: ...

    @router.get("/b/c", dependencies=[Security(bearer, scopes=["b"])])
    async def deep(name: Annotated[str, Security(user, scopes=["b"])]) -> str:
        return name

    app = FastAPI()
    app.include_router(router)
    answer = await asked(app, path, issuer.sign(aud="api", scope=scope))
    assert (answer.status_code, verifier.calls) == (status, calls)


def permissions(claims: Mapping[str, Any]) -> Any:
    """Return what Auth0 grants."""
    return claims.get("permissions", ())


def roles(claims: Mapping[str, Any]) -> Any:
    """Return what Keycloak grants."""
    return claims.get("realm_access", {}).get("roles", ())


@pytest.mark.parametrize(
    ("claims", "options", "status"),
    [
        ({"scope": "list read"}, {}, 200),
        ({"scp": "list read"}, {}, 200),
        ({"scp": ["list", "read"]}, {}, 200),
        ({"permissions": ["list", "read"]}, {}, 403),
        ({"permissions": ["list", "read"]}, {"scopes_from": permissions}, 200),
        ({"scope": "list read"}, {"scopes_from": permissions}, 403),
        ({"realm_access": {"roles": ["list", "read"]}}, {"scopes_from": roles}, 200),
        ({"permissions": "list read"}, {"scopes_from": permissions}, 500),
        ({"permissions": 7}, {"scopes_from": permissions}, 500),
    ],
    ids=[
        "scope", "scp", "scp list", "none", "Auth0", "not Auth0's", "Keycloak", "bare string",
        "a number",
    ],
)  # fmt: skip
async def test_scopes_come_from_the_claims(
    claims: Mapping[str, Any],
    options: dict[str, Any],
    status: int,
    issuer: FakeIssuer,
    jwks: JWKS,
) -> None:
    """A token grants what the usual claims say, or what the user's own function finds."""
    app = guard(JWTBearer(jwks, **options))
    answer = await asked(app, "/things", issuer.sign(claims, aud="api"))
    assert (answer.status_code, app.state.reached) == (status, status == 200)


async def test_an_outage_is_no_fault_of_the_caller(
    issuer: FakeIssuer, jwks: JWKS, client: httpx.AsyncClient
) -> None:
    """Without keys the answer is 503, and when to come again, with no challenge."""
    issuer.outage(retry_after=60)
    app, headers = guard(JWTBearer(jwks)), authorization(issuer.sign(aud="api"))
    async with serving(app) as address:
        answer = await client.get(f"http://{address}/", headers=headers)
        denied = await denial(f"{address}/feed", headers)
    for refused in (answer, denied):
        assert (refused.status_code, refused.json()) == UNAVAILABLE
        assert 60 <= int(refused.headers["Retry-After"]) <= 300
        assert "WWW-Authenticate" not in refused.headers
    assert app.state.reached == 0


async def test_another_issuer_is_no_fault_of_the_caller(
    issuer: FakeIssuer, client: httpx.AsyncClient
) -> None:
    """If discovery names another issuer the answer is 503."""
    headers = authorization(issuer.sign(aud="api"))
    async with verifying(issuer, issuer="https://other.example") as jwks:
        app = guard(JWTBearer(jwks))
        async with serving(app) as address:
            answer = await client.get(f"http://{address}/", headers=headers)
            denied = await denial(f"{address}/feed", headers)
    for refused in (answer, denied):
        assert (refused.status_code, refused.json()) == UNAVAILABLE
    assert app.state.reached == 0


@pytest.mark.parametrize("verifier", [BrokenVerifier(), MuteVerifier()], ids=["broken", "mute"])
@pytest.mark.parametrize("auto_error", [True, False])
async def test_a_fault_of_the_program_lets_no_one_in(
    verifier: Verifier, client: httpx.AsyncClient, *, auto_error: bool
) -> None:
    """A verifier that blames no token and returns no claims is a 500, and reaches no endpoint."""
    app = guard(JWTBearer(verifier, auto_error=auto_error))
    async with serving(app) as address:
        answer = await client.get(f"http://{address}/", headers=authorization("a.b.c"))
        denied = await denial(f"{address}/feed", authorization("a.b.c"))
    assert (answer.status_code, denied.status_code) == (500, 500)
    assert app.state.reached == 0


async def test_a_fault_of_the_program_is_no_refusal() -> None:
    """It passes as it is, so that it gets to the log."""
    fields = [(b"authorization", b"Bearer a.b.c")]
    with pytest.raises(LookupError):
        await JWTBearer(BrokenVerifier())(
            HTTPConnection({"type": "http", "headers": fields}), SecurityScopes()
        )


async def test_optional_means_anonymous_without_credentials_only(
    issuer: FakeIssuer, jwks: JWKS, client: httpx.AsyncClient
) -> None:
    """No credentials are None, where no scope is asked for; bad ones are refused as ever."""
    app = guard(JWTBearer(jwks, auto_error=False, realm="shop"))
    rows = {
        name: REFUSED[name] for name in ("another scheme", "several headers", "no token", "junk")
    }
    requests = {name: repeated(row.headers(issuer)) for name, row in rows.items()}
    async with serving(app) as address:
        anonymous = await client.get(f"http://{address}/")
        refused = {
            name: answer_of(await client.get(f"http://{address}/", headers=headers))
            for name, headers in requests.items()
        }
        scoped = await client.get(f"http://{address}/things")
        denied = await denial(f"{address}/feed")
        known = await client.get(
            f"http://{address}/", headers=authorization(issuer.sign(aud="api"))
        )
    assert (anonymous.status_code, anonymous.json()) == (200, None)
    assert refused == answers(rows)
    assert (scoped.status_code, denied.status_code) == (401, 401)
    assert known.json()["sub"] == "alice"
    assert app.state.reached == 2


async def test_optional_is_no_way_around_an_outage(
    issuer: FakeIssuer, jwks: JWKS, client: httpx.AsyncClient
) -> None:
    """While the keys can't be had a token is answered 503, and no token is still None."""
    issuer.outage()
    app = guard(JWTBearer(jwks, auto_error=False))
    headers = authorization(issuer.sign(aud="api"))
    async with serving(app) as address:
        refused = await client.get(f"http://{address}/", headers=headers)
        anonymous = await client.get(f"http://{address}/")
    assert (refused.status_code, refused.json()) == UNAVAILABLE
    assert "Retry-After" in refused.headers
    assert (anonymous.status_code, anonymous.json()) == (200, None)


async def test_claims_as_a_model(
    issuer: FakeIssuer,
    jwks: JWKS,
    client: httpx.AsyncClient,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The endpoint gets the model; claims that don't fit are the token's fault, and not echoed."""
    caplog.set_level(logging.DEBUG, "auth_jwks")
    app = FastAPI()

    @app.get("/")
    async def me(claims: Annotated[Claims, Depends(JWTBearer(jwks, model=Claims))]) -> Any:
        return [type(claims).__name__, claims.sub, claims.level]

    def headers(**claims: Any) -> dict[str, str]:
        return authorization(issuer.sign(claims, aud="api"))

    async with serving(app) as address:
        answer = await client.get(f"http://{address}/", headers=headers(level=3))
        refused = [
            await client.get(f"http://{address}/", headers=headers(**claims))
            for claims in ({"level": "top"}, {"tenant": "unknown"})
        ]
    assert answer.json() == ["Claims", "alice", 3]
    for each in refused:
        status, detail, [challenge] = answer_of(each)
        assert (status, detail) == (401, "Invalid token")
        assert 'error="invalid_token", error_description="Invalid token"' in challenge
    told = [line for line in caplog.messages if "refused a request" in line]
    assert len(told) == 2
    assert told[0].endswith("the claims don't fit the model: [('level', 'int_parsing')]")


@pytest.mark.parametrize("scope", ["read write", "l\xe4sa"])
async def test_a_scope_that_can_not_be_told(
    issuer: FakeIssuer, jwks: JWKS, client: httpx.AsyncClient, scope: str
) -> None:
    """A route may ask for what no challenge can hold; strangers are refused all the same."""
    app = FastAPI()

    @app.get("/", dependencies=[Security(JWTBearer(jwks), scopes=[scope, "read"])])
    async def read() -> None: ...

    async with serving(app) as address:
        nobody = await client.get(f"http://{address}/")
        headers = authorization(issuer.sign(scope="read", aud="api"))
        lacking = await client.get(f"http://{address}/", headers=headers)
    for answer, status in ((nobody, 401), (lacking, 403)):
        assert answer.status_code == status
        assert answer.headers["WWW-Authenticate"].endswith('scope="read"')


class Rewritten(BaseModel):
    """A model that changes the claims which it is given."""

    @model_validator(mode="before")
    @classmethod
    def rewrite(cls, claims: dict[str, Any]) -> dict[str, Any]:
        """Exchange what was granted."""
        claims["scope"] = "read" if claims.pop("scope", "") == "none" else ""
        return claims


@pytest.mark.parametrize(("scope", "expected"), [("none", 403), ("read", 200)])
async def test_a_model_grants_nothing(
    issuer: FakeIssuer, jwks: JWKS, client: httpx.AsyncClient, scope: str, expected: int
) -> None:
    """What the token was granted is not what a validator makes of it."""
    app = FastAPI()
    bearer = JWTBearer(jwks, model=Rewritten)

    @app.get("/", dependencies=[Security(bearer, scopes=["read"])])
    async def read() -> None: ...

    async with serving(app) as address:
        headers = authorization(issuer.sign(scope=scope, aud="api"))
        assert (await client.get(f"http://{address}/", headers=headers)).status_code == expected


@pytest.mark.parametrize("claims", [{"exp": 1}, {"level": "top"}], ids=["token", "model"])
async def test_a_refusal_is_an_exception_without_a_past(
    claims: Mapping[str, Any], issuer: FakeIssuer, jwks: JWKS, client: httpx.AsyncClient
) -> None:
    """A user's own handler gets status, text and headers, and no fault that quotes the token."""
    app = guard(JWTBearer(jwks, model=Claims))
    caught: list[HTTPException] = []

    @app.exception_handler(HTTPException)
    async def handle(_: Request, refusal: HTTPException) -> Response:
        caught.append(refusal)
        return Response("own", refusal.status_code, refusal.headers)

    async with serving(app) as address:
        headers = authorization(issuer.sign(claims, aud="api"))
        answer = await client.get(f"http://{address}/", headers=headers)
    assert (answer.status_code, answer.text) == (401, "own")
    assert "invalid_token" in answer.headers["WWW-Authenticate"]
    assert [each.__cause__ or each.__context__ for each in caught] == [None]


async def test_without_the_extension_a_handshake_is_closed(issuer: FakeIssuer, jwks: JWKS) -> None:
    """A server that can't answer a handshake closes it, with 1008; a client sees 403."""
    app, sent = guard(JWTBearer(jwks)), []

    async def poor(scope: Any, receive: Any, send: Any) -> None:
        async def listen(message: Any) -> None:
            sent.append(message)
            await send(message)

        scope = {name: value for name, value in scope.items() if name != "extensions"}
        await app(scope, receive, listen if scope["type"] == "websocket" else send)

    async with serving(poor) as address:
        denied = await denial(f"{address}/feed", authorization("junk"))
        token = issuer.sign(aud="api", scope="read")
        assert await received(f"{address}/feed", authorization(token)) == "alice"
    assert denied.status_code == 403
    assert sent[0] == {"type": "websocket.close", "code": 1008, "reason": "Invalid token"}
    assert app.state.reached == 1


async def test_openapi_knows_the_scheme_and_the_scopes(jwks: JWKS) -> None:
    """The document has a bearer scheme, and each route its scopes; it is a valid one."""
    document = guard(JWTBearer(jwks, description="A token of **ours**.")).openapi()
    assert document["components"]["securitySchemes"] == {
        "JWTBearer": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "A token of **ours**.",
        }
    }
    routes = {path: item["get"] for path, item in document["paths"].items()}
    assert routes["/"]["security"] == [{"JWTBearer": []}]
    assert routes["/things"]["security"] == [{"JWTBearer": ["read", "list"]}]
    assert [route.get("parameters") for route in routes.values()] == [None, None]
    OpenAPI.model_validate(document)


async def test_two_schemes_have_two_names(jwks: JWKS) -> None:
    """Bearers of two providers are told apart by `scheme_name`."""
    app = FastAPI()
    for name in ("Staff", "Partner.v2"):
        bearer = JWTBearer(jwks, scheme_name=name)
        app.get(f"/{name}", dependencies=[Depends(bearer)])(lambda: None)
    document = app.openapi()
    scheme = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    assert document["components"]["securitySchemes"] == {"Staff": scheme, "Partner.v2": scheme}
    assert document["paths"]["/Staff"]["get"]["security"] == [{"Staff": []}]


async def test_a_websocket_of_a_guarded_router_is_guarded(issuer: FakeIssuer, jwks: JWKS) -> None:
    """What an application or a router asks for, its websockets ask for too."""
    app = FastAPI(dependencies=[Security(JWTBearer(jwks), scopes=["read"])])

    @app.websocket("/open")
    async def greet(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("hello")
        await websocket.close()

    async with serving(app) as address:
        denied = await denial(f"{address}/open", authorization(issuer.sign(aud="api")))
        good = authorization(issuer.sign(aud="api", scope="read"))
        assert await received(f"{address}/open", good) == "hello"
    assert denied.status_code == 403
    assert 'scope="read"' in denied.headers["WWW-Authenticate"]


async def test_an_application_s_tests_override_it(jwks: JWKS, client: httpx.AsyncClient) -> None:
    """`dependency_overrides` takes the place of the check, scopes included."""
    bearer = JWTBearer(jwks)
    app = guard(bearer)
    app.dependency_overrides[bearer] = lambda: {"sub": "bob"}
    async with serving(app) as address:
        answer = await client.get(f"http://{address}/")
        things = await client.get(f"http://{address}/things")
        assert await received(f"{address}/feed") == "bob"
    assert (answer.json(), things.status_code) == ({"sub": "bob"}, 200)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"verifier": object()}, TypeError, "verifier: expected a JWKS"),
        ({"verifier": JWKS}, TypeError, "verifier: expected a JWKS"),
        ({"model": dict}, TypeError, "model: expected a subclass of pydantic"),
        ({"model": Claims(sub="a")}, TypeError, "model: expected a subclass of pydantic"),
        ({"scopes_from": "scope"}, TypeError, "scopes_from: expected a function, got str"),
        ({"auto_error": None}, TypeError, "auto_error: expected True or False"),
        ({"realm": 'a"b'}, ValueError, "realm: expected"),
        ({"resource_metadata": "meta"}, ValueError, "resource_metadata: the scheme"),
        ({"scheme_name": ""}, ValueError, "scheme_name: expected"),
        ({"scheme_name": "a/b"}, ValueError, "scheme_name: expected letters"),
    ],
)
async def test_misuse(
    options: dict[str, Any], error: type[Exception], message: str, jwks: JWKS
) -> None:
    """What can't work is refused at construction."""
    with pytest.raises(error, match=f"^{message}"):
        JWTBearer(**({"verifier": jwks} | options))


def test_without_fastapi_the_import_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever lacks FastAPI is told what to install."""
    monkeypatch.setitem(sys.modules, "fastapi", None)
    monkeypatch.delitem(sys.modules, "auth_jwks.fastapi")
    with pytest.raises(ImportError, match=r"install auth-jwks\[fastapi\]$") as caught:
        import_module("auth_jwks.fastapi")
    assert caught.value.name == "fastapi"


def test_a_verifier_for_threads_is_refused() -> None:
    """It would work, and block the event loop for all others while it waits for keys."""
    threads: Any = SyncJWKS("https://idp.test", issuer="https://idp.test")
    with pytest.raises(TypeError, match="verifier: expected a JWKS, got a SyncJWKS"):
        JWTBearer(threads)
