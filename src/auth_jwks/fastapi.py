"""Bearer tokens in FastAPI: a dependency that is an OpenAPI security scheme too."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Generic, Literal, TypedDict, TypeVar, Unpack, overload

import jwt

from auth_jwks._asgi.late import lacking, let_in, told
from auth_jwks._asgi.places import CookieToken, HeaderToken, finder
from auth_jwks._openapi import with_refusals
from auth_jwks._provider.urls import fault_in
from auth_jwks._settings import (
    checked_flag,
    checked_parts,
    checked_text,
    checked_url,
    checked_verifier,
)
from auth_jwks.asgi import DENIAL_EXTENSION, POLICY_VIOLATION
from auth_jwks.bearer import (
    Challenge,
    Refusal,
    ScopesFrom,
    Verifier,
    granted,
    scopes_of,
)

try:
    from fastapi import FastAPI, HTTPException, WebSocketException
    from fastapi.openapi.models import (
        APIKey,
        APIKeyIn,
        HTTPBearer,
        OAuth2,
        OAuthFlow,
        OAuthFlows,
        OpenIdConnect,
    )
    from fastapi.security import SecurityScopes
    from fastapi.security.base import SecurityBase
    from pydantic import BaseModel, ValidationError
    from starlette.requests import HTTPConnection
except ModuleNotFoundError as fault:
    text = "auth_jwks.fastapi needs FastAPI: install auth-jwks[fastapi]"
    raise ImportError(text, name=fault.name) from fault

__all__ = ["JWTBearer", "TokenRefusedError"]

COMPONENT_NAME = re.compile(r"[\w.-]+", re.ASCII)  # OpenAPI §4.8.7

FLOWS_FORM = '{"authorizationCode": {"authorizationUrl": ..., "tokenUrl": ..., "scopes": {...}}}'

ClaimsT = TypeVar("ClaimsT")
ModelT = TypeVar("ModelT", bound=BaseModel)


class _Options(TypedDict, total=False):
    scopes_from: ScopesFrom
    realm: str | None
    resource_metadata: str | None
    token_from: HeaderToken | CookieToken | None
    scheme_name: str | None
    description: str | None
    flows: Mapping[str, Mapping[str, Any]] | None
    openid_connect_url: str | None
    allow_bound: bool


class TokenRefusedError(HTTPException):
    """A request is rejected. FastAPI answers with `status_code`, `detail` and `headers`."""


class JWTBearer(SecurityBase, Generic[ClaimsT]):
    """Verifies the bearer token of a request or a websocket, as `Depends` or `Security`."""

    @overload
    def __init__(
        self: "JWTBearer[dict[str, Any]]",
        verifier: Verifier,
        *,
        model: None = None,
        auto_error: Literal[True] = True,
        **options: Unpack[_Options],
    ) -> None: ...
    @overload
    def __init__(
        self: "JWTBearer[dict[str, Any] | None]",
        verifier: Verifier,
        *,
        model: None = None,
        auto_error: bool,
        **options: Unpack[_Options],
    ) -> None: ...
    @overload
    def __init__(
        self: "JWTBearer[ModelT]",
        verifier: Verifier,
        *,
        model: type[ModelT],
        auto_error: Literal[True] = True,
        **options: Unpack[_Options],
    ) -> None: ...
    @overload
    def __init__(
        self: "JWTBearer[ModelT | None]",
        verifier: Verifier,
        *,
        model: type[ModelT],
        auto_error: bool,
        **options: Unpack[_Options],
    ) -> None: ...
    def __init__(  # noqa: PLR0913 - each is one of `_Options`, or told apart by an overload
        self,
        verifier: Verifier,
        *,
        model: type[BaseModel] | None = None,
        scopes_from: ScopesFrom = scopes_of,
        auto_error: bool = True,
        realm: str | None = None,
        resource_metadata: str | None = None,
        token_from: HeaderToken | CookieToken | None = None,
        scheme_name: str | None = None,
        description: str | None = None,
        flows: Mapping[str, Mapping[str, Any]] | None = None,
        openid_connect_url: str | None = None,
        allow_bound: bool = False,
    ) -> None:
        """Check the configuration. Claims are a dict, or a `model` that they must fit.

        With `auto_error=False` a request without credentials gets None if the route requires no
        scope. `scopes_from` reads the granted scopes from the claims. The token is read from the
        place `token_from`, and from `Authorization` only if that is None. `scheme_name` and
        `description` are for OpenAPI, `realm` and `resource_metadata` for the challenge, as in
        `Challenge`. A token with `cnf` is rejected, unless `allow_bound` says that the route checks
        the proof of its key.

        With `flows` or `openid_connect_url` the users of `/docs` can log in. The one is the OAuth
        Flows Object (OpenAPI §4.8.28) with its own names: `{"authorizationCode":
        {"authorizationUrl": ..., "tokenUrl": ..., "scopes": {...}}}`. The other is the URL of the
        discovery document, which is read by the user's browser and by nobody else.

        Raises `ValueError` or `TypeError`, which name the parameter and what was expected.
        """
        self._credentials = finder(token_from)
        self.model = _scheme(token_from, flows, openid_connect_url, description)
        self.scheme_name = _checked_name(scheme_name) or type(self).__name__
        self._verifier = checked_verifier(verifier)
        self._claims_model = _checked_model(model)
        self._scopes_from = checked_parts("scopes_from", scopes_from, "a function", "__call__")
        self._auto_error = checked_flag("auto_error", auto_error)
        self._allow_bound = checked_flag("allow_bound", allow_bound)
        self._challenge = Challenge(realm=realm, resource_metadata=resource_metadata)

    async def __call__(self, connection: HTTPConnection, security: SecurityScopes) -> ClaimsT:
        """Return the claims. FastAPI passes the scopes that the route requires.

        Raises `TokenRefusedError` with the status and headers of the refusal, or, in a handshake
        that can only be closed, `WebSocketException`.
        Any exception of the verifier but `jwt.InvalidTokenError` propagates.
        """
        try:
            values = self._credentials(connection.scope)
            claims: ClaimsT = await self._claims(values, security.scopes)
        except jwt.InvalidTokenError as error:
            refusal = self._challenge.naming(security.scopes).refusal(error)
        else:
            return claims
        # Raised outside the handler, so that a log of it does not show the fault as its context.
        raise _exception(refusal, connection)

    def describe_refusals(self, app: FastAPI) -> None:
        """Have the OpenAPI document of `app` list 401, 403 and 503 for each route that this guards.

        Responses that a route lists itself stay as they are. Call it in any order with the routes.
        Raises `TypeError` for anything but a `FastAPI`, such as a router.
        """
        if not isinstance(app, FastAPI):
            raise TypeError(f"app: expected a FastAPI, got {type(app).__name__}")
        described = app.openapi

        def openapi() -> dict[str, Any]:
            return with_refusals(described(), self.scheme_name)

        # The way to extend the document that FastAPI's own documentation gives.
        app.openapi = openapi  # type: ignore[method-assign]

    async def _claims(self, values: Sequence[str], wanted: Sequence[str]) -> Any:
        # An anonymous caller has no scopes, so a route that requires some stays closed.
        if not (values or wanted or self._auto_error):
            return None
        claims = await let_in(self._verifier, values, allow_bound=self._allow_bound)
        # Read before the model is built: a validator may change the claims that it is given.
        found = granted(claims, self._scopes_from) if wanted else frozenset[str]()
        result = claims
        if self._claims_model is not None:
            result = _fitted(self._claims_model, claims, self._verifier)
        if not found.issuperset(wanted):
            raise lacking(self._verifier, wanted, found)
        return result


def _scheme(
    token_from: HeaderToken | CookieToken | None,
    flows: Mapping[str, Mapping[str, Any]] | None,
    openid_connect_url: str | None,
    description: str | None,
) -> HTTPBearer | APIKey | OAuth2 | OpenIdConnect:
    """Return the security scheme (OpenAPI §4.8.27), which has bearer tokens in one header only."""
    given = {"token_from": token_from, "flows": flows, "openid_connect_url": openid_connect_url}
    names = [name for name, value in given.items() if value is not None]
    if len(names) > 1:
        raise ValueError(f"{names[1]}: expected None beside {names[0]}, as a scheme is one of them")
    if flows is not None:
        return OAuth2(flows=_checked_flows(flows), description=description)
    if url := checked_url("openid_connect_url", openid_connect_url):
        return OpenIdConnect(openIdConnectUrl=url, description=description)
    if token_from is None:
        return HTTPBearer(bearerFormat="JWT", description=description)
    place = APIKeyIn.header if isinstance(token_from, HeaderToken) else APIKeyIn.cookie
    members = {"in": place, "name": token_from.name, "description": description}
    return APIKey.model_validate(members)


def _checked_flows(flows: object) -> OAuthFlows:
    """Return OpenAPI's OAuth Flows Object. FastAPI's model of it takes unknown members too."""
    if not isinstance(flows, Mapping):
        raise TypeError(f"flows: expected a dict, got {type(flows).__name__}")
    try:
        model = OAuthFlows.model_validate(dict(flows))
    except ValidationError as error:
        places = [".".join(map(str, each["loc"])) for each in error.errors(include_input=False)]
        fault = f"missing or of another type: {', '.join(places)}"
    else:
        known = [(f"{name}.", flow) for name, flow in model if isinstance(flow, OAuthFlow)]
        parts: list[tuple[str, BaseModel]] = [("", model), *known]
        names = [f"{at}{name}" for at, part in parts for name in part.model_extra or ()]
        unknown = [name for name in names if not name.rpartition(".")[2].startswith("x-")]
        if known and not unknown:
            for each in known:
                _check_urls(*each)
            return model
        fault = f"unknown: {', '.join(unknown)}" if unknown else "got no flow"
    raise ValueError(f"flows: expected OpenAPI's form, such as {FLOWS_FORM}; {fault}")


def _check_urls(at: str, flow: OAuthFlow) -> None:
    """Refuse credentials, which the document would publish, and schemes that run in a browser."""
    for name in ("authorizationUrl", "tokenUrl", "refreshUrl"):
        url = getattr(flow, name, None) or ""
        is_absolute = ":" in url.partition("/")[0] or url.startswith("//")
        fault = fault_in(url) if is_absolute else None
        if fault is not None:
            raise ValueError(f"flows: {at}{name}: {fault}")


def _checked_name(name: str | None) -> str | None:
    if checked_text("scheme_name", name) is not None and not COMPONENT_NAME.fullmatch(name or ""):
        raise ValueError("scheme_name: expected letters, digits, dots, hyphens and underscores")
    return name


def _checked_model(model: object) -> type[BaseModel] | None:
    if model is None or (isinstance(model, type) and issubclass(model, BaseModel)):
        return model
    raise TypeError("model: expected a subclass of pydantic.BaseModel, or None")


def _fitted(model: type[BaseModel], claims: dict[str, Any], verifier: Verifier) -> Any:
    try:
        return model.model_validate(claims)
    except ValidationError as error:
        # The claim's name and the kind of fault, but nothing of its value.
        faults = [(*each["loc"][:1], each["type"]) for each in error.errors(include_input=False)]
    text = f"the claims don't fit the model: {faults[:8]!a}"
    raise told(verifier, jwt.InvalidTokenError(text))


def _exception(refusal: Refusal, connection: HTTPConnection) -> Exception:
    """Return the exception that makes FastAPI refuse. A handshake may only be closed."""
    extensions = connection.scope.get("extensions") or {}
    if connection.scope["type"] == "websocket" and DENIAL_EXTENSION not in extensions:
        return WebSocketException(POLICY_VIOLATION, refusal.detail)
    return TokenRefusedError(refusal.status, refusal.detail, dict(refusal.headers))
