"""The web integrations as users write them: read by the type checker, never executed."""

# pyright: strict

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, assert_type

from fastapi import Depends, FastAPI, Security
from fastapi.security import SecurityScopes
from fastmcp import FastMCP
from mcp.server import MCPServer
from mcp.server.auth.settings import AuthSettings
from pydantic import AnyHttpUrl, BaseModel
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import HTTPConnection

from auth_jwks import JWKS, Issuers, fastmcp, mcp
from auth_jwks.asgi import CookieToken, HeaderToken, JWTAuthMiddleware, ProtectedResource
from auth_jwks.bearer import Refusal, Verifier, scopes_of
from auth_jwks.cloudflare import (
    CfaAuthMiddleware,
    CloudFlareTokenValidation,
    ServiceToken,
    User,
)
from auth_jwks.fastapi import JWTBearer
from auth_jwks.profiles import AccessToken
from auth_jwks.starlette import JWTAuthBackend, TokenRefusedError, TokenUser

jwks = JWKS("https://idp.test/.well-known/openid-configuration", issuer="https://idp.test")


class Claims(BaseModel):
    """A model of the user's own."""

    sub: str


class Wrapper:
    """A verifier of the user's own, which no class of ours is behind."""

    async def verify_token(self, token: str) -> dict[str, Any]:
        """Verify for one of two audiences."""
        return await jwks.verify_token(token, ["api", "web"])


def permissions(claims: Mapping[str, Any]) -> Iterable[str]:
    """Return what Auth0 grants."""
    yield from claims.get("permissions", ())


verifier: Verifier = jwks
verifier = Issuers(jwks)
verifier = Wrapper()

# Any ASGI application.
JWTAuthMiddleware(FastAPI(), jwks)
JWTAuthMiddleware(Starlette(), Wrapper(), scopes=["read"], scopes_from=permissions, optional=True)
Starlette(middleware=[Middleware(JWTAuthMiddleware, verifier=jwks, public_paths=["/health"])])
FastAPI().add_middleware(JWTAuthMiddleware, verifier=jwks, public_prefixes=("/docs",))
JWTAuthMiddleware(FastAPI(), jwks, token_from=HeaderToken("x-goog-iap-jwt-assertion"))
JWTAuthBackend(jwks, token_from=CookieToken("__Host-session"))
assert_type(JWTBearer(jwks, token_from=CookieToken("session")), JWTBearer[dict[str, Any]])
JWTAuthMiddleware(FastAPI(), jwks, token_from="session")  # type: ignore[arg-type]
JWTAuthMiddleware(FastAPI(), jwks, allow_bound=True)
JWTAuthMiddleware(FastAPI())  # type: ignore[call-arg]
JWTAuthMiddleware(FastAPI(), object())  # type: ignore[arg-type]
JWTAuthMiddleware(FastAPI(), jwks, scopes_from="scope")  # type: ignore[arg-type]

resource = ProtectedResource("https://api.test", issuers=["https://idp.test"], scopes=["read"])
JWTAuthMiddleware(FastAPI(), jwks, resource=resource)
JWTAuthMiddleware(FastAPI(), jwks, resource="https://api.test")  # type: ignore[arg-type]
ProtectedResource("https://api.test", ["https://idp.test"])  # type: ignore[call-arg]

# MCP.
AUTH = AuthSettings(
    issuer_url=AnyHttpUrl("https://idp.test"), resource_server_url=AnyHttpUrl("https://api.test")
)
sdk = mcp.JWKSVerifier(Issuers(jwks), resource, audience=["api"], required_scopes=["read"])
MCPServer("x", token_verifier=sdk, auth=AUTH)
sdk.guard(MCPServer("x").streamable_http_app())
FastMCP("x", auth=fastmcp.JWKSVerifier(Wrapper(), resource, scopes_from=permissions))
mcp.JWKSVerifier(jwks, "https://api.test")  # type: ignore[arg-type]
fastmcp.JWKSVerifier(jwks)  # type: ignore[call-arg]

