"""Adds to an error of PyJWT the reason that its class does not express. Pure."""

from typing import TypeVar

import jwt

from auth_jwks.errors import Reason

__all__ = ["because"]

E = TypeVar("E", bound=jwt.PyJWTError)


def because(reason: Reason, error: E) -> E:
    """Return the error with a reason, which `reason_of` reads. It survives `pickle` and `copy`."""
    setattr(error, "_auth_jwks_reason", reason)  # noqa: B010 - PyJWT's classes declare none
    return error
