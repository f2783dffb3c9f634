"""Bearer tokens over HTTP (RFC 6750): the token in a request, and the answer that rejects it.

No web framework is needed. `asgi`, `starlette`, `fastapi`, `flask` and `django` build on it.
"""

import logging
import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import jwt

from auth_jwks._settings import checked_strings, checked_text, checked_url
from auth_jwks.errors import (
    BoundTokenError,
    IdentityUnavailableError,
    InsufficientScopeError,
    InvalidRequestError,
    IssuerMismatchError,
    KeysUnavailableError,
    MissingTokenError,
    reason_of,
)

__all__ = [
    "Challenge",
    "Refusal",
    "ScopesFrom",
    "Verifier",
    "bearer_token",
    "granted",
    "scopes_of",
    "unbound",
    "verified",
]

logger = logging.getLogger("auth_jwks")

# A challenge must have at least one parameter (RFC 6750 §3).
DEFAULT_REALM = "api"
MAX_RETRY_AFTER = 86_400
MAX_CREDENTIALS = 64 * 1024
# Text that needs no escape between quotes (RFC 6750 §3), and one scope (RFC 6749 §3.3).
_QUOTABLE = re.compile(r"[ !#-\[\]-~]+")
_SCOPE = re.compile(r"[!#-\[\]-~]+")

ScopesFrom = Callable[[Mapping[str, Any]], Iterable[str]]


class Verifier(Protocol):
    """Anything that verifies tokens: a `JWKS`, or a wrapper around one."""

    async def verify_token(self, token: str, /) -> dict[str, Any]:
        """Return the claims, or raise `jwt.InvalidTokenError`."""
        ...


def bearer_token(values: Sequence[str]) -> str:
    """Return the token from the values of all `Authorization` headers of a request.

    Raises `MissingTokenError` for no header or another scheme, `InvalidRequestError` for several
    headers or a malformed one, and `TypeError` for a bare string, as each of its characters would
    count as a header.
    """
    if isinstance(values, (str, bytes)) or not isinstance(values, Sequence):
        kind = type(values).__name__
        raise TypeError(f"values: expected a list of the headers' values, got {kind}")
    if len(values) > 1:
        raise InvalidRequestError("more than one set of credentials")
    value = values[0] if values else ""
    if value[:7].lower() not in {"bearer", "bearer "}:
        raise MissingTokenError("no bearer token")
    if len(value) > MAX_CREDENTIALS:
        raise InvalidRequestError(f"more than {MAX_CREDENTIALS} characters of credentials")
    token = value[7:].strip(" ")
    # A comma joins two headers into one (RFC 9110 §5.3). The verifier finds every other fault.
    if not token or not token.isascii() or " " in token or "," in token or "\t" in token:
        raise InvalidRequestError("malformed credentials")
    return token


async def verified(
    verifier: Verifier, values: Sequence[str], *, allow_bound: bool = False
) -> dict[str, Any]:
    """Return the claims of the token in the `Authorization` headers `values`.

    `allow_bound` is for callers that check the proof of a token with `cnf` themselves.

    Raises what `bearer_token`, the verifier and `unbound` raise, and `TypeError` if the verifier
    returns nothing: a request without claims is not admitted.
    """
    claims = await verifier.verify_token(bearer_token(values))
    if not claims:
        raise TypeError("verifier: expected verify_token to return claims, or to raise")
    return claims if allow_bound else unbound(claims)


def unbound(claims: dict[str, Any]) -> dict[str, Any]:
    """Return the claims, unless the token is bound to a key.

    Raises `BoundTokenError` for claims with a `cnf`, whatever its value: such a token needs a proof
    of its key (RFC 9449 §7.1, RFC 8705 §3).
    """
    if "cnf" in claims:
        raise BoundTokenError("cnf: expected none in a bearer token, found one")
    return claims


def scopes_of(claims: Mapping[str, Any]) -> frozenset[str]:
    """Return the token's scopes: from `scope` (RFC 8693 §4.2), else from `scp` (Entra ID, Okta).

    Either is a string of words or a list of strings; any other value grants nothing.
    """
    granted = claims.get("scope", claims.get("scp"))
    if isinstance(granted, str):
        return frozenset(granted.split(" ")) - {""}
    if isinstance(granted, list):
        return frozenset(scope for scope in granted if isinstance(scope, str))
    return frozenset()


