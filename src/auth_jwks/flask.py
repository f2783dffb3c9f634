"""Bearer tokens in Flask: an extension that guards every endpoint, and `@requires_scopes`."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import wraps
from inspect import iscoroutinefunction, signature
from typing import Any, TypeVar, cast

import jwt

from auth_jwks._asgi.late import SyncVerifier, lacking, let_in_sync
from auth_jwks._settings import checked_parts, checked_strings
from auth_jwks.bearer import Challenge, ScopesFrom, granted, scopes_of
from auth_jwks.errors import MissingTokenError
from auth_jwks.sync import SyncJWKS

try:
    from flask import Flask, Response, current_app, jsonify, request
except ModuleNotFoundError as fault:
    text = "auth_jwks.flask needs Flask: install auth-jwks[flask]"
    raise ImportError(text, name=fault.name) from fault

__all__ = ["JWTAuth", "current_claims", "requires_scopes"]

NAME = "AUTH_JWKS"
EXTENSION = "auth_jwks"
NAMES = ("PUBLIC_ENDPOINTS", "REALM", "SCOPES_FROM", "VERIFIER")
# Kept in the environment of the request: `g` is shared by the requests of one application context.
# The first is a guard with the claims that it admitted: one application may call another.
ADMITTED, SCOPES = "auth_jwks.admitted", "auth_jwks.scopes"

Answer = tuple[Response, int, dict[str, str]]
ViewT = TypeVar("ViewT", bound=Callable[..., Any])


class JWTAuth:
    """Guards every endpoint of an application, and answers refusals as RFC 6750 asks.

    The guard is a `before_request` function: functions that were registered before it run first,
    and so does each `url_value_preprocessor`. A `jwt.InvalidTokenError` that a view raises is
    answered likewise, unless an error handler of its blueprint catches it.
    """

    def __init__(self, app: Flask | None = None) -> None:
        """Guard an application at once, or later with `init_app`. Raises as `init_app` does."""
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Guard an application as `app.config["AUTH_JWKS"]` says. Nothing is fetched.

        `VERIFIER` is required: a mapping of the parameters of `SyncJWKS`, or an object with its
        `verify_token`. `PUBLIC_ENDPOINTS` lists endpoints that need no token; a name with a dot
        at its end stands for a whole blueprint. `REALM` is in the challenge. `SCOPES_FROM`
        finds the granted scopes in the claims.

        Raises `ValueError` or `TypeError`, which name the setting and what was expected, and
        `RuntimeError` for an application that is guarded already.
        """
        if not isinstance(app, Flask):
            raise TypeError(f"app: expected a Flask, got {type(app).__name__}")
        if EXTENSION in app.extensions:
            raise RuntimeError("app: expected one that is not guarded by a JWTAuth already")
        guard = _configured(app.config.get(NAME))
        app.extensions[EXTENSION] = guard
        app.before_request(guard.authenticate)
        app.register_error_handler(jwt.InvalidTokenError, guard.refuse)


@dataclass(frozen=True, slots=True)
class _Guard:
    verifier: SyncVerifier
    challenge: Challenge
    scopes_from: ScopesFrom
    public: frozenset[str]
    public_blueprints: tuple[str, ...]

    def authenticate(self) -> Answer | None:
        """Keep the claims of the current request, None if its endpoint is public, or refuse it.

        The refusal is returned: a blueprint's handler of any `Exception` would replace it.
        """
        name = request.endpoint
        is_public = name is not None and (
            name in self.public or name.startswith(self.public_blueprints)
        )
        values = request.headers.getlist("Authorization")
        try:
            claims = None if is_public else let_in_sync(self.verifier, values)
        except jwt.InvalidTokenError as error:
            return self.refuse(error)
        request.environ[ADMITTED] = self, claims
        return None

    def refuse(self, error: jwt.InvalidTokenError) -> Answer:
        """Return the answer to the current request."""
        challenge = self.challenge.naming(request.environ.get(SCOPES, ()))
        refusal = challenge.refusal(error)
        return jsonify(detail=refusal.detail), refusal.status, dict(refusal.headers)


def current_claims() -> dict[str, Any]:
    """Return the claims of the token of the current request.

    Raises `MissingTokenError` if none was verified, as the endpoint is public: it is answered with
    401. Raises `RuntimeError` if the request did not pass the guard of the current application.
    """
    claims = _admitted()[1]
    if claims is None:
        raise MissingTokenError("no bearer token was verified")
    return claims


def requires_scopes(*scopes: str) -> Callable[[ViewT], ViewT]:
    """Let a view, sync or async, answer only to tokens that were granted all these scopes.

    Without any scope it requires a valid token. Place it below `@app.route`; for a class-based
    view list it in `decorators`. Raises `ValueError` or `TypeError` for a value that is no scope.
    """
    Challenge(scopes=scopes)

    def decorate(view: ViewT) -> ViewT:
        @wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            refusal = _refusal(scopes)
            return current_app.ensure_sync(view)(*args, **kwargs) if refusal is None else refusal

        return cast("ViewT", guarded)

    return decorate


def _admitted() -> tuple[_Guard, dict[str, Any] | None]:
    found: tuple[_Guard, dict[str, Any] | None] | None = request.environ.get(ADMITTED)
    if found is None or found[0] is not current_app.extensions.get(EXTENSION):
        raise RuntimeError("auth_jwks.flask.JWTAuth: expected it to guard this application")
    return found


def _refusal(scopes: tuple[str, ...]) -> Answer | None:
    request.environ[SCOPES] = scopes
    guard, claims = _admitted()
    if claims is None:
        return guard.refuse(MissingTokenError("no bearer token was verified"))
    found = granted(claims, guard.scopes_from)
    if found.issuperset(scopes):
        return None
    return guard.refuse(lacking(guard.verifier, scopes, found))


def _configured(found: object) -> _Guard:
    """Return what the setting says. Raises `ValueError` or `TypeError`."""
    if not isinstance(found, Mapping):
        raise TypeError(f"{NAME}: expected a mapping in app.config, got {type(found).__name__}")
    _refuse_unknown(NAME, found, NAMES)
    if "VERIFIER" not in found:
        raise ValueError(f"{NAME}: VERIFIER: expected parameters of a SyncJWKS, or a verifier")
    public = checked_strings("PUBLIC_ENDPOINTS", found.get("PUBLIC_ENDPOINTS", ()))
    scopes_from = found.get("SCOPES_FROM", scopes_of)
    return _Guard(
        verifier=_verifier(found["VERIFIER"]),
        challenge=Challenge(found.get("REALM")),
        scopes_from=checked_parts("SCOPES_FROM", scopes_from, "a function", "__call__"),
        public=frozenset(public),
        public_blueprints=tuple(name for name in public if name.endswith(".")),
    )


def _verifier(value: Any) -> SyncVerifier:
    if isinstance(value, Mapping):
        _refuse_unknown("VERIFIER", value, signature(SyncJWKS).parameters)
        return SyncJWKS(**value)
    if iscoroutinefunction(getattr(value, "verify_token", None)):
        raise TypeError(f"VERIFIER: expected a SyncJWKS, got a {type(value).__name__}")
    verifier: SyncVerifier = checked_parts(
        "VERIFIER", value, "a SyncJWKS, or its parameters", "verify_token"
    )
    return verifier


def _refuse_unknown(where: str, found: Mapping[Any, Any], known: Collection[str]) -> None:
    unknown = [name for name in found if name not in known]
    if unknown:
        raise ValueError(f"{where}: expected only {', '.join(known)}, got {unknown[0]!r}")
