"""A service whose workers share one fetched key set through Redis or Valkey.

Importing this opens no connection, so that a server may import it before it forks.
"""

import math
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from jwt import InvalidTokenError

from auth_jwks import JWKS, IssuerMismatchError, KeysUnavailableError, RedisKeyStore

ISSUER = os.environ["ISSUER"]
store = RedisKeyStore(os.environ["REDIS_URL"], integrity_key=os.environ["INTEGRITY_KEY"])
jwks = JWKS(
    ISSUER.rstrip("/") + "/.well-known/openid-configuration",
    os.environ["AUD"],
    issuer=ISSUER,
    store=store,
)


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Warm the keys up before the first request; a provider that is down stops no start."""
    async with store, jwks:
        with suppress(KeysUnavailableError, IssuerMismatchError):
            await jwks.refresh()
        yield


async def claims(
    credentials: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())],
) -> dict[str, Any]:
    """Return the claims of the request's token; 401 is the caller's fault, 503 is not."""
    try:
        return await jwks.verify_token(credentials.credentials)
    except KeysUnavailableError as error:
        retry = {"Retry-After": str(math.ceil(error.retry_after))}
        raise HTTPException(503, "No keys to verify tokens with", retry) from None
    except IssuerMismatchError:
        raise HTTPException(503, "No keys to verify tokens with") from None
    except InvalidTokenError:
        challenge = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
        raise HTTPException(401, "Invalid token", challenge) from None


app = FastAPI(lifespan=lifespan)


@app.get("/whoami")
async def whoami(user: Annotated[dict[str, Any], Depends(claims)]) -> dict[str, Any]:
    """Say who the token speaks for, and which worker verified it."""
    return {"sub": user["sub"], "worker": os.getpid()}
