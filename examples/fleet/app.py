"""A service whose workers share one fetched key set through Redis or Valkey.

The factory opens no connection, so that a server may call it before it forks.
"""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, FastAPI

from auth_jwks import JWKS, IssuerMismatchError, KeysUnavailableError, MemoryKeyStore, RedisKeyStore
from auth_jwks.fastapi import JWTBearer


@dataclass(frozen=True)
class Settings:
    """What differs between deployments."""

    issuer: str
    audience: str


def create_app(
    settings: Settings | None = None, store: RedisKeyStore | MemoryKeyStore | None = None
) -> FastAPI:
    """Return the service. What is not given is taken from the environment."""
    settings = settings or Settings(os.environ["ISSUER"], os.environ["AUDIENCE"])
    store = store or RedisKeyStore(
        os.environ["REDIS_URL"], integrity_key=os.environ["INTEGRITY_KEY"]
    )
    jwks = JWKS(issuer=settings.issuer, aud=settings.audience, store=store)
    bearer = JWTBearer(jwks)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[None]:
        async with store, jwks:
            # The service starts without keys too, and fetches them when a token comes.
            with suppress(KeysUnavailableError, IssuerMismatchError):
                await jwks.refresh()
            yield

    app = FastAPI(lifespan=lifespan)
    bearer.describe_refusals(app)

    @app.get("/whoami")
    async def whoami(claims: Annotated[dict[str, Any], Depends(bearer)]) -> dict[str, Any]:
        """Return the subject of the token, and the worker that verified it."""
        return {"sub": claims["sub"], "worker": os.getpid()}

    return app
