"""An application for gunicorn to run: each integration has a path of its own, below two others.

Below `/up` tokens are verified with the key set which the environment's `UP` names, below `/down`
with that of `DOWN`.
"""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any

import jwt
from fastapi import Depends, FastAPI, Security
from starlette.applications import Starlette
from starlette.authentication import requires
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

from auth_jwks import JWKS
from auth_jwks.asgi import JWTAuthMiddleware
from auth_jwks.bearer import Challenge
from auth_jwks.cloudflare import CfaAuthMiddleware
from auth_jwks.errors import InsufficientScopeError, MissingTokenError
from auth_jwks.fastapi import JWTBearer
from auth_jwks.starlette import JWTAuthBackend
from tests.web.status_table import AUDIENCE

REALM, SCOPE = "shop", "things:write"


def verifier(variable: str) -> JWKS:
    """Return a verifier that tries nothing twice, for the key set which the environment names."""
    issuer = os.environ["ISSUER"]
    return JWKS(jwks_uri=os.environ[variable], aud=AUDIENCE, issuer=issuer, retries=0)


def with_fastapi(jwks: JWKS) -> FastAPI:
    """Return an application whose endpoints ask for a token by `Depends` and by `Security`."""
    app, bearer = FastAPI(), JWTBearer(jwks, realm=REALM)

    @app.get("/me")
    async def me(claims: Annotated[dict[str, Any], Depends(bearer)]) -> Any:
        return claims["sub"]

    @app.get("/things")
    async def things(claims: Annotated[dict[str, Any], Security(bearer, scopes=[SCOPE])]) -> Any:
        return claims["sub"]

    @app.websocket("/feed")
    async def feed(
        websocket: WebSocket, claims: Annotated[dict[str, Any], Depends(bearer)]
    ) -> None:
        await told(websocket, claims["sub"])

    return app


@requires("authenticated", status_code=401)
async def me(request: Request) -> JSONResponse:
    """Say who it is to whoever has a good token."""
    return JSONResponse(request.user.identity)


@requires("authenticated", status_code=401)
@requires(SCOPE)
async def things(request: Request) -> JSONResponse:
    """Say who it is to whoever was granted the scope."""
    return JSONResponse(request.user.identity)


def answering(
    fault: jwt.InvalidTokenError, challenge: Challenge
) -> Callable[[Request, Exception], Awaitable[JSONResponse]]:
    """Return what answers for `@requires`, which knows of no challenge."""

    async def answer(_request: Request, _exc: Exception) -> JSONResponse:
        refusal = challenge.refusal(fault)
        return JSONResponse({"detail": refusal.detail}, refusal.status, refusal.headers)

    return answer


def with_starlette(jwks: JWKS) -> Starlette:
    """Return an application whose endpoints have `@requires`."""
    backend = JWTAuthBackend(jwks, realm=REALM)
    guard = Middleware(AuthenticationMiddleware, backend=backend, on_error=backend.on_error)
    handlers = {
        401: answering(MissingTokenError(), Challenge(REALM)),
        403: answering(InsufficientScopeError(), Challenge(REALM, [SCOPE])),
    }
    routes = [Route("/me", me), Route("/things", things)]
    return Starlette(routes=routes, middleware=[guard], exception_handlers=handlers)


async def told(websocket: WebSocket, text: str) -> None:
    """Send one message."""
    await websocket.accept()
    await websocket.send_text(text)
    await websocket.close()


def showing(member: str) -> list[BaseRoute]:
    """Return endpoints that say whose claims a middleware left in that member of the state."""

    async def me(request: Request) -> JSONResponse:
        return JSONResponse(getattr(request.state, member)["sub"])

    async def feed(websocket: WebSocket) -> None:
        await told(websocket, getattr(websocket.state, member)["sub"])

    return [Route("/me", me), WebSocketRoute("/feed", feed)]


def integrations(jwks: JWKS) -> list[BaseRoute]:
    """Return all of them, each with that verifier."""
    asgi = Middleware(JWTAuthMiddleware, verifier=jwks, realm=REALM)
    scoped = Middleware(JWTAuthMiddleware, verifier=jwks, realm=REALM, scopes=[SCOPE])
    cfa = Middleware(CfaAuthMiddleware, verify_token=jwks.verify_token)
    return [
        Mount("/fastapi", app=with_fastapi(jwks)),
        Mount("/starlette", app=with_starlette(jwks)),
        Mount("/asgi", routes=showing("claims"), middleware=[asgi]),
        Mount("/scoped", routes=showing("claims"), middleware=[scoped]),
        Mount("/cfa", routes=showing("user"), middleware=[cfa]),
    ]


async def health(_request: Request) -> JSONResponse:
    """Answer anyone."""
    return JSONResponse({"status": "ok"})


up, down = verifier("UP"), verifier("DOWN")


@asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncIterator[None]:
    """Close the verifiers at the end."""
    async with up, down:
        yield


app = Starlette(
    lifespan=lifespan,
    routes=[
        Route("/health", health),
        Mount("/up", routes=integrations(up)),
        Mount("/down", routes=integrations(down)),
    ],
)
