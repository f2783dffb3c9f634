"""`CfaAuthMiddleware`: who gets through to an application behind Cloudflare Access, and who not."""

import inspect
import logging
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import httpx
import jwt
import pytest
import trustme
from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from auth_jwks import IssuerMismatchError, KeysUnavailableError
from auth_jwks.asgi import Receive, Scope, Send
from auth_jwks.cloudflare import (
    CfaAuthMiddleware,
    CloudFlareTokenValidation,
    IdentityUnavailableError,
    ServiceToken,
    User,
)
from auth_jwks.testing import FakeIssuer, SigningKey
from tests.web.cloudflare.access_edge import (
    AUDIENCE,
    CERTS,
    HOST,
    IDENTITY,
    MACHINE,
    PERSON,
    Edge,
    answer,
    edge_of,
)
from tests.web.serving import serving
from tests.web.status_table import denial, received

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

LEGACY = [
    pytest.mark.filterwarnings(f"ignore::{kind}")
    for kind in ("DeprecationWarning", "uvicorn.config.UvicornDeprecationWarning")
]
SERVERS = [pytest.param("websockets", marks=LEGACY), "websockets-sansio", "wsproto"]


@pytest.fixture(scope="session")
def team() -> FakeIssuer:
    """Return who signs the team's tokens."""
    return FakeIssuer(issuer=f"https://{HOST}", algorithm="ES256")


@pytest.fixture
async def edge(
    team: FakeIssuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Edge]:
    """Return the team's host, where the environment's proxy leads."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    async with edge_of(team, ca) as edge:
        monkeypatch.setenv("https_proxy", edge.proxy)
        yield edge


@pytest.fixture
async def cfa(edge: Edge) -> AsyncIterator[CloudFlareTokenValidation]:
    """Return a verifier of the team's tokens, which tries nothing twice."""
    assert edge.port
    async with CloudFlareTokenValidation(aud=AUDIENCE, team="team", retries=0) as cfa:
        yield cfa


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


async def test_the_setup_of_0_4_0(
    cfa: CloudFlareTokenValidation, team: FakeIssuer, client: httpx.AsyncClient
) -> None:
    """The documented line protects a FastAPI application; the user is in `request.state`."""
    app = FastAPI()

    @app.get("/")
    async def me(request: Request) -> dict[str, str]:
        user: User = request.state.user
        return {"email": user.email}

    app.add_middleware(CfaAuthMiddleware, verify_token=cfa.verify_user)
    async with serving(app) as address:
        url = f"http://{address}/"
        known = await client.get(url, headers={HEADER: team.sign(PERSON)})
        unknown = await client.get(url)
        bad = await client.get(url, headers={HEADER: "junk"})
    assert (known.status_code, known.json()) == (200, {"email": "alice@example.com"})
    assert unknown.content == b'{"detail":"Invalid CFA Token"}'
    assert bad.content == b'{"detail":"CFA token verification failed"}'
    assert {unknown.status_code, bad.status_code} == {401}
    assert {each.headers["Content-Type"] for each in (unknown, bad)} == {"application/json"}


def of_others(team: FakeIssuer) -> str:
    """Return a good token for another of the team's applications."""
    return team.sign(PERSON, aud="other")


BAD_TOKENS: dict[str, Callable[[FakeIssuer], str]] = {
    "junk": lambda _: "junk",
    "latin": lambda _: "\xe9.\xe9.\xe9",
    "forged": lambda team: team.forge(PERSON),
    "unsigned": lambda team: team.sign(PERSON, headers={"alg": "none"}),
    "unknown kid": lambda team: team.sign(PERSON, key=SigningKey.generate("ES256")),
    "expired": lambda team: team.sign(PERSON, exp=1),
    "early": lambda team: team.sign(PERSON, nbf=99_999_999_999),
    "another team": lambda team: team.sign(PERSON, iss="https://other.cloudflareaccess.com"),
    "another application": of_others,
    "machine": lambda team: team.sign(MACHINE),
    "nobody": lambda team: team.sign(PERSON, sub=None),
    "two": lambda team: f"{team.sign(PERSON)}, {team.sign(PERSON)}",
}


