"""The middleware, and functions for views whose requests passed it."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, TypeVar, cast

import jwt
from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from auth_jwks._asgi.late import let_in
from auth_jwks.bearer import Challenge, granted
from auth_jwks.django._configured import credentials, current
from auth_jwks.errors import InsufficientScopeError, MissingTokenError

__all__ = ["JWTAuthMiddleware", "claims_of", "requires_scopes"]

ViewT = TypeVar("ViewT", bound=Callable[..., HttpResponseBase | Awaitable[HttpResponseBase]])
MEMBER = "claims"
UNSEEN: dict[str, Any] = {}  # of a request that did not pass the middleware


class JWTAuthMiddleware:
    """Passes a request on if it has a valid token; otherwise rejects it (RFC 6750).

    The claims are in `request.claims`, which `claims_of` returns with their type. They are None
    if the request needs no token and none was verified.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        """Make the verifier that is needed. Raises `ImproperlyConfigured`."""
        self._get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        configured = current()
        if self._is_async:
            markcoroutinefunction(self)
            _ = configured.async_verifier
        else:
            _ = configured.verifier

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Pass a request on with its claims, or reject it."""
        if self._is_async:
            return self._answer(request)
        configured = current()
        try:
            claims = None if configured.lets_in(request) else configured.verified(request)
        except jwt.InvalidTokenError as error:
            return configured.refused(error)
        vars(request)[MEMBER] = claims
        response: HttpResponseBase = self._get_response(request)
        return configured.varying(response, claims)

    async def _answer(self, request: HttpRequest) -> HttpResponseBase:
        configured = current()
        try:
            claims = None
            if not configured.lets_in(request):
                values, verifier = credentials(request), configured.async_verifier
                claims = await let_in(verifier, values, allow_bound=False)
        except jwt.InvalidTokenError as error:
            return configured.refused(error)
        vars(request)[MEMBER] = claims
        response: HttpResponseBase = await self._get_response(request)
        return configured.varying(response, claims)

    def process_exception(self, _request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Answer a view that raises `MissingTokenError` or `InsufficientScopeError`."""
        if isinstance(exception, (MissingTokenError, InsufficientScopeError)):
            return current().refused(exception)
        return None


def claims_of(request: HttpRequest) -> dict[str, Any]:
    """Return the claims of the token of a request.

    Raises `MissingTokenError` if none was verified, which the middleware answers with 401, and
    `ImproperlyConfigured` if the request did not pass the middleware.
    """
    claims = _found(request)
    if claims is None:
        raise MissingTokenError("no bearer token was verified")
    return claims


def requires_scopes(*scopes: str) -> Callable[[ViewT], ViewT]:
    """Restrict a view, sync or async, to tokens with all these scopes.

    Without any scope it requires a valid token. For a class-based view pass it to Django's
    `method_decorator`. Raises `ValueError` or `TypeError` for a value that is not a scope.
    """
    Challenge(scopes=scopes)

    def decorate(view: ViewT) -> ViewT:
        if iscoroutinefunction(view):

            @wraps(view)
            async def guarded_async(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
                refusal = _refusal(request, scopes)
                return await view(request, *args, **kwargs) if refusal is None else refusal

            return cast("ViewT", guarded_async)

        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            refusal = _refusal(request, scopes)
            return view(request, *args, **kwargs) if refusal is None else refusal

        return cast("ViewT", guarded)

    return decorate


def _refusal(request: HttpRequest, scopes: tuple[str, ...]) -> HttpResponse | None:
    claims, configured = _found(request), current()
    if claims is None:
        return configured.refused(MissingTokenError("no bearer token was verified"), *scopes)
    if (found := granted(claims, configured.settings.scopes_from)).issuperset(scopes):
        return None
    return configured.refused(configured.lacking(scopes, found), *scopes)


def _found(request: HttpRequest) -> dict[str, Any] | None:
    """Return what the middleware left in a request: claims, or None where none are needed."""
    # A request of REST framework passes the question on.
    claims: dict[str, Any] | None = getattr(request, MEMBER, UNSEEN)
    if claims is UNSEEN:
        raise ImproperlyConfigured("auth_jwks.django.JWTAuthMiddleware: expected it in MIDDLEWARE")
    return claims
