"""The exceptions of this library, besides PyJWT's own.

Every failure of a verification is a `jwt.InvalidTokenError`, so one `except` clause catches
them all. The class tells whether the token, the request or the service is at fault.

    jwt.PyJWTError
      jwt.InvalidTokenError          the token is at fault (PyJWT's own classes)      401
        UnknownKeyError              no published key fits the token                  401
        KeysUnavailableError         there are no usable keys: try again later        503
        IssuerMismatchError          the discovery document names another issuer      503
        MissingTokenError            a request carries no bearer token                401
        InvalidRequestError          a request carries several, or a malformed one    400
        InsufficientScopeError       the token is valid, but lacks a scope            403
        BoundTokenError              the token is valid, but not without its proof    401
        IdentityUnavailableError     Cloudflare returned no profile of a user         503

A verification raises the first three, the web integrations raise the others. Misuse raises
`ValueError` or `TypeError`, at construction. `reason_of` returns the reason of each of these, and
of PyJWT's own.
"""

from enum import StrEnum

import jwt

__all__ = [
    "BoundTokenError",
    "IdentityUnavailableError",
    "InsufficientScopeError",
    "InvalidRequestError",
    "IssuerMismatchError",
    "KeysUnavailableError",
    "MissingTokenError",
    "Reason",
    "UnknownKeyError",
    "reason_of",
]


class Reason(StrEnum):
    """Why a token was rejected. The values are stable, and can be the label of a metric."""

    MALFORMED = "malformed"
    OPAQUE = "opaque"
    ENCRYPTED = "encrypted"
    ALGORITHM = "algorithm"
    TYPE = "type"
    UNKNOWN_KEY = "unknown_key"
    SIGNATURE = "signature"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    ISSUER = "issuer"
    AUDIENCE = "audience"
    CLAIM = "claim"
    BOUND = "bound"
    SCOPE = "scope"
    UNAVAILABLE = "unavailable"
    MISMATCH = "mismatch"


class UnknownKeyError(jwt.InvalidTokenError):
    """No published key fits the token: its `kid` is unknown, or its algorithm if it has none."""


class KeysUnavailableError(jwt.InvalidTokenError):
    """The provider's keys could not be fetched, and no cached copy is young enough.

    `retry_after` says after how many seconds to try again (RFC 9110 §10.2.3).
    """

    def __init__(
        self, message: str = "the signing keys are unavailable", *, retry_after: float = 5.0
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class IssuerMismatchError(jwt.InvalidTokenError):
    """The discovery document's `issuer` is not the configured one (OpenID Discovery §4.3).

    This is a fault of the configuration, not of the caller who presented the token.
    """


class MissingTokenError(jwt.InvalidTokenError):
    """A request has no bearer token: no credentials, or credentials of another scheme."""


class InvalidRequestError(jwt.InvalidTokenError):
    """A request carries a malformed bearer token, or more than one (RFC 6750 §3.1)."""


class InsufficientScopeError(jwt.InvalidTokenError):
    """The token is valid, but lacks a scope that the resource requires (RFC 6750 §3.1)."""


class BoundTokenError(jwt.InvalidTokenError):
    """The token is bound to a key (`cnf`, RFC 7800 §3.1), but was presented as a bearer token.

    The key may be that of DPoP (RFC 9449 §6) or of a certificate (RFC 8705 §3).
    """


class IdentityUnavailableError(jwt.InvalidTokenError):
    """Cloudflare Access did not return the profile of a user whose token is valid.

    `retry_after` says after how many seconds to try again (RFC 9110 §10.2.3).
    """

    def __init__(
        self, message: str = "the identity is unavailable", *, retry_after: float = 5.0
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after


# The reason of each class. The first class in the error's method resolution order counts.
_BY_CLASS: dict[type, Reason] = {
    MissingTokenError: Reason.MALFORMED,
    InvalidRequestError: Reason.MALFORMED,
    UnknownKeyError: Reason.UNKNOWN_KEY,
    KeysUnavailableError: Reason.UNAVAILABLE,
    IdentityUnavailableError: Reason.UNAVAILABLE,
    IssuerMismatchError: Reason.MISMATCH,
    InsufficientScopeError: Reason.SCOPE,
    BoundTokenError: Reason.BOUND,
    jwt.InvalidSignatureError: Reason.SIGNATURE,
    jwt.DecodeError: Reason.MALFORMED,
    jwt.InvalidAlgorithmError: Reason.ALGORITHM,
    jwt.ExpiredSignatureError: Reason.EXPIRED,
    jwt.ImmatureSignatureError: Reason.NOT_YET_VALID,
    jwt.InvalidIssuerError: Reason.ISSUER,
    jwt.InvalidAudienceError: Reason.AUDIENCE,
    jwt.InvalidTokenError: Reason.CLAIM,
    # Of `PyJWKClient`: it has no key for the token, or it has no keys.
    jwt.PyJWKClientConnectionError: Reason.UNAVAILABLE,
    jwt.PyJWKClientError: Reason.UNKNOWN_KEY,
    jwt.PyJWTError: Reason.UNAVAILABLE,
}


def reason_of(error: jwt.PyJWTError) -> Reason:
    """Return why a token was rejected, from an error of this library or of PyJWT.

    A request without a token, or with a malformed one, is `MALFORMED`. If the class is not specific
    enough, an attribute of the error decides, which survives `pickle`; an `InvalidTokenError`
    without it, as a user's check raises, is `CLAIM`. Raises `TypeError` for any other exception.
    """
    kind = type(error)
    found: Reason | None = getattr(error, "_auth_jwks_reason", None) or _BY_CLASS.get(kind)
    if found is None:
        found = next(filter(None, map(_BY_CLASS.get, kind.__mro__)), None)
    if found is None:
        raise TypeError(f"error: expected a jwt.PyJWTError, got {kind.__name__}")
    return found
