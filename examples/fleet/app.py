"""A service whose workers share one fetched key set through Redis or Valkey.

Importing this opens no connection, so that a server may import it before it forks.
"""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Any

from fastapi import Depends, FastAPI

from auth_jwks import JWKS, IssuerMismatchError, KeysUnavailableError, RedisKeyStore
from auth_jwks.fastapi import JWTBearer

ISSUER = os.environ["ISSUER"]
store = RedisKeyStore(os.environ["REDIS_URL"], integrity_key=os.environ["INTEGRITY_KEY"])
jwks = JWKS(
    ISSUER.rstrip("/") + "/.well-known/openid-configuration",
    os.environ["AUD"],
    issuer=ISSUER,
    store=store,
)
bearer = JWTBearer(jwks)


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncGenerator[None]:
    """Fetch the keys before the first request. The service starts even if the provider is down."""
    async with store, jwks:
        with suppress(KeysUnavailableError, IssuerMismatchError):
            await jwks.refresh()
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/whoami")
async def whoami(claims: Annotated[dict[str, Any], Depends(bearer)]) -> dict[str, Any]:
    """Return the subject of the token, and the worker that verified it."""
    return {"sub": claims["sub"], "worker": os.getpid()}