# Starlette.
backend = JWTAuthBackend(jwks, realm="api", scopes_from=permissions)
Middleware(AuthenticationMiddleware, backend=backend, on_error=backend.on_error)
Starlette().add_middleware(AuthenticationMiddleware, backend=backend, on_error=backend.on_error)
JWTAuthBackend(Wrapper(), resource_metadata="https://api.test/meta", scopes_from=scopes_of)
JWTAuthBackend(JWKS("https://idp.test", profile=AccessToken()), allow_bound=True)
JWTAuthBackend(object())  # type: ignore[arg-type]
JWTAuthBackend(jwks, "api")  # type: ignore[call-arg]
JWTAuthBackend(jwks, scopes_from=lambda _: None)  # type: ignore[arg-type, return-value]


async def authenticate(conn: HTTPConnection) -> str:
    """Use a backend without the middleware."""
    try:
        known = await backend.authenticate(conn)
    except TokenRefusedError as error:
        assert_type(error.refusal, Refusal)
        return error.refusal.detail
    assert_type(known, tuple[AuthCredentials, TokenUser] | None)
    user = known[1] if known else TokenUser({"sub": "alice"})
    assert_type(user.claims, Mapping[str, Any])
    return user.identity or user.display_name


# FastAPI.
bearer = JWTBearer(jwks)
model = JWTBearer(jwks, model=Claims, realm="api", scheme_name="Staff")
optional = JWTBearer(jwks, auto_error=False, scopes_from=permissions)
optional_model = JWTBearer(Wrapper(), model=Claims, auto_error=False, description="A token")
assert_type(bearer, JWTBearer[dict[str, Any]])
assert_type(model, JWTBearer[Claims])
assert_type(optional, JWTBearer[dict[str, Any] | None])
assert_type(optional_model, JWTBearer[Claims | None])
assert_type(JWTBearer(jwks, auto_error=bool(1)), JWTBearer[dict[str, Any] | None])
JWTBearer(jwks, allow_bound=True, model=Claims)
JWTBearer(object())  # type: ignore[call-overload]
JWTBearer(jwks, Claims)  # type: ignore[call-overload]
JWTBearer(jwks, model=dict)  # type: ignore[type-var]
JWTBearer(jwks, relm="api")  # type: ignore[call-overload]

app = FastAPI(dependencies=[Security(bearer, scopes=["read"])])
Caller = Annotated[Claims, Depends(model)]


@app.get("/")
async def me(user: Caller, again: Annotated[Claims | None, Security(optional_model)]) -> str:
    """Read claims with their types."""
    assert_type(user.sub, str)
    return again.sub if again else user.sub


async def call(conn: HTTPConnection) -> None:
    """Call a dependency as one's own dependency may."""
    scopes = SecurityScopes(["read"])
    assert_type(await bearer(conn, scopes), dict[str, Any])
    assert_type(await model(conn, scopes), Claims)
    assert_type(await optional(conn, scopes), dict[str, Any] | None)


# Cloudflare Access.

cfa = CloudFlareTokenValidation(aud="tag", team="team")
guarded = Starlette(middleware=[Middleware(CfaAuthMiddleware, verify_token=cfa.verify_user)])
guarded.add_middleware(CfaAuthMiddleware, verify_token=cfa.verify_token, cookie_name="other")
FastAPI().add_middleware(CfaAuthMiddleware, dev_user=User("sub", "alice@example.com"))
CloudFlareTokenValidation("tag", "team")  # type: ignore[call-arg]
CloudFlareTokenValidation(team="team")  # type: ignore[call-arg]


async def either(token: str) -> User | ServiceToken:
    """Take people and machines."""
    if (await cfa.verify_token(token))["sub"]:
        return await cfa.verify_user(token)
    return await cfa.verify_service_token(token)


CfaAuthMiddleware(guarded, verify_token=either)


async def ask(token: str) -> None:
    """Ask for everything there is."""
    assert_type(await cfa.verify_email(token), str)
    assert_type((await cfa.get_identity(token)).is_warp, bool | None)
