"""Bearer tokens for any ASGI application, with or without a framework."""

import json
import re
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from dataclasses import dataclass
from typing import Any

import jwt

from auth_jwks._asgi.late import lacking, let_in
from auth_jwks._asgi.places import CookieToken, HeaderToken, finder
from auth_jwks._asgi.public_paths import PublicPaths
from auth_jwks._asgi.resource import ProtectedResource
from auth_jwks._asgi.scope import (
    add_to_state,
    header_values,
    query_taker,
    tokens_in_subprotocols,
)
from auth_jwks._settings import checked_flag, checked_parts, checked_text, checked_verifier
from auth_jwks.bearer import (
    Challenge,
    Refusal,
    ScopesFrom,
    Verifier,
    granted,
    scopes_of,
)

__all__ = [
    "ASGIApp",
    "CookieToken",
    "HeaderToken",
    "JWTAuthMiddleware",
    "ProtectedResource",
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

DENIAL_EXTENSION = "websocket.http.response"
POLICY_VIOLATION = 1008
PREFLIGHT_HEADERS = (b"origin", b"access-control-request-method")
# It needs no escape in a header or a URL (RFC 9110 §5.6.2, RFC 3986 §2.3).
URL_SAFE_NAME = re.compile(r"[\w.~-]+", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSocketToken:
    """How a websocket may send its token, because browsers can't send an Authorization header.

    The token is the query parameter named `query_parameter`, or the subprotocol that follows
    `subprotocol` in the client's list. Either way it is removed from the scope.

    Raises `ValueError` or `TypeError`, which name the parameter and what was expected.
    """

    query_parameter: str | None = None
    subprotocol: str | None = None

    def __post_init__(self) -> None:
        for field in ("query_parameter", "subprotocol"):
            name = checked_text(field, getattr(self, field))
            if name is not None and not URL_SAFE_NAME.fullmatch(name):
                raise ValueError(f'{field}: expected a name such as "access_token"')

    def take(self, scope: Scope) -> list[str]:
        """Return the tokens of a handshake, and remove them from its scope.

        Raises `InvalidRequestError` for more than a client can need.
        """
        name = self.query_parameter
        found = [] if name is None else query_taker(name)(scope)
        if self.subprotocol is not None:
            found += tokens_in_subprotocols(scope, self.subprotocol)
        return found

    def selecting(self, scope: Scope, send: Send) -> Send:
        """Return a `send` that answers with `subprotocol` if it was offered and `app` chose none.

        If a browser offered subprotocols, it treats an answer without one as a failure.
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
    """Passes a request on to `app` if it has a valid token; otherwise rejects it (RFC 6750).

    The claims are in `scope["state"]["claims"]`, which Starlette calls `request.state.claims`.
    They are None if the request needs no token and none was verified.
    """

    def __init__(  # noqa: PLR0913 - eleven options, and the two parts they belong to
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
        token_from: HeaderToken | CookieToken | None = None,
        allow_bound: bool = False,
        realm: str | None = None,
        resource_metadata: str | None = None,
        resource: ProtectedResource | None = None,
    ) -> None:
        """Check the configuration.

        A token must be granted all of `scopes`; `scopes_from` reads the granted ones from its
        claims. `public_paths` are exact, `public_prefixes` include all paths below them; requests
        for either pass, and their tokens are ignored. With `optional`, a request without any
        credentials passes too. With `preflight`, so does a CORS preflight request without any,
        which `app` must answer. The token is read from the place `token_from`, and from
        `Authorization` only if that is None. A token with `cnf` is rejected, because no proof of
        its key is checked here; `allow_bound` is for an `app` that checks the proof. `realm` and
        `resource_metadata` go into the challenge. With a `resource`, its metadata is published and
        named in the challenge.

        Raises `ValueError` or `TypeError`, which name the parameter and what was expected.
        """
        self.app = app
        self._verifier = checked_verifier(verifier)
        self._resource = _checked_resource(resource, resource_metadata)
        metadata = resource_metadata if resource is None else resource.metadata_url
        self._challenge = Challenge(realm, scopes, metadata)
        self._scopes = frozenset(self._challenge.scopes)
        self._scopes_from = checked_parts("scopes_from", scopes_from, "a function", "__call__")
        self._public = PublicPaths.checked(public_paths, public_prefixes)
        self._optional = checked_flag("optional", optional)
        self._preflight = checked_flag("preflight", preflight)
        self._allow_bound = checked_flag("allow_bound", allow_bound)
        self._websocket = checked_parts("websocket", websocket, "a WebSocketToken", "take")
        self._credentials = finder(token_from)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with its claims, or reject it."""
        kind = scope["type"]
        if kind == "lifespan":
            await self.app(scope, receive, send)
            return
        if kind not in {"http", "websocket"}:
            raise ValueError("scope: expected type http, websocket or lifespan")
        if self._resource is not None and self._resource.is_asked(scope):
            await self._resource(scope, receive, send)
            return
        try:
            claims = await self._admitted(scope)
        except jwt.InvalidTokenError as error:
            refusal = self._challenge.refusal(error)
        else:
            add_to_state(scope, "claims", claims)
            await self.app(scope, receive, self._websocket.selecting(scope, send))
            return
        await send_refusal(refusal, scope, receive, send)

    async def _admitted(self, scope: Scope) -> dict[str, Any] | None:
        """Return the claims to pass on. A handshake's tokens leave its scope in any case."""
        tokens = self._websocket.take(scope) if scope["type"] == "websocket" else []
        return None if self._is_public(scope) else await self._claims(scope, tokens)

    def _is_public(self, scope: Scope) -> bool:
        if self._public is None:
            return False
        return self._public.opens(scope["path"], scope.get("root_path", ""), scope.get("raw_path"))

    async def _claims(self, scope: Scope, tokens: list[str]) -> dict[str, Any] | None:
        """Return the claims of a valid token, None for a request that needs no token."""
        values = self._credentials(scope)
        values += [f"Bearer {token}" for token in tokens]
        if not values and (self._optional or (self._preflight and _is_preflight(scope))):
            return None
        claims = await let_in(self._verifier, values, allow_bound=self._allow_bound)
        if self._scopes and not self._scopes <= (found := granted(claims, self._scopes_from)):
            raise lacking(self._verifier, self._scopes, found)
        return claims


async def send_refusal(refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request or a websocket handshake with a refusal in JSON.

    If the server lacks the extension "Websocket Denial Response", the handshake is closed with
    1008, which the client sees as status 403.
    """
    kind = "http.response"
    if scope["type"] == "websocket":
        await receive()  # websocket.connect
        if DENIAL_EXTENSION not in (scope.get("extensions") or {}):
            await send({"type": "websocket.close", "code": POLICY_VIOLATION})
            return
        kind = DENIAL_EXTENSION
    body = json.dumps({"detail": refusal.detail}, separators=(",", ":")).encode()
    headers = {"content-type": "application/json", "content-length": str(len(body))}
    fields = [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in {**headers, **refusal.headers}.items()
    ]
    await send({"type": f"{kind}.start", "status": refusal.status, "headers": fields})
    await send({"type": f"{kind}.body", "body": body})


def _checked_resource(resource: object, resource_metadata: str | None) -> ProtectedResource | None:
    if resource is None:
        return None
    if not isinstance(resource, ProtectedResource):
        kind = type(resource).__name__
        raise TypeError(f"resource: expected a ProtectedResource or None, got {kind}")
    if resource_metadata is not None:
        raise ValueError("resource, resource_metadata: expected at most one of them")
    return resource


def _is_preflight(scope: Scope) -> bool:
    """Return whether this is a CORS-preflight request in the sense of the Fetch standard."""
    if scope["type"] != "http" or scope["method"] != "OPTIONS":
        return False
    return all(header_values(scope, name) for name in PREFLIGHT_HEADERS)
