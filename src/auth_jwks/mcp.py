"""Bearer tokens for servers of the MCP SDK. For FastMCP see `auth_jwks.fastmcp`."""

from collections.abc import Collection, Mapping
from contextvars import ContextVar
from typing import Any

import jwt

from auth_jwks._asgi.late import told
from auth_jwks._asgi.resource import ProtectedResource
from auth_jwks._asgi.scope import authorization
from auth_jwks._jose.words import listed
from auth_jwks._settings import (
    checked_audience,
    checked_parts,
    checked_strings,
    checked_verifier,
)
from auth_jwks.asgi import ASGIApp, JWTAuthMiddleware
from auth_jwks.bearer import ScopesFrom, Verifier, granted, scopes_of

try:
    from mcp.server.auth.provider import AccessToken
    from pydantic import Field
except ImportError as fault:  # MCP 1 has other modules
    text = "auth_jwks.mcp needs the MCP SDK 2: install auth-jwks[mcp]"
    raise ImportError(text, name=fault.name) from fault

__all__ = ["JWKSVerifier"]

# Who asked for the token: RFC 9068 §2.2, OpenID Connect Core §2, Entra ID's v1, Okta.
CLIENT_CLAIMS = ("client_id", "azp", "appid", "cid")
NOT_GUARDED = (
    "JWKSVerifier: the application is not guarded. With the MCP SDK serve verifier.guard(app); "
    "with FastMCP give the server the verifier itself as its auth"
)


# What a guard has let in: whose guard, the request's headers at that time, its claims if it needed
# a token.
_Admitted = tuple["JWKSVerifier", tuple[tuple[bytes, bytes], ...], dict[str, Any] | None]
_admitted: ContextVar[_Admitted | None] = ContextVar("auth_jwks.mcp", default=None)


class _Token(AccessToken):
    token: str = Field(repr=False)


class JWKSVerifier:
    """The `TokenVerifier` of an MCP server, and the guard around the server's application.

    The guard verifies the token, and rejects the request if need be. The verifier then passes the
    guard's result to the SDK. The SDK alone could not answer 503 in an outage.
    """

    def __init__(
        self,
        verifier: Verifier,
        resource: ProtectedResource,
        *,
        audience: str | Collection[str] | None = None,
        required_scopes: Collection[str] = (),
        scopes_from: ScopesFrom = scopes_of,
        public_paths: Collection[str] = (),
    ) -> None:
        """Check the configuration.

        A token's `aud` must name one of `audience`, which is the `resource` itself if it is None,
        whatever the `verifier` accepts. It must be granted all of `required_scopes`;
        `scopes_from` reads the granted ones from its claims. `public_paths` need no token.

        Raises `ValueError` or `TypeError`, which name the parameter and what was expected.
        """
        checked_parts("resource", resource, "a ProtectedResource", "is_asked")
        chosen = (resource.resource,) if audience is None else audience
        names = checked_strings("audience", (chosen,) if isinstance(chosen, str) else chosen)
        checked_audience("audience", names)
        checked_strings("required_scopes", required_scopes)
        self._audience = names
        self._verifier = checked_verifier(verifier)
        self._scopes_from = scopes_from
        self._options: dict[str, Any] = {
            "scopes": required_scopes,
            "scopes_from": scopes_from,
            "public_paths": public_paths,
            "resource": resource,
        }
        self.guard(_nothing)  # checks the rest now

    def guard(self, app: ASGIApp) -> ASGIApp:
        """Return the server's application with a guard around it: run this one and not `app`.

        The guard publishes the resource's metadata, and rejects requests as `JWTAuthMiddleware`
        does.
        """
        verifier = _ForAudience(self._verifier, self._audience)
        return JWTAuthMiddleware(_Handover(self, app), verifier, **self._options)

    async def verify_token(self, token: str) -> AccessToken | None:
        """Return the guard's result for the token of this request; None on a public path.

        Raises `RuntimeError` if no guard has verified this token, so that a server without a guard
        admits nobody.
        """
        by, headers, claims = _admitted.get() or (None, (), None)
        # Another guard may stand outside, around several servers: its word is not enough.
        if by is not self:
            raise RuntimeError(NOT_GUARDED)
        if claims is None:
            return None
        token = token.strip(" ")
        if [value[7:].strip(" ") for value in authorization({"headers": headers})] != [token]:
            raise RuntimeError("JWKSVerifier: the token is not the one that the guard has verified")
        return _Token(
            token=token,
            client_id=_client(claims),
            scopes=sorted(granted(claims, self._scopes_from)),
            expires_at=int(claims["exp"]),
            resource=_matching(claims, self._audience),
            subject=_text(claims.get("sub")) or None,
            claims=dict(claims),
        )


class _ForAudience:
    """A verifier that requires one of these audiences, in addition to what the inner one checks."""

    def __init__(self, verifier: Verifier, audience: tuple[str, ...]) -> None:
        self._verifier = verifier
        self._audience = audience

    async def verify_token(self, token: str, /) -> dict[str, Any]:
        """Return the claims, or raise `jwt.InvalidTokenError`."""
        claims = await self._verifier.verify_token(token)
        if claims and _matching(claims, self._audience) is None:
            text = f"aud: expected {listed(self._audience, 'or')}, as this MCP server"
            raise told(self._verifier, jwt.InvalidAudienceError(text))
        return claims

    def _refused_later(self, error: jwt.InvalidTokenError) -> None:
        """Report to the inner verifier, so that its log has the rejection."""
        told(self._verifier, error)


class _Handover:
    """Passes the guard's result to `verify_token`, for as long as the application runs."""

    def __init__(self, verifier: JWKSVerifier, app: ASGIApp) -> None:
        self._verifier = verifier
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        # A copy: a middleware in between may change the list.
        headers = tuple(scope.get("headers", ()))
        reset = _admitted.set((self._verifier, headers, scope["state"]["claims"]))
        try:
            await self._app(scope, receive, send)
        finally:
            _admitted.reset(reset)


async def _nothing(_scope: Any, _receive: Any, _send: Any) -> None: ...


def _matching(claims: Mapping[str, Any], audience: tuple[str, ...]) -> str | None:
    """Return the first of the audiences that the token names (RFC 7519 §4.1.3)."""
    named = claims.get("aud")
    if isinstance(named, str):
        return named if named in audience else None
    values = named if isinstance(named, list) else ()
    return next((each for each in audience if each in values), None)


def _client(claims: Mapping[str, Any]) -> str:
    return next(filter(None, (_text(claims.get(name)) for name in CLIENT_CLAIMS)), "")


def _text(value: object) -> str:
    if type(value) is int:  # only `numeric_sub=True` lets one in
        return str(value)
    return value if isinstance(value, str) else ""
