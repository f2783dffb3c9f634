"""What this library raises besides PyJWT's own exceptions.

Every failure of a verification is a `jwt.InvalidTokenError`, so one `except` clause catches
them all; which class it is decides who must act.

    jwt.PyJWTError
      jwt.InvalidTokenError          the token is at fault (PyJWT's own classes)      401
        UnknownKeyError              no published key fits the token                  401
        KeysUnavailableError         the keys can't be had: try again later           503
        IssuerMismatchError          the discovery document names another issuer      503
        MissingTokenError            a request carries no bearer token                401
        InvalidRequestError          it carries several, or a malformed one           400
        InsufficientScopeError       the token is good, but not for this              403
        IdentityUnavailableError     Cloudflare's profile of a user can't be had      503

The first three are raised by a verification, the others by what guards web applications.
Misuse raises `ValueError` or `TypeError`, at construction.
"""

import jwt

__all__ = [
    "IdentityUnavailableError",
    "InsufficientScopeError",
    "InvalidRequestError",
    "IssuerMismatchError",
    "KeysUnavailableError",
    "MissingTokenError",
    "UnknownKeyError",
]


class UnknownKeyError(jwt.InvalidTokenError):
    """No published key fits the token: unknown `kid`, or no `kid` and not exactly one candidate."""


class KeysUnavailableError(jwt.InvalidTokenError):
    """The provider's keys can't be had, and no usable copy of them is at hand.

    `retry_after` says in how many seconds another attempt makes sense (RFC 9110 §10.2.3).
    """

    def __init__(
        self, message: str = "the signing keys are unavailable", *, retry_after: float = 5.0
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class IssuerMismatchError(jwt.InvalidTokenError):
    """The discovery document's `issuer` is not the configured one (OpenID Discovery §4.3).

    A configuration fault: the caller who presented the token can't mend it.
    """


class MissingTokenError(jwt.InvalidTokenError):
    """A request carries no bearer token: nothing, or credentials of another scheme."""


class InvalidRequestError(jwt.InvalidTokenError):
    """A request carries its bearer token in a malformed way, or more than one (RFC 6750 §3.1)."""


class InsufficientScopeError(jwt.InvalidTokenError):
    """The token is good, but was granted less than the resource takes (RFC 6750 §3.1)."""


class IdentityUnavailableError(jwt.InvalidTokenError):
    """Cloudflare Access did not tell the profile of a user whose token is good.

    `retry_after` says in how many seconds another attempt makes sense (RFC 9110 §10.2.3).
    """

    def __init__(
        self, message: str = "the identity is unavailable", *, retry_after: float = 5.0
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after
