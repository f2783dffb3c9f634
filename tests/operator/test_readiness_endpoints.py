"""The one-line endpoints of docs/readiness.md, each in its framework."""

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flask
import httpx
import pytest
from django.http import HttpRequest, JsonResponse
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from auth_jwks.health import readiness
from auth_jwks.sync import SyncJWKS
from auth_jwks.testing import FakeIssuer
from tests.web import django_settings

PAGE = (Path(__file__).parents[2] / "docs" / "readiness.md").read_text(encoding="utf-8")
ROWS = dict(re.findall(r"^\| (\w+) \| (`.*`) \|$", PAGE, re.MULTILINE))


def endpoint(framework: str, **names: Any) -> Callable[..., Any]:
    """Return the function of a row."""
    code = "\n".join(re.findall(r"`([^`]+)`", ROWS[framework]))
    exec(code, names := {"readiness": readiness, **names})  # noqa: S102 - it is our own page's
    found: Callable[..., Any] = names["readyz"]
    return found


def starlette(jwks: SyncJWKS) -> int:
    """Ask Starlette's."""
    readyz = endpoint("Starlette", jwks=jwks, JSONResponse=JSONResponse)
    transport = httpx.ASGITransport(Starlette(routes=[Route("/readyz", readyz)]))

    async def ask() -> int:
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            return (await client.get("/readyz")).status_code

    return asyncio.run(ask())


def asked_of_flask(jwks: SyncJWKS) -> int:
    """Ask Flask's."""
    app = flask.Flask("shop")
    endpoint("Flask", jwks=jwks, app=app)
    return app.test_client().get("/readyz").status_code


def django(jwks: SyncJWKS) -> int:
    """Ask Django's."""
    assert django_settings.MIDDLEWARE
    return endpoint("Django", jwks=jwks, JsonResponse=JsonResponse)(HttpRequest()).status_code  # type: ignore[no-any-return]


ASK: dict[str, Callable[[SyncJWKS], int]] = {
    "Starlette": starlette,
    "Flask": asked_of_flask,
    "Django": django,
}


def test_each_row_is_asked() -> None:
    """None is only printed."""
    assert ROWS.keys() == ASK.keys()


@pytest.mark.parametrize("framework", ASK)
def test_the_endpoint_tells_whether_there_are_keys(framework: str) -> None:
    """503 before the first keys, 200 with them."""
    with FakeIssuer() as issuer, SyncJWKS(issuer.discovery_url, issuer=issuer.issuer) as jwks:
        before = ASK[framework](jwks)
        jwks.refresh()
        assert (before, ASK[framework](jwks)) == (503, 200)
