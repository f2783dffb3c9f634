"""Requests that are refused beside sentry-sdk, in a process of its own: it patches frameworks.

It reads from standard input how to start the SDK, and prints the status of each request.
"""

from tests.web import django_site

# isort: split

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any

import httpx
import jwt
import sentry_sdk
from django.test import AsyncClient, Client, override_settings
from fastapi import Depends, FastAPI
from flask import Flask, request
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware

from auth_jwks import JWKS
from auth_jwks.asgi import JWTAuthMiddleware
from auth_jwks.bearer import Challenge, bearer_token
from auth_jwks.fastapi import JWTBearer
from auth_jwks.starlette import JWTAuthBackend
from auth_jwks.sync import SyncJWKS
from auth_jwks.testing import FakeIssuer, SigningKey

Ask = Callable[[dict[str, str]], int]

CLAIMS = {"aud": "api", "email": "alice@example.com"}
TOKENS: dict[str, Callable[[FakeIssuer], str]] = {
    "expired": lambda issuer: issuer.sign(CLAIMS, exp=1),
    "forged": lambda issuer: issuer.forge(CLAIMS),
    "unknown key": lambda issuer: issuer.sign(CLAIMS, key=SigningKey.generate("ES256")),
    "malformed": lambda _issuer: f"{'header' * 5}.{'payload' * 5}.{'signature' * 5}",
}
FAULTS: dict[str, Callable[[FakeIssuer], object]] = {
    "outage": lambda issuer: issuer.outage(),
    "mismatch": lambda issuer: issuer.announce(issuer="https://other.example"),
}


def options(issuer: FakeIssuer) -> dict[str, Any]:
    """Return what a verifier of the provider is made of."""
    return {"issuer": issuer.issuer, "aud": "api", "retries": 0, "timeout": 30}


def asked(app: Any) -> Ask:
    """Return what asks an ASGI application."""

    async def ask(headers: dict[str, str]) -> int:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as client:
            return (await client.get("/", headers=headers)).status_code

    return lambda headers: asyncio.run(ask(headers))


def by_fastapi(issuer: FakeIssuer) -> Ask:
    """Refuse in a dependency."""
    app = FastAPI(dependencies=[Depends(JWTBearer(JWKS(**options(issuer))))])

    @app.get("/")
    async def read() -> str:
        return "a page"

    return asked(app)


def by_asgi(issuer: FakeIssuer) -> Ask:
    """Refuse before FastAPI."""
    app = FastAPI()
    app.add_middleware(JWTAuthMiddleware, verifier=JWKS(**options(issuer)))
    return asked(app)


def by_starlette(issuer: FakeIssuer) -> Ask:
    """Refuse in Starlette's own middleware."""
    backend = JWTAuthBackend(JWKS(**options(issuer)))
    guard = Middleware(AuthenticationMiddleware, backend=backend, on_error=backend.on_error)
    return asked(Starlette(middleware=[guard]))


def by_flask(issuer: FakeIssuer) -> Ask:
    """Refuse as docs/sync.md does."""
    app, jwks = Flask("shop"), SyncJWKS(**options(issuer))

    @app.before_request
    def authenticate() -> None:
        jwks.verify_token(bearer_token(request.headers.getlist("Authorization")))

    @app.errorhandler(jwt.InvalidTokenError)
    def refuse(error: jwt.InvalidTokenError) -> tuple[dict[str, str], int, dict[str, str]]:
        refusal = Challenge().refusal(error)
        return {"detail": refusal.detail}, refusal.status, dict(refusal.headers)

    return lambda headers: app.test_client().get("/", headers=headers).status_code


def by_django(path: str, *, is_async: bool = False) -> Callable[[FakeIssuer], Ask]:
    """Refuse in the middleware, or in REST framework."""
    middleware = [] if path.startswith("/rest") else django_site.MIDDLEWARE

    def made(issuer: FakeIssuer) -> Ask:
        setting = {"VERIFIER": options(issuer)}

        def ask(headers: dict[str, str]) -> int:
            with override_settings(AUTH_JWKS=setting, MIDDLEWARE=middleware):
                if is_async:
                    return asyncio.run(AsyncClient().get(path, headers=headers)).status_code
                return Client().get(path, headers=headers).status_code

        return ask

    return made


SITES: dict[str, Callable[[FakeIssuer], Ask]] = {
    "fastapi": by_fastapi,
    "asgi": by_asgi,
    "starlette": by_starlette,
    "flask": by_flask,
    "django": by_django("/me"),
    "django async": by_django("/later", is_async=True),
    "drf": by_django("/rest/me"),
}


def statuses(made: Callable[[FakeIssuer], Ask]) -> dict[str, int]:
    """Return how a site answers each request."""
    found = {}
    with FakeIssuer(algorithm="ES256") as issuer:
        ask = made(issuer)
        for name, token in TOKENS.items():
            found[name] = ask({"Authorization": f"Bearer {token(issuer)}"})
    for name, fault in FAULTS.items():
        with FakeIssuer(algorithm="ES256") as issuer:
            fault(issuer)
            found[name] = made(issuer)({"Authorization": f"Bearer {issuer.sign(CLAIMS)}"})
    return found


if __name__ == "__main__":
    exec(sys.stdin.read())  # noqa: S102 - of the test, or of the page
    told = {name: statuses(SITES[name]) for name in sys.argv[1:]}
    sentry_sdk.flush(100)
    sys.stdout.write(json.dumps(told))
