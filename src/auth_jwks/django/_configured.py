"""The settings as they are now, with the verifiers of this process that they describe.

`override_settings` brings others. Nothing is locked here, because a fork while a lock is held would
leave the child with a locked lock: of two threads that make the same value, the second one uses the
first one's.
"""

from collections.abc import Generator, Iterable
from typing import Any, Self, TypeVar

import jwt
from django.conf import settings
from django.core.signals import setting_changed
from django.dispatch import receiver
from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers

from auth_jwks._asgi.late import SyncVerifier, lacking, let_in_sync
from auth_jwks.bearer import Verifier
from auth_jwks.django._settings import read
from auth_jwks.errors import InsufficientScopeError
from auth_jwks.sync import SyncJWKS

__all__ = ["Configured", "current", "verifier"]

NAME = "AUTH_JWKS"


ResponseT = TypeVar("ResponseT", bound=HttpResponseBase)


class Configured:
    """What one value of the setting says, and the verifiers made of it when they are needed."""

    __slots__ = ("_async_made", "_made", "settings", "source")

    def __init__(self, source: object) -> None:
        self.source = source
        self.settings = read(source)
        self._made: dict[str, SyncVerifier] = {}
        self._async_made: dict[str, Verifier] = {}

    @property
    def verifier(self) -> SyncVerifier:
        """The verifier of threads. Raises `ImproperlyConfigured`."""
        if NAME not in self._made:
            self._made.setdefault(NAME, self.settings.verifier())
        return self._made[NAME]

    @property
    def async_verifier(self) -> Verifier:
        """The verifier of an event loop. Raises `ImproperlyConfigured`."""
        if NAME not in self._async_made:
            self._async_made.setdefault(NAME, self.settings.async_verifier())
        return self._async_made[NAME]

    def verified(self, request: HttpRequest) -> dict[str, Any]:
        """Return the claims of the token in a request, as `auth_jwks.bearer.verified` does."""
        return let_in_sync(self.verifier, credentials(request))

    def lacking(self, scopes: Iterable[str], found: frozenset[str]) -> InsufficientScopeError:
        """Return the error for a token without one of the scopes, and report it to its verifier."""
        made = (*self._made.values(), *self._async_made.values())
        return lacking(next(iter(made), None), scopes, found)

    def lets_in(self, request: HttpRequest) -> bool:
        """Return whether a request needs no token."""
        public = self.settings.public
        if public is not None and public.opens(request.path_info):
            return True
        return self.settings.optional and not credentials(request)

    def varying(self, response: ResponseT, claims: dict[str, Any] | None) -> ResponseT:
        """Let Django's cache give an answer to nobody else than to the token that it was for."""
        if claims is None and not self.settings.optional:
            return response
        if response.has_header("Vary"):
            patch_vary_headers(response, ("Authorization",))  # slower, as it looks what is there
        else:
            response.headers["Vary"] = "Authorization"
        return response

    def refused(self, error: jwt.InvalidTokenError, *scopes: str) -> JsonResponse:
        """Return the answer to a rejected request, where these scopes are required."""
        refusal = self.settings.challenge.naming(scopes).refusal(error)
        body = {"detail": refusal.detail}
        return _Refused(body, status=refusal.status, headers=dict(refusal.headers))

    def close(self) -> None:
        """Close the verifier of threads, if it was made here and not by a function."""
        for made in self._made.values():
            if self.settings.is_made_here and isinstance(made, SyncJWKS):
                made.close()


class _Refused(JsonResponse):
    """It can be awaited, as Django does with what the `dispatch` of an async class returns."""

    def __await__(self) -> Generator[None, None, Self]:
        return self._itself().__await__()

    async def _itself(self) -> Self:
        return self


_CONFIGURED: dict[int, Configured] = {}


def current() -> Configured:
    """Return what the setting says now. Raises `ImproperlyConfigured`."""
    source = getattr(settings, NAME, None)
    # The source is kept, so no other object can have its id.
    found = _CONFIGURED.get(id(source))
    return found or _CONFIGURED.setdefault(id(source), Configured(source))


def verifier() -> SyncVerifier:
    """Return the verifier of this process: a `SyncJWKS`, or the one that your own function made.

    Nothing is fetched. Raises `ImproperlyConfigured` for wrong settings, so that a `wsgi.py`
    which calls it does not start with them.
    """
    return current().verifier


def credentials(request: HttpRequest) -> list[str]:
    """Return the `Authorization` headers: Django joins several by commas, which are refused."""
    value = request.META.get("HTTP_AUTHORIZATION")
    return [] if value is None else [value]


@receiver(setting_changed)
def _forget(*, setting: str, enter: bool, **_kwargs: object) -> None:
    """After a test with settings of its own, close what they had made."""
    if setting == NAME and not enter:
        kept = id(getattr(settings, NAME, None))
        for key in _CONFIGURED.keys() - {kept}:
            _CONFIGURED.pop(key).close()
