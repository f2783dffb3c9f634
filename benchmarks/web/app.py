"""A FastAPI service under uvicorn, without and with a token check; ends with its standard input.

Runs with any version of the library, in whatever environment that is installed.
"""

import asyncio
import json
import logging
import socket
import sys
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from typing import Annotated, Any

import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from jwt import InvalidTokenError

from auth_jwks import JWKS

Bearer = Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]


def bare() -> FastAPI:
    """Return a service that looks at no header."""
    app = FastAPI()

    @app.get("/whoami")
    async def whoami() -> dict[str, Any]:
        return {"sub": "alice"}

    return app


def unchecked() -> FastAPI:
    """Return a service that takes the token out of its header, as both others have to."""
    app = FastAPI()

    @app.get("/whoami")
    async def whoami(credentials: Bearer) -> dict[str, Any]:
        return {"sub": "alice" if credentials.credentials else ""}

    return app


def by_hand(jwks: JWKS) -> FastAPI:
    """Return a service that verifies the token by a dependency of its own, with any version."""
    app = FastAPI()

    async def claims(credentials: Bearer) -> dict[str, Any]:
        try:
            return await jwks.verify_token(credentials.credentials)
        except InvalidTokenError:
            challenge = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
            raise HTTPException(401, "Invalid token", challenge) from None

    @app.get("/whoami")
    async def whoami(user: Annotated[dict[str, Any], Depends(claims)]) -> dict[str, Any]:
        return {"sub": user["sub"]}

    return app


def dependency(jwks: JWKS) -> FastAPI:
    """Return a service that verifies the token by `JWTBearer`."""
    app = FastAPI()
    bearer = import_module("auth_jwks.fastapi").JWTBearer(jwks)

    @app.get("/whoami")
    async def whoami(user: Annotated[dict[str, Any], Depends(bearer)]) -> dict[str, Any]:
        return {"sub": user["sub"]}

    return app


def middleware(jwks: JWKS) -> FastAPI:
    """Return a service behind `JWTAuthMiddleware`."""
    app = FastAPI()

    @app.get("/whoami")
    async def whoami(request: Request) -> dict[str, Any]:
        return {"sub": request.state.claims["sub"]}

    guard: Any = import_module("auth_jwks.asgi").JWTAuthMiddleware
    app.add_middleware(guard, verifier=jwks)
    return app


SERVICES = {
    "bare": lambda _: bare(),
    "unchecked": lambda _: unchecked(),
    "by hand": by_hand,
    "dependency": dependency,
    "middleware": middleware,
}


async def main(kind: str, url: str, issuer: str, token: str) -> None:
    """Warm up, serve on a free port, and tell which."""
    logging.disable(logging.ERROR)
    jwks = JWKS(url, issuer=issuer)
    await jwks.verify_token(token)
    server = uvicorn.Server(
        uvicorn.Config(SERVICES[kind](jwks), log_level="critical", access_log=False)
    )
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    libraries = {name: version(name) for name in ("auth-jwks", "fastapi", "uvicorn")}
    parts = [name for name in ("httptools", "uvloop") if find_spec(name)]
    told = {"port": listener.getsockname()[1], "libraries": libraries, "parts": parts}
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    server.should_exit = True
    await serving
    await jwks.close()


if __name__ == "__main__":
    run = import_module("uvloop").run if find_spec("uvloop") else asyncio.run
    run(main(*sys.argv[1:]))