def refused(team: FakeIssuer) -> dict[str, tuple[Fields, Answer]]:
    """Return requests that are refused, and how."""
    good = team.sign(PERSON)
    bad = {name: sign(team) for name, sign in BAD_TOKENS.items()}
    return {
        "nothing": ([], NONE_CAME),
        "an address": ([("Cf-Access-Authenticated-User-Email", "alice@example.com")], NONE_CAME),
        "a bearer token": ([("Authorization", f"Bearer {good}")], NONE_CAME),
        "other cookies": ([("Cookie", f"a=b; X{COOKIE}={good}; {COOKIE}X={good}")], NONE_CAME),
        "cookies of other case": (cookie(good, name=COOKIE.lower()), NONE_CAME),
        "a bare name": ([("Cookie", COOKIE)], NONE_CAME),
        "an empty cookie": (cookie("", good), NONE_CAME),
        "an empty header": ([(HEADER, ""), *cookie(good)], NONE_CAME),
        "two headers": ([(HEADER, good), (HEADER, good)], FAILED),
        "two headers, one empty": ([(HEADER, ""), (HEADER, good)], FAILED),
        "two cookies": (cookie("junk", good), FAILED),
        **{f"header: {name}": ([(HEADER, token)], FAILED) for name, token in bad.items()},
        **{
            f"no way back: {name}": ([(HEADER, token), *cookie(good)], FAILED)
            for name, token in bad.items()
        },
        **{f"cookie: {name}": (cookie(token), FAILED) for name, token in bad.items()},
    }


def raw(fields: Fields) -> list[tuple[bytes, bytes]]:
    """Return headers as they are sent."""
    return [(name.encode(), value.encode("latin-1")) for name, value in fields]


