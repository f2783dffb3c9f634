"""What an integration costs a request, in calls of our own functions beyond the verification.

`benchmarks/middleware` times the same requests. Fewer is better: lower a limit when it sinks.
"""

from tests.web import django_settings

# isort: split

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory, override_settings
from django.utils.module_loading import import_string
from fastapi.security import SecurityScopes
from flask import Flask
from rest_framework.request import Request
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import HTTPConnection

from auth_jwks import JWKS
from auth_jwks.asgi import JWTAuthMiddleware, ProtectedResource
from auth_jwks.cloudflare import CfaAuthMiddleware
from auth_jwks.drf import JWTAuthentication
from auth_jwks.fastapi import JWTBearer
from auth_jwks.flask import JWTAuth
from auth_jwks.mcp import JWKSVerifier
from auth_jwks.starlette import JWTAuthBackend
from auth_jwks.sync import SyncJWKS
from auth_jwks.testing import FakeIssuer
from tests.counting import at_once, frames

MIDDLEWARE = import_string(django_settings.MIDDLEWARE[0])

ASGI = {
    "JWTAuthMiddleware": 15,
    "CfaAuthMiddleware": 6,
    "Starlette: JWTAuthBackend": 13,
    "FastAPI: JWTBearer": 10,
    "MCP: the guard": 19,
}
DJANGO_IN_A_THREAD, DJANGO_ON_A_LOOP, REST, FLASK = 10, 11, 10, 4

Act = Callable[[], object]


@pytest.fixture
def token(issuer: FakeIssuer) -> str:
    """Return a token, which each verifier sees first before it is counted."""
    return issuer.sign(aud="api", iss=issuer.issuer)


@pytest.fixture
async def jwks(issuer: FakeIssuer, token: str) -> AsyncIterator[JWKS]:
    """Return a verifier that has seen the token twice."""
    async with JWKS(issuer.discovery_url, "api", issuer=issuer.issuer) as jwks:
        for _ in range(2):
            await jwks.verify_token(token)
        yield jwks


@pytest.fixture
def threads(issuer: FakeIssuer, token: str) -> Iterator[SyncJWKS]:
    """Return one for threads that has."""
    with SyncJWKS(issuer.discovery_url, "api", issuer=issuer.issuer) as jwks:
        for _ in range(2):
            jwks.verify_token(token)
        yield jwks


async def application(_scope: Any, _receive: Any, send: Any) -> None:
    """Answer at once."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})


async def receive() -> dict[str, Any]:
    """Give an empty body."""
    return {"type": "http.request", "body": b"", "more_body": False}


def requests(jwks: JWKS, token: str) -> dict[str, tuple[Act, list[int]]]:
    """Return a request to each integration, and the statuses that it is answered with."""
    resource = ProtectedResource("https://api.example.com/mcp", issuers=["https://login.example"])
    apps = {
        "JWTAuthMiddleware": JWTAuthMiddleware(application, jwks),
        "CfaAuthMiddleware": CfaAuthMiddleware(application, verify_token=jwks.verify_token),
        "Starlette: JWTAuthBackend": AuthenticationMiddleware(application, JWTAuthBackend(jwks)),
        "MCP: the guard": JWKSVerifier(jwks, resource, audience="api").guard(application),
    }
    bearer = JWTBearer(jwks)
    found = {name: called(app, token) for name, app in apps.items()}

    def depend() -> object:
        return at_once(bearer(HTTPConnection(scope(token)), SecurityScopes()))

    return found | {"FastAPI: JWTBearer": (depend, [200])}


def scope(token: str) -> dict[str, Any]:
    """Return a request with a token, for either of the headers that carry one."""
    headers = [(b"host", b"api.example.com"), (b"authorization", f"Bearer {token}".encode())]
    return {
        "type": "http", "method": "GET", "path": "/things", "raw_path": b"/things",
        "query_string": b"", "root_path": "",
        "headers": [*headers, (b"cf-access-jwt-assertion", token.encode())],
    }  # fmt: skip


def called(app: Any, token: str) -> tuple[Act, list[int]]:
    """Return what sends a request to an application, and the statuses of the answers so far."""
    statuses: list[int] = []

    async def send(message: dict[str, Any]) -> None:
        if "status" in message:
            statuses.append(message["status"])

    return lambda: at_once(app(scope(token), receive, send)), statuses


def beyond(act: Act, verification: Act) -> int:
    """Return how many calls something takes beyond a verification; the first time is left out."""
    act()
    verified = frames(verification)
    counts = frames(act)
    assert counts >= verified, "the verification is a part of it"
    return (counts - verified).total()


@pytest.mark.parametrize("name", ASGI)
async def test_request(name: str, jwks: JWKS, token: str) -> None:
    """The token is found, verified, and its claims are put where the application looks."""
    act, statuses = requests(jwks, token)[name]
    assert beyond(act, lambda: at_once(jwks.verify_token(token))) <= ASGI[name]
    assert {*statuses} == {200}


@pytest.fixture
def setting(issuer: FakeIssuer) -> Iterator[None]:
    """Configure Django for the provider."""
    options = {"discovery_url": issuer.discovery_url, "issuer": issuer.issuer, "aud": "api"}
    with override_settings(AUTH_JWKS={"VERIFIER": options}):
        yield


def request_with(token: str) -> HttpRequest:
    """Return a request with a token."""
    return RequestFactory().get("/things", headers={"Authorization": f"Bearer {token}"})


@pytest.mark.usefixtures("setting")
def test_request_in_a_thread_of_django(token: str, threads: SyncJWKS) -> None:
    """As above."""
    middleware = MIDDLEWARE(lambda _request: HttpResponse("ok"))
    request, rest = request_with(token), Request(request_with(token))
    middleware(request)
    authentication = JWTAuthentication()

    def verify() -> object:
        return threads.verify_token(token)

    assert beyond(lambda: middleware(request), verify) <= DJANGO_IN_A_THREAD
    assert beyond(lambda: authentication.authenticate(rest), verify) <= REST


@pytest.mark.usefixtures("setting")
async def test_request_on_a_loop_of_django(token: str, jwks: JWKS) -> None:
    """As above."""

    async def view(_request: HttpRequest) -> HttpResponse:
        return HttpResponse("ok")

    middleware = MIDDLEWARE(view)
    request = request_with(token)
    for _ in range(2):
        assert (await middleware(request)).status_code == 200
    count = beyond(lambda: at_once(middleware(request)), lambda: at_once(jwks.verify_token(token)))
    assert count <= DJANGO_ON_A_LOOP


def test_request_to_flask(token: str, threads: SyncJWKS) -> None:
    """As above."""
    app = Flask(__name__)
    app.config["AUTH_JWKS"] = {"VERIFIER": threads}
    JWTAuth(app)
    app.add_url_rule("/things", view_func=lambda: "ok")
    client = app.test_client()

    def act() -> None:
        got = client.get("/things", headers={"Authorization": f"Bearer {token}"})
        assert got.status_code == 200

    assert beyond(act, lambda: threads.verify_token(token)) <= FLASK
