"""Calls the integration of each framework in this process, and its stand-in; prints the seconds.

An integration is called as its framework calls it; the stand-in does the same without a token.
Seconds are CPU time of this thread.
"""

import asyncio
import json
import logging
import sys
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from fastapi.security import SecurityScopes
from rest_framework.request import Request
from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import HTTPConnection

from auth_jwks import JWKS
from auth_jwks.asgi import ProtectedResource
from auth_jwks.django import JWTAuthMiddleware
from auth_jwks.drf import JWTAuthentication
from auth_jwks.fastapi import JWTBearer
from auth_jwks.mcp import JWKSVerifier
from auth_jwks.starlette import JWTAuthBackend
from auth_jwks.sync import SyncJWKS
from benchmarks.middleware.worker import USUAL, Caller, application, receive

VERIFY, SYNC = "JWKS.verify_token", "SyncJWKS.verify_token"
# Each integration, what stands in for it, and which verification is a part of it.
FACES = {
    "Starlette: JWTAuthBackend": ("Starlette: a backend", VERIFY),
    "FastAPI: JWTBearer": ("FastAPI: a dependency", VERIFY),
    "MCP: the guard": ("MCP: the application", VERIFY),
    "Django: in a thread": ("Django: a view", SYNC),
    "Django: on a loop": ("Django: an async view", VERIFY),
    "DRF: JWTAuthentication": ("DRF: a request", SYNC),
}

Call = Callable[[], Awaitable[object]]


class Unverified(AuthenticationBackend):
    """Lets everybody in."""

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, SimpleUser]:
        """Return whoever it may be."""
        del conn
        return AuthCredentials(["authenticated"]), SimpleUser("alice")


async def unverified(connection: HTTPConnection, security: SecurityScopes) -> dict[str, Any]:
    """Return the claims of nobody."""
    return {"connection": connection, "security": security}


def asgi_calls(jwks: JWKS, caller: Caller) -> dict[str, Call]:
    """Return calls with an ASGI request, by name."""
    resource = ProtectedResource("https://api.example.com/mcp", issuers=["https://login.example"])
    bearer, scopes = JWTBearer(jwks), SecurityScopes()
    header = (b"authorization", f"Bearer {caller.token}".encode())

    def scope() -> dict[str, Any]:
        return {
            "type": "http", "method": "GET", "path": "/things", "raw_path": b"/things",
            "query_string": b"", "root_path": "", "headers": [*USUAL, header],
        }  # fmt: skip

    def calling(app: Any) -> Call:
        return lambda: app(scope(), receive, caller.send)

    guard = JWKSVerifier(jwks, resource, audience="api").guard
    return {
        "MCP: the application": calling(application),
        "MCP: the guard": calling(guard(application)),
        "Starlette: a backend": calling(AuthenticationMiddleware(application, Unverified())),
        "Starlette: JWTAuthBackend": calling(
            AuthenticationMiddleware(application, JWTAuthBackend(jwks))
        ),
        "FastAPI: a dependency": lambda: unverified(HTTPConnection(scope()), scopes),
        "FastAPI: JWTBearer": lambda: bearer(HTTPConnection(scope()), scopes),
    }


def django_calls(caller: Caller) -> dict[str, Call]:
    """Return calls with a request of Django's, by name."""
    request, rest = HttpRequest(), JWTAuthentication()
    request.path = request.path_info = "/things"
    wrapped = Request(request)

    def view(_request: HttpRequest) -> HttpResponse:
        return HttpResponse("ok")

    async def async_view(_request: HttpRequest) -> HttpResponse:
        return HttpResponse("ok")

    def calling(call: Callable[[Any], Any], given: object = request, *, wait: bool = False) -> Call:
        async def called() -> object:
            request.META["HTTP_AUTHORIZATION"] = f"Bearer {caller.token}"
            found = call(given)
            return await found if wait else found

        return called

    return {
        "Django: a view": calling(view),
        "Django: in a thread": calling(JWTAuthMiddleware(view)),
        "Django: an async view": calling(async_view, wait=True),
        "Django: on a loop": calling(JWTAuthMiddleware(async_view), wait=True),
        "DRF: a request": calling(id, wrapped),
        "DRF: JWTAuthentication": calling(rest.authenticate, wrapped),
    }


async def main(url: str, issuer: str, token: str, rounds: int, number: int) -> dict[str, Any]:
    """Return the seconds per call of each round, by what was called."""
    options = {"discovery_url": url, "issuer": issuer, "aud": "api"}
    settings.configure(AUTH_JWKS={"VERIFIER": options})
    caller, jwks = Caller(token), JWKS(url, "api", issuer=issuer)
    threads = SyncJWKS(url, "api", issuer=issuer)

    async def verified() -> object:
        return await jwks.verify_token("".join((token[:1], token[1:])))

    async def in_a_thread() -> object:
        return threads.verify_token("".join((token[:1], token[1:])))

    calls: dict[str, Call] = {VERIFY: verified, SYNC: in_a_thread}
    calls |= asgi_calls(jwks, caller) | django_calls(caller)
    took: dict[str, list[float]] = defaultdict(list)
    for turn in range(rounds + 1):
        for name in calls if turn % 2 else reversed(calls):
            began = time.thread_time()
            for _ in range(number):
                await calls[name]()
            if turn:  # the first warms up
                took[name].append((time.thread_time() - began) / number)
    await jwks.close()
    threads.close()
    return {"took": took, "faces": FACES, "wrong": caller.wrong}


if __name__ == "__main__":
    logging.disable(logging.ERROR)
    url_, issuer_, token_, rounds_, number_ = sys.argv[1:]
    answer = asyncio.run(main(url_, issuer_, token_, int(rounds_), int(number_)))
    sys.stdout.write(json.dumps(answer))