async def test_what_is_refused(
    cfa: CloudFlareTokenValidation,
    edge: Edge,
    team: FakeIssuer,
    client: httpx.AsyncClient,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each bad request gets its fixed answer, and no endpoint; its token is told nowhere."""
    table = refused(team)
    app = guard(verify_token=cfa.verify_user)
    answers, told = {}, ""
    with caplog.at_level(logging.DEBUG):
        async with serving(app) as address:
            for name, (fields, _) in table.items():
                response = await client.get(f"http://{address}/", headers=raw(fields))
                answers[name] = summary(response)
                told += response.text + str(response.headers)
    assert answers == {name: expected for name, (_, expected) in table.items()}
    assert app.state.reached == 0
    assert set(edge.paths) == {CERTS}
    told += caplog.text
    for fields, _ in table.values():
        assert [
            part for _, value in fields for part in signature_parts(value) if part in told
        ] == []


def signature_parts(value: str) -> Iterator[str]:
    """Yield each dozen of characters of a token's signature."""
    signature = value.rpartition(".")[2]
    return (signature[at : at + 12] for at in range(len(signature) - 11))


@pytest.mark.parametrize("server", SERVERS)
async def test_websockets_that_are_refused(
    server: Any, cfa: CloudFlareTokenValidation, team: FakeIssuer
) -> None:
    """The handshake gets the same answers; no endpoint sees it."""
    table = {
        name: (fields, expected)
        for name, (fields, expected) in refused(team).items()
        if name in {"nothing", "an empty header", "two headers", "header: forged",
                    "no way back: expired", "cookie: machine"}
    }  # fmt: skip
    assert len(table) == 6
    app = guard(verify_token=cfa.verify_user)
    async with serving(app, ws=server) as address:
        answers = {
            name: summary(await denial(f"{address}/feed", fields))
            for name, (fields, _) in table.items()
        }
    assert answers == {name: expected for name, (_, expected) in table.items()}
    assert app.state.reached == 0


@pytest.mark.parametrize("server", SERVERS)
async def test_websockets_that_get_in(
    server: Any, cfa: CloudFlareTokenValidation, team: FakeIssuer
) -> None:
    """By the header or by the cookie; the user is in `websocket.state`."""
    token = team.sign(PERSON)
    async with serving(guard(verify_token=cfa.verify_user), ws=server) as address:
        for fields in ([(HEADER, token)], cookie(token)):
            assert await received(f"{address}/feed", fields) == ALICE["sub"]


async def test_a_server_without_denial_responses_closes(
    cfa: CloudFlareTokenValidation,
) -> None:
    """Then the handshake ends with 1008, which the server makes a 403 of."""
    sent: list[MutableMapping[str, Any]] = []
    scope = {"type": "websocket", "path": "/", "headers": []}
    middleware = CfaAuthMiddleware(unreached, verify_token=cfa.verify_user)
    await middleware(scope, connecting, collector(sent))
    assert [(each["type"], each["code"]) for each in sent] == [("websocket.close", 1008)]


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


def let_in(team: FakeIssuer) -> dict[str, Fields]:
    """Return requests that get in, all of Alice's."""
    good, bob = team.sign(PERSON), team.sign(PERSON, sub="bob")
    return {
        "header": [(HEADER, good)],
        "header of any case": [(HEADER.upper(), good)],
        "bearer": [(HEADER, f"Bearer {good}")],
        "cookie": cookie(good),
        "cookie among others": [("Cookie", f"a=b;{COOKIE}={good} ; c; =d; e=f=g")],
        "cookies split": [("Cookie", "a=b"), *cookie(good), ("Cookie", "c=d")],
        "header before cookie": [*cookie(bob), (HEADER, good)],
        "header before bad cookie": [*cookie("junk"), (HEADER, good)],
        "first cookie": cookie(good, bob),
        "first cookie, split": [*cookie(good), *cookie(bob)],
    }


async def test_who_gets_in(
    cfa: CloudFlareTokenValidation, team: FakeIssuer, client: httpx.AsyncClient
) -> None:
    """The header's token is the user's, for want of a header the first cookie's."""
    requests = let_in(team)
    async with serving(guard(verify_token=cfa.verify_user)) as address:
        answers = {
            name: (await client.get(f"http://{address}/", headers=raw(fields))).json()
            for name, fields in requests.items()
        }
    assert answers == dict.fromkeys(requests, ALICE)


async def test_names_of_ones_own(
    cfa: CloudFlareTokenValidation, team: FakeIssuer, client: httpx.AsyncClient
) -> None:
    """A header and a cookie of other names count in place of Cloudflare's."""
    token = team.sign(PERSON)
    app = guard(verify_token=cfa.verify_user, header_name="X-Access", cookie_name="access.1")
    async with serving(app) as address:
        url = f"http://{address}/"
        for fields in ([("x-access", token)], cookie(token, name="access.1")):
            assert (await client.get(url, headers=fields)).json() == ALICE
        for fields in ([(HEADER, token)], cookie(token)):
            assert summary(await client.get(url, headers=fields)) == NONE_CAME


async def test_no_keys(
    cfa: CloudFlareTokenValidation, edge: Edge, team: FakeIssuer, client: httpx.AsyncClient
) -> None:
    """While Cloudflare's keys can't be had, no caller is blamed."""
    edge.answers[CERTS] = answer(b"", 503, {"Retry-After": "60"})
    app = guard(verify_token=cfa.verify_user)
    headers = {HEADER: team.sign(PERSON)}
    async with serving(app) as address:
        refused = await client.get(f"http://{address}/", headers=headers)
        denied = await denial(f"{address}/feed", headers)
        none_came = await client.get(f"http://{address}/")
    for response in (refused, denied):
        status, body, challenge, wait = summary(response)
        assert (status, body) == (503, {"detail": "Temporarily unavailable"})
        assert challenge is None
        assert 59 <= int(wait or 0) <= 300
    assert summary(none_came) == NONE_CAME
    assert app.state.reached == 0


async def test_no_profile(
    cfa: CloudFlareTokenValidation, edge: Edge, team: FakeIssuer, client: httpx.AsyncClient
) -> None:
    """With `get_identity` for `verify_token`, its outage is a 503, an ended session a 401."""
    app = guard(verify_token=cfa.get_identity)
    headers = {HEADER: team.sign(PERSON)}
    answers = []
    async with serving(app) as address:
        for said in (answer(b"", 503, {"Retry-After": "7"}), answer(b"", 401)):
            edge.answers[IDENTITY] = said
            answers.append(summary(await client.get(f"http://{address}/", headers=headers)))
        del edge.answers[IDENTITY]
        told = await client.get(f"http://{address}/", headers=headers)
    assert answers == [(503, {"detail": "Temporarily unavailable"}, None, "7"), FAILED]
    assert told.json()["user_uuid"] == "7335d417-61da"


Verify = Callable[[str], Awaitable[Any]]


def raising(error: BaseException) -> Verify:
    """Return a `verify_token` that raises."""

    async def verify_token(_token: str) -> User:
        raise error

    return verify_token


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (jwt.InvalidTokenError("secret"), FAILED),
        (jwt.ExpiredSignatureError("secret"), FAILED),
        (
            KeysUnavailableError("secret", retry_after=0.2),
            (503, {"detail": "Temporarily unavailable"}, None, "1"),
        ),
        (
            IdentityUnavailableError("secret"),
            (503, {"detail": "Temporarily unavailable"}, None, "5"),
        ),
        (
            IssuerMismatchError("secret"),
            (503, {"detail": "Temporarily unavailable"}, None, None),
        ),
    ],
    ids=lambda each: type(each).__name__,
)
async def test_the_class_of_an_error_decides(
    error: jwt.InvalidTokenError, expected: Answer, client: httpx.AsyncClient
) -> None:
    """Whoever must act is told, in a fixed text."""
    async with serving(guard(verify_token=raising(error))) as address:
        response = await client.get(f"http://{address}/", headers={HEADER: "a.b.c"})
        denied = await denial(f"{address}/feed", {HEADER: "a.b.c"})
    assert summary(response) == summary(denied) == expected
    assert "secret" not in response.text


