"""Bearer tokens in Starlette: `request.user`, `request.auth.scopes` and `@requires`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from auth_jwks._asgi.late import let_in
from auth_jwks._asgi.places import CookieToken, HeaderToken, finder
from auth_jwks._settings import checked_flag, checked_parts, checked_verifier
from auth_jwks.bearer import (
    Challenge,
    Refusal,
    ScopesFrom,
    Verifier,
    granted,
    scopes_of,
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

# The scope that every valid token is granted, for a `@requires` that needs no other.
AUTHENTICATED = "authenticated"
DISPLAY_NAME_CLAIMS = ("name", "preferred_username", "email")  # else the identity


class TokenRefusedError(AuthenticationError):
    """The token of a request is rejected. `refusal` is the answer; its text is fixed."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal)
        self.refusal = refusal

    def __str__(self) -> str:
        return self.refusal.detail


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class TokenUser(BaseUser):
    """The user that a verified token speaks for. `claims` are all its claims."""

    claims: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"TokenUser({self.identity!r})"

    @property
    def is_authenticated(self) -> bool:
        """Always True: only a valid token makes a `TokenUser`."""
        return True

    @property
    def identity(self) -> str:
        """The `sub` (RFC 7519 §4.1.2), unique at its issuer. Empty if there is none.

        A number, which only `numeric_sub=True` accepts, is written in digits.
        """
        subject = self.claims.get("sub")
        return str(subject) if type(subject) is int else self._first_text("sub")

    @property
    def display_name(self) -> str:
        """The first claim present of `name`, `preferred_username`, `email`, `sub`. Only to show."""
        return self._first_text(*DISPLAY_NAME_CLAIMS) or self.identity

    def _first_text(self, *names: str) -> str:
        values = (self.claims.get(name) for name in names)
        return next((value for value in values if isinstance(value, str) and value), "")


class JWTAuthBackend(AuthenticationBackend):
    """Verifies bearer tokens for `AuthenticationMiddleware`, which also needs its `on_error`.

    `scopes_from` reads the granted scopes from the claims. The token is read from the place
    `token_from`, and from `Authorization` only if that is None. A token with `cnf` is rejected,
    unless `allow_bound` says that the application checks the proof of its key. `realm` and
    `resource_metadata` are for the challenge, as in `Challenge`.

    Raises `ValueError` or `TypeError`, which name the parameter and what was expected.
    """

    def __init__(
        self,
        verifier: Verifier,
        *,
        realm: str | None = None,
        scopes_from: ScopesFrom = scopes_of,
        resource_metadata: str | None = None,
        token_from: HeaderToken | CookieToken | None = None,
        allow_bound: bool = False,
    ) -> None:
        self._credentials = finder(token_from)
        self._verifier = checked_verifier(verifier)
        self._scopes_from = checked_parts("scopes_from", scopes_from, "a function", "__call__")
        self._allow_bound = checked_flag("allow_bound", allow_bound)
        self._challenge = Challenge(realm=realm, resource_metadata=resource_metadata)

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, TokenUser] | None:
        """Return the token's scopes and its user, or None if there are no credentials.

        Raises `TokenRefusedError`. Any exception of the verifier but `jwt.InvalidTokenError`
        propagates.
        """
        try:
            values = self._credentials(conn.scope)
            if not values:
                return None
            claims = await let_in(self._verifier, values, allow_bound=self._allow_bound)
        except jwt.InvalidTokenError as error:
            refusal = self._challenge.refusal(error)
        else:
            scopes = granted(claims, self._scopes_from) - {AUTHENTICATED}
            return AuthCredentials([AUTHENTICATED, *sorted(scopes)]), TokenUser(claims)
        # Raised outside the handler, so that a log of it does not show the fault as its context.
        raise TokenRefusedError(refusal)

    def on_error(self, _conn: HTTPConnection, exc: AuthenticationError, /) -> Response:
        """Return the answer to a rejected request, in JSON."""
        if isinstance(exc, TokenRefusedError):
            refusal = exc.refusal
        else:
            refusal = self._challenge.refusal(jwt.InvalidTokenError())
        body = {"detail": refusal.detail}
        return JSONResponse(body, status_code=refusal.status, headers=dict(refusal.headers))
