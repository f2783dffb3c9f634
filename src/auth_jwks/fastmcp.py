"""Bearer tokens for servers of FastMCP. For the MCP SDK see `auth_jwks.mcp`."""

from collections.abc import Collection

from auth_jwks import mcp
from auth_jwks._asgi.resource import ProtectedResource
from auth_jwks.bearer import ScopesFrom, Verifier, scopes_of

try:
    from fastmcp.server import auth
    from fastmcp.server.auth import AccessToken, TokenVerifier
    from pydantic import Field
    from starlette.middleware import Middleware
except ImportError as fault:
    text = "auth_jwks.fastmcp needs FastMCP 4: install fastmcp"
    raise ImportError(text, name=fault.name) from fault

__all__ = ["JWKSVerifier"]

# `MultiAuth` takes any other error for a bad token. FastMCP has it since 4.2.
_UNVERIFIED: type[RuntimeError] = getattr(auth, "TokenVerificationError", RuntimeError)


class _Token(AccessToken):
    token: str = Field(repr=False)


class JWKSVerifier(TokenVerifier):
    """The `auth` of a FastMCP server: `FastMCP("tools", auth=JWKSVerifier(jwks, resource))`.

    It adds the guard of `auth_jwks.mcp` itself, as the outermost middleware of the server's
    application, so that you need not wrap the application.
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
        """Check the configuration, which is that of `auth_jwks.mcp.JWKSVerifier`.

        Raises `ValueError` or `TypeError`, which name the parameter and what was expected.
        """
        self._verifier = mcp.JWKSVerifier(
            verifier,
            resource,
            audience=audience,
            required_scopes=required_scopes,
            scopes_from=scopes_from,
            public_paths=public_paths,
        )
        super().__init__(required_scopes=list(required_scopes))

    async def verify_token(self, token: str) -> AccessToken | None:
        """Return the guard's result for the token of this request; None on a public path.

        Raises a `RuntimeError`, which is FastMCP's `TokenVerificationError`, if no guard has
        verified this token: `RemoteAuthProvider` and `MultiAuth` leave it out.
        """
        try:
            found = await self._verifier.verify_token(token)
        except RuntimeError as fault:
            raise _UNVERIFIED(str(fault)) from None
        return None if found is None else _Token(**found.model_dump())

    def get_middleware(self) -> list[Middleware]:
        """Return the guard, and FastMCP's own middleware inside it."""
        return [Middleware(self._verifier.guard), *super().get_middleware()]