async def mute(_token: str) -> None:
    """Return nobody, as a slip in a wrapper may."""


async def false(_token: str) -> bool:
    """Tell by a bool, which nobody would look at."""
    return False


def synchronous(_token: str) -> User:
    """Return what can't be awaited."""
    return DEV


@pytest.mark.parametrize(
    "verify_token",
    [raising(LookupError()), raising(RuntimeError()), mute, false, synchronous],
    ids=["lookup", "runtime", "mute", "false", "synchronous"],
)
async def test_a_fault_of_the_program_lets_no_one_in(
    verify_token: Verify, client: httpx.AsyncClient
) -> None:
    """It is a 500, and reaches no endpoint."""
    app = guard(verify_token=verify_token)
    async with serving(app) as address:
        response = await client.get(f"http://{address}/", headers={HEADER: "a.b.c"})
        denied = await denial(f"{address}/feed", {HEADER: "a.b.c"})
    assert response.status_code == denied.status_code == 500
    assert app.state.reached == 0


async def test_a_closed_verifier_lets_no_one_in(
    cfa: CloudFlareTokenValidation, team: FakeIssuer, client: httpx.AsyncClient
) -> None:
    """That is a fault of the program, too."""
    await cfa.close()
    async with serving(guard(verify_token=cfa.verify_user)) as address:
        response = await client.get(f"http://{address}/", headers={HEADER: team.sign(PERSON)})
    assert response.status_code == 500


async def test_people_and_machines(
    cfa: CloudFlareTokenValidation, team: FakeIssuer, client: httpx.AsyncClient
) -> None:
    """A function of the user's own lets both in, told apart by class."""

    async def either(token: str) -> User | ServiceToken:
        try:
            return await cfa.verify_user(token)
        except jwt.MissingRequiredClaimError:
            return await cfa.verify_service_token(token)

    app = guard(verify_token=either)
    async with serving(app) as address:
        answers = [
            await client.get(f"http://{address}/", headers={HEADER: team.sign(claims)})
            for claims in (PERSON, MACHINE, {**PERSON, "sub": ""})
        ]
    assert [each.json() for each in answers[:2]] == [ALICE, {"common_name": "e367826f93b8.access"}]
    assert summary(answers[2]) == FAILED


