"""Cloudflare Access in front of any ASGI application, whatever its framework."""

import logging
from collections.abc import Awaitable, Callable

import jwt

from auth_jwks._asgi.places import checked_name
from auth_jwks._asgi.scope import add_to_state, cookie_finder, header_values
from auth_jwks._settings import checked_parts
from auth_jwks.asgi import ASGIApp, Receive, Scope, Send, send_refusal
from auth_jwks.bearer import MAX_CREDENTIALS, UNAVAILABLE, Challenge, Refusal
from auth_jwks.errors import MissingTokenError

__all__ = ["CfaAuthMiddleware"]

logger = logging.getLogger("auth_jwks")

# A 401 must have one (RFC 9110 §15.5.2). Cloudflare sends this one; browsers don't prompt for it.
CHALLENGE_HEADER = {"WWW-Authenticate": "Cloudflare-Access"}
NO_TOKEN = Refusal(401, "Invalid CFA Token", CHALLENGE_HEADER)
BAD_TOKEN = Refusal(401, "CFA token verification failed", CHALLENGE_HEADER)
DEFAULT_CHALLENGE = Challenge()
HEADER, COOKIE = "Cf-Access-Jwt-Assertion", "CF_Authorization"


class CfaAuthMiddleware:
    """Passes a request on to `app` if it has a valid token of Cloudflare Access.

    The result of `verify_token` is in `scope["state"]["user"]`, Starlette's `request.state.user`.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        verify_token: Callable[[str], Awaitable[object]] | None = None,
        dev_user: object | None = None,
        header_name: str = HEADER,
        cookie_name: str = COOKIE,
    ) -> None:
        """Check the configuration.

        `verify_token` takes a token and returns a user, or raises `jwt.InvalidTokenError`. The
        token is read from the header, or from the cookie if there is no such header. With
        `dev_user` no token is verified, and every request gets that user.

        Raises `ValueError` or `TypeError`, which name the parameter and what was expected.
        """
        if verify_token is None and not dev_user:
            raise ValueError("verify_token, dev_user: expected at least one of them")
        if verify_token is not None:
            checked_parts("verify_token", verify_token, "an async function", "__call__")
        if dev_user:
            logger.warning(
                "CfaAuthMiddleware: dev_user is given, so authentication is bypassed: anyone who "
                "can reach this application is let in"
            )
        self.app = app
        self._verify_token = verify_token
        self._dev_user = dev_user or None  # `debug and User(...)` is False in production
        self._header = checked_name("header_name", header_name, HEADER).lower()
        self._find_cookie = cookie_finder(checked_name("cookie_name", cookie_name, COOKIE))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with its user, or reject it."""
        kind = scope["type"]
        if kind == "lifespan":
            await self.app(scope, receive, send)
            return
        if kind not in {"http", "websocket"}:
            raise ValueError("scope: expected type http, websocket or lifespan")
        try:
            user = await self._user(scope)
        except jwt.InvalidTokenError as error:
            refusal = _refusal(error)
        else:
            add_to_state(scope, "user", user)
            await self.app(scope, receive, send)
            return
        await send_refusal(refusal, scope, receive, send)

    async def _user(self, scope: Scope) -> object:
        if self._dev_user is not None or self._verify_token is None:
            return self._dev_user
        user = await self._verify_token(self._token(scope))
        if not user:
            raise TypeError("verify_token: expected it to return a user, or to raise")
        return user

    def _token(self, scope: Scope) -> str:
        """Return the token of a request. If the header is there, the cookie is not read."""
        found = header_values(scope, self._header)
        if len(found) > 1:
            raise jwt.DecodeError("more than one token")
        token = found[0] if found else self._find_cookie(scope)
        if not token:
            raise MissingTokenError("no token")
        if len(token) > MAX_CREDENTIALS:
            raise jwt.DecodeError(f"more than {MAX_CREDENTIALS} characters of credentials")
        return token.decode("latin-1")


def _refusal(error: jwt.InvalidTokenError) -> Refusal:
    """Return the answer: 503 if the service is at fault, 401 for all else."""
    refusal = DEFAULT_CHALLENGE.refusal(error)
    if refusal.status == UNAVAILABLE:
        return refusal
    return NO_TOKEN if isinstance(error, MissingTokenError) else BAD_TOKEN
