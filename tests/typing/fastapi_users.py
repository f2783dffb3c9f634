"""A FastAPI application as its users write it: read by the type checkers, never executed."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any, assert_type

from fastapi import APIRouter, Depends, FastAPI, Security
from fastapi.testclient import TestClient
from pydantic import BaseModel

from auth_jwks import JWKS
from auth_jwks.fastapi import JWTBearer

FLOWS = {
    "authorizationCode": {
        "authorizationUrl": "https://idp.test/authorize",
        "tokenUrl": "https://idp.test/token",
        "scopes": {"read": "Read things"},
    }
}


@dataclass(frozen=True)
class Settings:
    """What differs between deployments."""

    issuer: str
    audience: str


class User(BaseModel):
    """What the application wants of a token."""

    sub: str


def things(bearer: JWTBearer[dict[str, Any]]) -> APIRouter:
    """Return routes that are guarded by a bearer of the application."""
    router = APIRouter(dependencies=[Security(bearer, scopes=["read"])])

    @router.get("/things")
    async def listed(claims: Annotated[dict[str, Any], Depends(bearer)]) -> str:
        return str(claims["sub"])

    return router


def create_app(settings: Settings) -> FastAPI:
    """Return the application."""
    jwks = JWKS(issuer=settings.issuer, aud=settings.audience)
    bearer = JWTBearer(jwks, flows=FLOWS)
    user = JWTBearer(
        jwks,
        model=User,
        auto_error=False,
        scheme_name="User",
        openid_connect_url=f"{settings.issuer}/.well-known/openid-configuration",
    )
    assert_type(bearer, JWTBearer[dict[str, Any]])
    assert_type(user, JWTBearer[User | None])

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[None]:
        async with jwks:
            yield

    app = FastAPI(lifespan=lifespan)
    bearer.describe_refusals(app)
    assert_type(user.describe_refusals(app), None)
    app.include_router(things(bearer))

    @app.get("/me")
    async def me(known: Annotated[User | None, Depends(user)]) -> str:
        return known.sub if known else "stranger"

    return app


def client(bearer: JWTBearer[dict[str, Any]]) -> Iterator[TestClient]:
    """Override the dependency in both ways."""
    app = create_app(Settings("https://idp.test", "api"))
    app.dependency_overrides[bearer] = lambda: {"sub": "carol"}
    app.dependency_overrides[bearer] = JWTBearer(JWKS(issuer="https://fake.test", aud="api"))
    with TestClient(app) as client:
        yield client


def wrong(jwks: JWKS) -> None:
    """What is refused."""
    JWTBearer(jwks, flows="authorizationCode")  # type: ignore[call-overload]
    JWTBearer(jwks, flow=FLOWS)  # type: ignore[call-overload]