async def test_whoever_stands_outside_sees_the_user(
    cfa: CloudFlareTokenValidation, team: FakeIssuer, client: httpx.AsyncClient
) -> None:
    """The scope's own state is set; the server's is kept."""
    seen: list[dict[str, Any]] = []

    @asynccontextmanager
    async def lifespan(_app: object) -> AsyncIterator[dict[str, str]]:
        yield {"started": "yes"}

    async def endpoint(request: Request) -> JSONResponse:
        return JSONResponse({"started": request.state.started, "sub": request.state.user.sub})

    inner = Starlette(routes=[Route("/", endpoint)], lifespan=lifespan)
    protected = CfaAuthMiddleware(inner, verify_token=cfa.verify_user)

    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        await protected(scope, receive, send)
        if scope["type"] == "http":
            seen.append(scope["state"])

    async with serving(outer) as address:
        response = await client.get(f"http://{address}/", headers={HEADER: team.sign(PERSON)})
    assert response.json() == {"started": "yes", "sub": ALICE["sub"]}
    assert seen == [{"started": "yes", "user": User(**ALICE)}]


async def test_a_dependency_gets_the_user(
    cfa: CloudFlareTokenValidation, team: FakeIssuer, client: httpx.AsyncClient
) -> None:
    """As FastAPI's users write it, behind `Middleware(...)` too."""

    def current(request: Request) -> User:
        user: User = request.state.user
        return user

    app = FastAPI(middleware=[Middleware(CfaAuthMiddleware, verify_token=cfa.verify_user)])

    @app.get("/")
    async def me(user: Annotated[User, Depends(current)]) -> User:
        return user

    async with serving(app) as address:
        response = await client.get(f"http://{address}/", headers={HEADER: team.sign(PERSON)})
    assert response.json() == ALICE


async def test_preflight_is_answered_by_what_stands_outside(
    cfa: CloudFlareTokenValidation, client: httpx.AsyncClient
) -> None:
    """A browser's preflight has no cookie: it is refused here, and answered by CORS outside."""
    asked = {"Origin": "https://a.example", "Access-Control-Request-Method": "GET"}
    app = guard(verify_token=cfa.verify_user)
    async with serving(app) as address:
        response = await client.options(f"http://{address}/", headers=asked)
    assert summary(response) == NONE_CAME
    app = guard(verify_token=cfa.verify_user)
    app.add_middleware(CORSMiddleware, allow_origins=["https://a.example"])
    async with serving(app) as address:
        response = await client.options(f"http://{address}/", headers=asked)
    assert response.status_code == 200


async def test_lifespan_passes_and_nothing_unknown() -> None:
    """What an application does at its start needs no token; what is no request gets nowhere."""
    seen: list[str] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope["type"])

    for options in ({"verify_token": raising(AssertionError())}, {"dev_user": DEV}):
        middleware = CfaAuthMiddleware(app, **options)
        await middleware({"type": "lifespan"}, connecting, collector([]))
        with pytest.raises(ValueError, match=r"^scope: expected type http, websocket or lifespan$"):
            await middleware({"type": "webtransport", "headers": []}, connecting, collector([]))
    assert seen == ["lifespan", "lifespan"]