def granted(claims: Mapping[str, Any], scopes_from: ScopesFrom) -> frozenset[str]:
    """Return the scopes that `scopes_from` finds in the claims, without those that are not strings.

    Raises `TypeError` if it finds a bare string, as each character would be a scope, or a
    mapping, as each key would be one, whatever its value.
    """
    found: object = scopes_from(claims)
    if found is None:
        return frozenset()
    if isinstance(found, (str, bytes, Mapping)) or not isinstance(found, Iterable):
        kind = type(found).__name__
        raise TypeError(f"scopes_from: expected it to return a collection of strings, got {kind}")
    return frozenset(scope for scope in found if isinstance(scope, str))


@dataclass(frozen=True, slots=True)
class Refusal:
    """The answer to a rejected request. Its texts are fixed, and hold nothing of token or fault."""

    status: int
    detail: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Challenge:
    """The description of the protected resource in a rejection (RFC 6750 §3).

    `scopes` are the required scopes, and `resource_metadata` is the URL of RFC 9728 §5.1. The
    default `realm` is "api".

    Raises `ValueError` or `TypeError`, which name the parameter and what was expected.
    """

    realm: str | None = None
    scopes: Collection[str] = ()
    resource_metadata: str | None = None

    def __post_init__(self) -> None:
        scopes = tuple(dict.fromkeys(checked_strings("scopes", self.scopes)))
        object.__setattr__(self, "scopes", scopes)
        if not all(_SCOPE.fullmatch(scope) for scope in scopes):
            raise ValueError('scopes: expected words of printable ASCII without " and \\')
        for name, check in (("realm", checked_text), ("resource_metadata", checked_url)):
            value = check(name, getattr(self, name))
            if value is not None and not _QUOTABLE.fullmatch(value):
                raise ValueError(f'{name}: expected printable ASCII without " and \\')

    def naming(self, scopes: Iterable[str]) -> "Challenge":
        """Return the same challenge for these scopes, except those that a challenge can't name.

        A route may require a scope that isn't a valid scope-token (RFC 6749 §3.3).
        """
        return replace(self, scopes=[scope for scope in scopes if _SCOPE.fullmatch(scope)])

    def refusal(self, error: jwt.InvalidTokenError) -> Refusal:
        """Return the answer: 400, 401 or 403 for a fault of the request, 503 for the service's.

        The reason goes to the log only, at level DEBUG. Raises `TypeError` for any other error.
        """
        kind = type(error).__name__
        for fault, status, detail, code in ANSWERS:
            if isinstance(error, fault):
                if logger.isEnabledFor(logging.DEBUG):
                    notes = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
                    extra = {"auth_jwks_reason": reason_of(error)}
                    logger.debug("refused a request: %s: %s%s", kind, error, notes, extra=extra)
                return self._answer(error, status, detail, code)
        raise TypeError(f"error: expected a jwt.InvalidTokenError, got {kind}")

    def _answer(
        self, error: jwt.InvalidTokenError, status: int, detail: str, code: str | None
    ) -> Refusal:
        if status == UNAVAILABLE:
            wait = getattr(error, "retry_after", None)
            headers = {} if wait is None else {"Retry-After": _delay_seconds(wait)}
            return Refusal(status, detail, headers)
        parameters = {
            "realm": self.realm or DEFAULT_REALM,
            "error": code,
            "error_description": detail if code else None,
            "scope": " ".join(self.scopes),
            "resource_metadata": self.resource_metadata,
        }
        parts = ", ".join(f'{name}="{value}"' for name, value in parameters.items() if value)
        return Refusal(status, detail, {"WWW-Authenticate": f"Bearer {parts}"})


UNAVAILABLE = 503
# For each class of error: the status, the fixed text, the code of RFC 6750 §3.1. The first wins.
ANSWERS: tuple[tuple[type[jwt.InvalidTokenError], int, str, str | None], ...] = (
    (KeysUnavailableError, UNAVAILABLE, "Temporarily unavailable", None),
    (IdentityUnavailableError, UNAVAILABLE, "Temporarily unavailable", None),
    (IssuerMismatchError, UNAVAILABLE, "Temporarily unavailable", None),
    (MissingTokenError, 401, "Not authenticated", None),
    (InvalidRequestError, 400, "Malformed credentials", "invalid_request"),
    (InsufficientScopeError, 403, "Insufficient scope", "insufficient_scope"),
    (jwt.ExpiredSignatureError, 401, "The token has expired", "invalid_token"),
    (jwt.InvalidTokenError, 401, "Invalid token", "invalid_token"),
)


def _delay_seconds(seconds: float) -> str:
    return str(math.ceil(min(MAX_RETRY_AFTER, max(1.0, seconds))))
