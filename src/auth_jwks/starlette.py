"""Bearer tokens in Starlette: `request.user`, `request.auth.scopes` and `@requires`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from auth_jwks._settings import checked_parts, checked_verifier
from auth_jwks.bearer import (
    Challenge,
    Refusal,
    ScopesFrom,
    Verifier,
    granted,
    scopes_of,
    verified,
)

try:
    from starlette.authentication import (
        AuthCredentials,
        AuthenticationBackend,
        AuthenticationError,
        BaseUser,
    )
    from starlette.requests import HTTPConnection
    from starlette.responses import JSONResponse, Response
except ModuleNotFoundError as fault:
    text = "auth_jwks.starlette needs Starlette: install auth-jwks[starlette]"
    raise ImportError(text, name=fault.name) from fault

__all__ = ["JWTAuthBackend", "TokenRefusedError", "TokenUser"]

# What every good token is granted, so that `@requires` can ask for no more than that.
AUTHENTICATED = "authenticated"
NAMES = ("name", "preferred_username", "email", "sub")


class TokenRefusedError(AuthenticationError):
    """The token of a request is refused; `refusal` is the answer, its text the fixed one."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal)
        self.refusal = refusal

    def __str__(self) -> str:
        return self.refusal.detail


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class TokenUser(BaseUser):
    """Whom a verified token speaks for; `claims` are all that it says."""

    claims: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"TokenUser({self.identity!r})"

    @property
    def is_authenticated(self) -> bool:
        """Always true: without a good token there is no such user."""
        return True

    @property
    def identity(self) -> str:
        """The `sub`, unique at its issuer and never reassigned; empty if there is none."""
        return self._first("sub")

    @property
    def display_name(self) -> str:
        """The first there is of `name`, `preferred_username`, `email` and `sub`; for show only."""
        return self._first(*NAMES)

    def _first(self, *names: str) -> str:
        values = (self.claims.get(name) for name in names)
        return next((value for value in values if isinstance(value, str) and value), "")


class JWTAuthBackend(AuthenticationBackend):
    """Verifies bearer tokens for `AuthenticationMiddleware`, which also takes its `on_error`.

    `scopes_from` tells from the claims what is granted. `realm` and `resource_metadata` are for
    the challenge, as in `Challenge`.

    Raises `ValueError` or `TypeError`, which name the parameter.
    """

    def __init__(
        self,
        verifier: Verifier,
        *,
        realm: str | None = None,
        scopes_from: ScopesFrom = scopes_of,
        resource_metadata: str | None = None,
    ) -> None:
        self._verifier = checked_verifier(verifier)
        self._scopes_from = checked_parts("scopes_from", scopes_from, "a function", "__call__")
        self._challenge = Challenge(realm=realm, resource_metadata=resource_metadata)

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, TokenUser] | None:
        """Return what the token grants and whom it speaks for, or None without credentials.

        Raises `TokenRefusedError`; an exception of the verifier that blames no token passes.
        """
        authorization = conn.headers.getlist("authorization")
        if not authorization:
            return None
        try:
            claims = await verified(self._verifier, authorization)
        except jwt.InvalidTokenError as error:
            refusal = self._challenge.refusal(error)
        else:
            scopes = granted(claims, self._scopes_from) - {AUTHENTICATED}
            return AuthCredentials([AUTHENTICATED, *sorted(scopes)]), TokenUser(claims)
        # Out of the `except`, so that the fault is no context of what others may log.
        raise TokenRefusedError(refusal)

    def on_error(self, _conn: HTTPConnection, exc: AuthenticationError, /) -> Response:
        """Return the answer to a request that was refused, in JSON."""
        if isinstance(exc, TokenRefusedError):
            refusal = exc.refusal
        else:
            refusal = self._challenge.refusal(jwt.InvalidTokenError())
        body = {"detail": refusal.detail}
        return JSONResponse(body, status_code=refusal.status, headers=dict(refusal.headers))
