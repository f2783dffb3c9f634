"""Reports tokens that are valid and rejected all the same to their verifier, for its log."""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol, TypeVar

import jwt

from auth_jwks._jose.words import listed
from auth_jwks.bearer import Verifier, bearer_token, unbound, verified
from auth_jwks.errors import BoundTokenError, InsufficientScopeError

__all__ = ["SyncVerifier", "lacking", "let_in", "let_in_sync", "told"]

E = TypeVar("E", bound=jwt.InvalidTokenError)


class SyncVerifier(Protocol):
    """Anything that verifies tokens in a thread: a `SyncJWKS`, or a wrapper around one."""

    def verify_token(self, token: str, /) -> dict[str, Any]:
        """Return the claims, or raise `jwt.InvalidTokenError`."""
        ...


async def let_in(verifier: Verifier, values: Sequence[str], *, allow_bound: bool) -> dict[str, Any]:
    """Return the claims, or raise, as `verified` does."""
    try:
        return await verified(verifier, values, allow_bound=allow_bound)
    except BoundTokenError as error:
        told(verifier, error)
        raise


def let_in_sync(verifier: SyncVerifier, values: Sequence[str]) -> dict[str, Any]:
    """Return the claims, or raise, as `let_in` does without `allow_bound`."""
    claims = verifier.verify_token(bearer_token(values))
    if not claims:
        raise TypeError("verifier: expected verify_token to return claims, or to raise")
    try:
        return unbound(claims)
    except BoundTokenError as error:
        told(verifier, error)
        raise


def lacking(
    verifier: object, wanted: Iterable[str], found: frozenset[str]
) -> InsufficientScopeError:
    """Return the error for a token without a scope that a resource requires."""
    missing = sorted(frozenset(wanted) - found)
    text = f"scope: expected {listed(missing)}, the token lacks it"
    return told(verifier, InsufficientScopeError(text))


def told(verifier: object, error: E) -> E:
    """Return the error after reporting it, if the verifier is one of ours.

    Any other verifier, such as a double in a test, gets no report.
    """
    tell = getattr(type(verifier), "_refused_later", None)
    if tell is not None:
        tell(verifier, error)
    return error
