"""Tokens that are valid and refused all the same: the verifier's log and observers have them."""

from collections.abc import Callable
from typing import Annotated, Any

import httpx
import pytest
from fastapi import FastAPI, Security
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware

from auth_jwks import JWKS, Issuers
from auth_jwks.asgi import JWTAuthMiddleware
from auth_jwks.errors import Reason
from auth_jwks.events import Event, TokenRefused
from auth_jwks.fastapi import JWTBearer
from auth_jwks.starlette import JWTAuthBackend
from auth_jwks.testing import FakeIssuer
from tests.web.asgi.driving import SeenBy, whoami

SCOPE = "scope: expected 'things:write', the token lacks it"
BOUND = "cnf: expected none in a bearer token, found one"


class Person(BaseModel):
    """Claims that a route wants."""

    name: str


def with_asgi(verifier: Any) -> Any:
    """Return an application behind the middleware."""
    return JWTAuthMiddleware(whoami, verifier, scopes=["things:write"])


def with_starlette(verifier: Any) -> Any:
    """Return an application behind Starlette's own."""
    backend = JWTAuthBackend(verifier)
    middleware = Middleware(AuthenticationMiddleware, backend=backend, on_error=backend.on_error)
    return Starlette(middleware=[middleware])


def with_fastapi(verifier: Any) -> Any:
    """Return an application with a route that wants a scope and a name."""
    app, bearer = FastAPI(), JWTBearer(verifier, model=Person)

    @app.get("/")
    def read(claims: Annotated[Person, Security(bearer, scopes=["things:write"])]) -> str:
        return claims.name

    return app


CASES = [
    (with_asgi, {"cnf": {}}, 401, Reason.BOUND, BOUND),
    (with_asgi, {"scope": "things:read"}, 403, Reason.SCOPE, SCOPE),
    (with_starlette, {"cnf": {}}, 401, Reason.BOUND, BOUND),
    (with_fastapi, {"cnf": {}}, 401, Reason.BOUND, BOUND),
    (with_fastapi, {"name": "Alice"}, 403, Reason.SCOPE, SCOPE),
    (
        with_fastapi,
        {"scope": "things:write"},
        401,
        Reason.CLAIM,
        "the claims don't fit the model: [('name', 'missing')]",
    ),
]


async def asked(app: Any, token: str) -> httpx.Response:
    """Return the answer to a request with the token."""
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as client:
        return await client.get("/", headers={"Authorization": f"Bearer {token}"})


@pytest.mark.parametrize("several", [False, True], ids=["one", "several"])
@pytest.mark.parametrize(("made", "claims", "status", "reason", "detail"), CASES)
async def test_the_verifier_is_told(
    made: Callable[[Any], Any],
    claims: dict[str, Any],
    status: int,
    reason: Reason,
    detail: str,
    *,
    several: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It had verified them, and counts both. The client is told none of the words."""
    events: list[Event] = []
    with FakeIssuer() as issuer:
        jwks = JWKS(issuer.discovery_url, "api", issuer=issuer.issuer, observer=events.append)
        async with Issuers(jwks) if several else jwks as verifier:
            answer = await asked(made(verifier), issuer.sign(aud="api", **claims))
            counts = dict(jwks.status().verifications)
            if isinstance(verifier, Issuers):
                counts |= verifier.refused
    assert answer.status_code == status
    assert detail not in answer.text
    source = "several issuers" if several else issuer.discovery_url
    assert events[1:] == [TokenRefused(source, reason, detail)]
    assert counts == {"ok": 1, "seen": 0, reason.value: 1}
    assert [line for line in caplog.messages if line.startswith("refused")] == [
        f"refused a token: {reason}: {detail.removeprefix('scope: ')}; source: {source}"
    ]


@pytest.mark.parametrize(("made", "claims", "status"), [case[:3] for case in CASES])
async def test_another_verifier_is_left_alone(
    made: Callable[[Any], Any], claims: dict[str, Any], status: int
) -> None:
    """It may be anybody's, or a double in a test."""
    assert (await asked(made(SeenBy(**claims)), "a.b.c")).status_code == status