async def test_a_dev_user_is_everybody(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    """No token is looked at, for websockets neither, and a warning says so at construction."""
    with caplog.at_level(logging.WARNING, "auth_jwks"):
        protected = CfaAuthMiddleware(unreached, dev_user=DEV)
    [record] = caplog.records
    assert (record.name, record.levelname) == ("auth_jwks", "WARNING")
    assert re.search("CfaAuthMiddleware.*dev_user.*authentication is bypassed", record.message)
    assert protected.app is unreached
    for options in ({}, {"verify_token": raising(AssertionError())}):
        async with serving(guard(dev_user=DEV, **options)) as address:
            for headers in ({}, {HEADER: "junk"}):
                response = await client.get(f"http://{address}/", headers=headers)
                assert response.json() == asdict(DEV)
            assert await received(f"{address}/feed") == "dev"


@pytest.mark.parametrize("dev_user", [False, "", None])
async def test_what_is_no_dev_user_bypasses_nothing(
    dev_user: Any, client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    """As `settings.debug and User(...)` is in production."""
    app = guard(verify_token=raising(jwt.InvalidTokenError()), dev_user=dev_user)
    async with serving(app) as address:
        response = await client.get(f"http://{address}/", headers={HEADER: "a.b.c"})
    assert summary(response) == FAILED
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_refusals_do_not_fill_the_log(
    cfa: CloudFlareTokenValidation,
    team: FakeIssuer,
    client: httpx.AsyncClient,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A refusal is one line at DEBUG, of the error's class and words."""
    await cfa.refresh()
    app = guard(verify_token=cfa.verify_user)
    async with serving(app) as address:
        with caplog.at_level(logging.DEBUG, "auth_jwks"):
            for headers in ({HEADER: team.forge(PERSON)}, {}):
                await client.get(f"http://{address}/", headers=headers)
    lines = [each for each in caplog.records if each.name == "auth_jwks"]
    assert [(each.levelname, each.message, each.exc_info) for each in lines] == [
        ("DEBUG", f"refused a request: {name}", None)
        for name in (
            "InvalidSignatureError: the signature does not match",
            "MissingTokenError: no token",
        )
    ]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, ValueError, "verify_token, dev_user: expected one of them"),
        ({"dev_user": ""}, ValueError, "verify_token, dev_user: expected one of them"),
        ({"verify_token": ""}, TypeError, "verify_token: expected an async function, got str"),
        ({"verify_token": User}, TypeError, "verify_token: expected an async function, got type"),
        ({"dev_user": DEV, "verify_token": 5}, TypeError, "verify_token: expected"),
        ({"dev_user": DEV, "header_name": b"x"}, TypeError, "header_name: expected a string"),
        ({"dev_user": DEV, "header_name": ""}, ValueError, "header_name: expected a name"),
        ({"dev_user": DEV, "header_name": "a:"}, ValueError, "header_name: expected a name"),
        ({"dev_user": DEV, "header_name": "a\n"}, ValueError, "header_name: expected a name"),
        ({"dev_user": DEV, "header_name": "é"}, ValueError, "header_name: expected a name"),
        ({"dev_user": DEV, "cookie_name": None}, TypeError, "cookie_name: expected a string"),
        ({"dev_user": DEV, "cookie_name": "a b"}, ValueError, "cookie_name: expected a name"),
        ({"dev_user": DEV, "cookie_name": "a=b"}, ValueError, "cookie_name: expected a name"),
        ({"dev_user": DEV, "cookie_name": "a;"}, ValueError, "cookie_name: expected a name"),
    ],
)
def test_misuse(options: dict[str, Any], error: type[Exception], message: str) -> None:
    """What can't work is refused at construction, by name."""
    with pytest.raises(error, match=f"^{message}"):
        CfaAuthMiddleware(unreached, **options)


def test_the_verifier_itself_is_no_function(cfa_unopened: CloudFlareTokenValidation) -> None:
    """`verify_token=cfa` is a slip, for `cfa.verify_user`."""
    slip: Any = cfa_unopened
    with pytest.raises(TypeError, match=r"got CloudFlareTokenValidation$"):
        CfaAuthMiddleware(unreached, verify_token=slip)


@pytest.fixture
def cfa_unopened() -> CloudFlareTokenValidation:
    """Return a verifier that nobody uses."""
    return CloudFlareTokenValidation(aud=AUDIENCE, team="team")


def test_the_signature() -> None:
    """The parameters are those of 0.4.0, with its defaults."""
    _, *parameters = inspect.signature(CfaAuthMiddleware).parameters.values()
    assert {each.name: each.default for each in parameters} == {
        "verify_token": None, "dev_user": None, "header_name": HEADER, "cookie_name": COOKIE,
    }  # fmt: skip
    assert {each.kind for each in parameters} == {inspect.Parameter.KEYWORD_ONLY}


def test_no_framework_is_needed() -> None:
    """Nothing but the core is imported."""
    program = (
        "import sys; sys.modules.update(dict.fromkeys(('starlette', 'fastapi')));"
        "from auth_jwks.cloudflare import CfaAuthMiddleware, CloudFlareTokenValidation;"
        "print(CfaAuthMiddleware.__name__)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert run.stdout.split() == [b"CfaAuthMiddleware"]
