"""Reports tokens that are valid and rejected all the same to their verifier, for its log."""

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import jwt

from auth_jwks._jose.words import listed
from auth_jwks.bearer import Verifier, verified
from auth_jwks.errors import BoundTokenError, InsufficientScopeError

__all__ = ["lacking", "let_in", "told"]

E = TypeVar("E", bound=jwt.InvalidTokenError)


async def let_in(verifier: Verifier, values: Sequence[str], *, allow_bound: bool) -> dict[str, Any]:
    """Return the claims, or raise, as `verified` does."""
    try:
        return await verified(verifier, values, allow_bound=allow_bound)
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
