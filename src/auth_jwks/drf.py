"""Bearer tokens in Django REST framework: an authentication class, its user, and permissions."""

from collections.abc import Iterable, Mapping
from typing import Any

import jwt

try:
    from rest_framework.authentication import BaseAuthentication
    from rest_framework.exceptions import APIException
    from rest_framework.permissions import BasePermission
    from rest_framework.request import ForcedAuthentication, Request
except ModuleNotFoundError as fault:
    text = "auth_jwks.drf needs Django REST framework: install auth-jwks[drf]"
    raise ImportError(text, name=fault.name) from fault

from auth_jwks.bearer import Challenge, Refusal, granted
from auth_jwks.django._configured import Configured, current
from auth_jwks.errors import MissingTokenError

__all__ = ["JWTAuthentication", "TokenRefusedError", "TokenUser", "claims_of", "has_scopes"]


class TokenRefusedError(APIException):
    """The token of a request is rejected. The framework builds the answer from the attributes."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.detail)
        self.status_code = refusal.status
        self.auth_header = refusal.headers.get("WWW-Authenticate")
        self.wait = int(refusal.headers.get("Retry-After", 0))


class TokenUser:
    """The user that a verified token speaks for, without a row in the database.

    `claims` are all its claims. Django grants it nothing: it is neither staff nor superuser, and
    has no permission. What it may do is in its scopes.
    """

    is_authenticated = True
    is_active = True
    is_anonymous = False
    is_staff = False
    is_superuser = False

    def __init__(self, claims: Mapping[str, Any]) -> None:
        self.claims = claims

    def __str__(self) -> str:
        return self.username

    def __repr__(self) -> str:
        return f"TokenUser({self.username!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TokenUser) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    @property
    def _identity(self) -> tuple[str, str]:
        # A subject is unique at its issuer only (RFC 7519 §4.1.2).
        return str(self.claims.get("iss", "")), self.pk

    @property
    def pk(self) -> str:
        """The `sub` (RFC 7519 §4.1.2), unique at its issuer. Empty if there is none.

        A number, which only `numeric_sub=True` accepts, is written in digits.
        """
        subject = self.claims.get("sub")
        return str(subject) if isinstance(subject, (str, int)) else ""

    @property
    def id(self) -> str:
        """The same as `pk`."""
        return self.pk

    @property
    def username(self) -> str:
        """The same as `pk`: a name that others can't choose."""
        return self.pk

    def get_username(self) -> str:
        """Return the same as `pk`."""
        return self.pk

    def has_perm(self, _perm: str, _obj: object = None) -> bool:
        """Return False, as Django grants a token nothing."""
        return False

    def has_perms(self, perm_list: Iterable[str], obj: object = None) -> bool:
        """Return whether all permissions are granted: only if none are requested."""
        return all(self.has_perm(perm, obj) for perm in perm_list)

    def has_module_perms(self, _app_label: str) -> bool:
        """Return False, as Django grants a token nothing."""
        return False

    def get_all_permissions(self, _obj: object = None) -> set[str]:
        """Return none, as Django grants a token nothing."""
        return set()

    get_user_permissions = get_group_permissions = get_all_permissions


class JWTAuthentication(BaseAuthentication):
    """Verifies the bearer token of a request, by the setting `AUTH_JWKS`.

    `request.user` is a `TokenUser`, or the user that the function `USER` of the setting returns for
    the claims. `request.auth` are the claims, which `claims_of` returns with their type.
    """

    def authenticate(self, request: Request) -> tuple[Any, dict[str, Any]] | None:
        """Return the user and the claims, or None for a request without a bearer token.

        Raises `TokenRefusedError`. Any exception of the verifier but `jwt.InvalidTokenError`
        propagates, and so does one of `USER`.
        """
        configured = current()
        try:
            claims = configured.verified(request)
            user = _user_of(claims, configured)
        except MissingTokenError:
            return None
        except jwt.InvalidTokenError as error:
            refusal = configured.settings.challenge.refusal(error)
        else:
            return user, claims
        # Raised outside the handler, so that a log of it does not show the fault as its context.
        raise TokenRefusedError(refusal)

    def authenticate_header(self, request: Request) -> str:
        """Return the challenge for a request without a token."""
        del request  # it is the same for every one
        challenge = current().settings.challenge
        return challenge.refusal(MissingTokenError("no bearer token")).headers["WWW-Authenticate"]


def claims_of(request: Request) -> dict[str, Any]:
    """Return the claims of the token of a request.

    Raises `TokenRefusedError` with status 401 if `JWTAuthentication` verified none.
    """
    claims = _found(request)
    if claims is None:
        error = MissingTokenError("no bearer token was verified")
        raise TokenRefusedError(current().settings.challenge.refusal(error))
    return claims


def has_scopes(*scopes: str) -> type[BasePermission]:
    """Return a permission class that requires a token with all these scopes.

    The permission raises its rejection, which carries the challenge, so `has_scopes("a") | Other`
    never tries `Other`. Raises `ValueError` or `TypeError` for a value that is not a scope.
    """
    Challenge(scopes=scopes)

    class HasScopes(BasePermission):
        def has_permission(self, request: Request, view: Any) -> bool:
            del view  # the token decides
            claims, configured = _found(request), current()
            settings = configured.settings
            if claims is None:
                return False
            if (found := granted(claims, settings.scopes_from)).issuperset(scopes):
                return True
            error = configured.lacking(scopes, found)
            raise TokenRefusedError(settings.challenge.naming(scopes).refusal(error))

    return HasScopes


def _user_of(claims: dict[str, Any], configured: Configured) -> Any:
    make = configured.settings.user
    if make is None:
        return TokenUser(claims)
    user = make(claims)
    if user is None or not getattr(user, "is_active", True):
        raise jwt.InvalidTokenError("the token is for no active user")
    return user


def _found(request: Request) -> dict[str, Any] | None:
    """Return the claims that `JWTAuthentication` verified, or a test's `force_authenticate` gave.

    What another authentication class leaves in `request.auth` is nothing that was verified here.
    """
    _ = request.user  # authenticates
    by = request.successful_authenticator
    is_ours = isinstance(by, (JWTAuthentication, ForcedAuthentication))
    return request.auth if is_ours and isinstance(request.auth, dict) else None
