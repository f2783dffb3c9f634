"""Bearer tokens for any ASGI application, whatever its framework."""

import json
import re
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

import jwt

from auth_jwks._public_paths import PublicPaths
from auth_jwks._settings import checked_flag, checked_parts, checked_text, checked_verifier
from auth_jwks.bearer import (
    Challenge,
    Refusal,
    ScopesFrom,
    Verifier,
    granted,
    scopes_of,
    verified,
)
from auth_jwks.errors import InsufficientScopeError

__all__ = [
    "ASGIApp",
    "JWTAuthMiddleware",
    "Receive",
    "Scope",
    "Send",
    "WebSocketToken",
    "send_refusal",
]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
# Frameworks differ in how they type these three.
ASGIApp = Callable[[Any, Any, Any], Awaitable[None]]

DENIAL = "websocket.http.response"
POLICY_VIOLATION = 1008
PREFLIGHT = {b"origin", b"access-control-request-method"}
# Stands in a header and in a URL as it is (RFC 9110 §5.6.2, RFC 3986 §2.3).
NAME = re.compile(r"[\w.~-]+", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSocketToken:
    """How a websocket may bring its token beside the Authorization header, which browsers can't.

    As the `query_parameter` of that name, or as the subprotocol that follows `subprotocol` in the
    client's list. Either way it is taken out of the scope.
    """

    query_parameter: str | None = None
    subprotocol: str | None = None

    def __post_init__(self) -> None:
        for field in ("query_parameter", "subprotocol"):
            name = checked_text(field, getattr(self, field))
            if name is not None and not NAME.fullmatch(name):
                raise ValueError(f'{field}: expected a name such as "access_token"')

    def take(self, scope: Scope) -> list[str]:
        """Return the tokens of a handshake, and leave nothing of them in its scope."""
        found = _of_query(scope, self.query_parameter) if self.query_parameter else []
        return found + (_of_subprotocols(scope, self.subprotocol) if self.subprotocol else [])

    def selecting(self, scope: Scope, send: Send) -> Send:
        """Return a `send` that accepts with `subprotocol` if it was offered, for want of another.

        A browser takes an answer without any for a failure.
        """
        if self.subprotocol is None or self.subprotocol not in scope.get("subprotocols", ()):
            return send

        async def select(message: Message) -> None:
            if message["type"] == "websocket.accept" and not message.get("subprotocol"):
                message = {**message, "subprotocol": self.subprotocol}
            await send(message)

        return select


ONLY_HEADER = WebSocketToken()


class JWTAuthMiddleware:
    """Lets a request through to `app` if it brings a good token, else refuses it (RFC 6750).

    The claims are in `scope["state"]["claims"]`, which Starlette calls `request.state.claims`;
    None is there if a request needs no token and nothing was verified.
    """

    def __init__(  # noqa: PLR0913 - nine knobs, and the two parts they belong to
        self,
        app: ASGIApp,
        verifier: Verifier,
        *,
        scopes: Collection[str] = (),
        scopes_from: ScopesFrom = scopes_of,
        public_paths: Collection[str] = (),
        public_prefixes: Collection[str] = (),
        optional: bool = False,
        preflight: bool = False,
        websocket: WebSocketToken = ONLY_HEADER,
        realm: str | None = None,
        resource_metadata: str | None = None,
    ) -> None:
        """Check the configuration.

        A token must be granted all of `scopes`, which `scopes_from` finds in its claims.
        `public_paths` are open as they stand, `public_prefixes` with all that is below them;
        tokens are not looked at there. With `optional`, so is a request that brings no credentials
        at all. With `preflight`, so is one of CORS, for what answers those inside. `realm` and
        `resource_metadata` are told to those who are refused.

        Raises `ValueError` or `TypeError`, which name the parameter and what was expected.
        """
        self.app = app
        self._verifier = checked_verifier(verifier)
        self._challenge = Challenge(realm, scopes, resource_metadata)
        self._scopes = frozenset(self._challenge.scopes)
        self._scopes_from = checked_parts("scopes_from", scopes_from, "a function", "__call__")
        self._public = PublicPaths.checked(public_paths, public_prefixes)
        self._optional = checked_flag("optional", optional)
        self._preflight = checked_flag("preflight", preflight)
        self._websocket = checked_parts("websocket", websocket, "a WebSocketToken", "take")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, with its claims, or refuse it."""
        kind = scope["type"]
        if kind == "lifespan":
            await self.app(scope, receive, send)
            return
        tokens: list[str] = []
        if kind == "websocket":
            tokens = self._websocket.take(scope)
            send = self._websocket.selecting(scope, send)
        elif kind != "http":
            raise ValueError("scope: expected type http, websocket or lifespan")
        try:
            claims = None if self._is_public(scope) else await self._claims(scope, tokens)
        except jwt.InvalidTokenError as error:
            refusal = self._challenge.refusal(error)
        else:
            scope.setdefault("state", {})["claims"] = claims
            await self.app(scope, receive, send)
            return
        await send_refusal(refusal, scope, receive, send)

    def _is_public(self, scope: Scope) -> bool:
        if self._public is None:
            return False
        return self._public.opens(scope["path"], scope.get("root_path", ""), scope.get("raw_path"))

    async def _claims(self, scope: Scope, tokens: list[str]) -> dict[str, Any] | None:
        """Return the claims of a good token, None for a request that may go without."""
        headers = scope.get("headers", ())
        values = [value.decode("latin-1") for name, value in headers if name == b"authorization"]
        values += [f"Bearer {token}" for token in tokens]
        if not values and (self._optional or (self._preflight and _is_preflight(scope))):
            return None
        claims = await verified(self._verifier, values)
        if self._scopes and not self._scopes <= granted(claims, self._scopes_from):
            raise InsufficientScopeError("the token lacks a scope")
        return claims


async def send_refusal(refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request, or the handshake of a websocket, with a refusal in JSON.

    A server without the extension "Websocket Denial Response" closes the handshake with 1008,
    which the client sees as status 403.
    """
    kind = "http.response"
    if scope["type"] == "websocket":
        await receive()  # websocket.connect
        if DENIAL not in (scope.get("extensions") or {}):
            await send({"type": "websocket.close", "code": POLICY_VIOLATION})
            return
        kind = DENIAL
    body = json.dumps({"detail": refusal.detail}, separators=(",", ":")).encode()
    headers = {"content-type": "application/json", "content-length": str(len(body))}
    fields = [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in {**headers, **refusal.headers}.items()
    ]
    await send({"type": f"{kind}.start", "status": refusal.status, "headers": fields})
    await send({"type": f"{kind}.body", "body": body})


def _is_preflight(scope: Scope) -> bool:
    """Tell whether a browser asks for leave of a request to come (Fetch, "CORS-preflight")."""
    if scope["type"] != "http" or scope["method"] != "OPTIONS":
        return False
    return {name for name, _ in scope.get("headers", ())} >= PREFLIGHT


def _of_query(scope: Scope, name: str) -> list[str]:
    found, kept = [], []
    for part in scope.get("query_string", b"").split(b"&"):
        key, _, value = part.decode("latin-1").partition("=")
        if key == name or ("%" in key and unquote_plus(key) == name):
            found.append(unquote_plus(value))
        else:
            kept.append(part)
    if found:
        scope["query_string"] = b"&".join(kept)
    return found


def _of_subprotocols(scope: Scope, name: str) -> list[str]:
    found, kept = [], []
    offered = iter(scope.get("subprotocols", ()))
    for entry in offered:
        kept.append(entry)
        if entry == name:
            found.append(next(offered, ""))
    if found:
        header = b"sec-websocket-protocol"
        headers = [field for field in scope.get("headers", ()) if field[0] != header]
        scope["headers"] = [*headers, (header, ", ".join(kept).encode("latin-1", "replace"))]
        scope["subprotocols"] = kept
    return found
