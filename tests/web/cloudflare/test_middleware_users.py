"""`CfaAuthMiddleware`: who gets in, and what the application sees of them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from auth_jwks.asgi import Receive, Scope, Send
from auth_jwks.cloudflare import CfaAuthMiddleware, CloudFlareTokenValidation, ServiceToken, User
from auth_jwks.testing import FakeIssuer
from tests.web.cloudflare.access_edge import MACHINE, PERSON
from tests.web.cloudflare.guard import (
    ALICE,
    COOKIE,
    DEV,
    FAILED,
    HEADER,
    NONE_CAME,
    Fields,
    collector,
    connecting,
    cookie,
    guard,
    raising,
    raw,
    summary,
)
from tests.web.serving import SERVERS, serving
from tests.web.status_table import received


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


@pytest.mark.parametrize("server", SERVERS)
async def test_websockets_that_get_in(
    server: Any, cfa: CloudFlareTokenValidation, team: FakeIssuer
) -> None:
    """By the header or by the cookie; the user is in `websocket.state`."""
    token = team.sign(PERSON)
    async with serving(guard(verify_token=cfa.verify_user), ws=server) as address:
        for fields in ([(HEADER, token)], cookie(token)):
            assert await received(f"{address}/feed", fields) == ALICE["sub"]


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


async def test_people_and_machines(
    cfa: CloudFlareTokenValidation, team: FakeIssuer, client: httpx.AsyncClient
) -> None:
    """A function of the user's own lets both in, told apart by class."""

    async def either(token: str) -> User | ServiceToken:
        if (await cfa.verify_token(token))["sub"]:
            return await cfa.verify_user(token)
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


async def test_users_beside_each_other() -> None:
    """A server may have one state for all requests of a connection, and run them at once."""
    shared: dict[str, Any] = {"database": "open"}
    both = asyncio.Barrier(2)
    seen: list[Any] = []

    async def endpoint(scope: Scope, _receive: Receive, _send: Send) -> None:
        await both.wait()
        seen.append(scope["state"])

    async def named(token: str) -> str:
        return token

    app = CfaAuthMiddleware(endpoint, verify_token=named)
    await asyncio.gather(
        *(
            app(
                {"type": "http", "headers": [(HEADER.lower().encode(), name)], "state": shared},
                connecting,
                collector([]),
            )
            for name in (b"alice", b"mallory")
        )
    )
    expected = [{"database": "open", "user": name} for name in ("alice", "mallory")]
    assert sorted(seen, key=str) == expected
    assert shared == {"database": "open"}


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
