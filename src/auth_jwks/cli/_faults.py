"""How a command ends that does not do its work, and by which status that is told."""

import jwt

from auth_jwks.errors import (
    IssuerMismatchError,
    KeysUnavailableError,
    Reason,
    UnknownKeyError,
)

__all__ = [
    "GOOD",
    "INTERRUPTED",
    "PIPE",
    "REFUSED",
    "UNAVAILABLE",
    "USAGE",
    "UnavailableError",
    "UsageError",
    "reason_of",
    "words_of",
]

GOOD = 0
REFUSED = 1  # or unhealthy
USAGE = 2
UNAVAILABLE = 3  # the keys, or the store
INTERRUPTED = 130  # 128 and the number of SIGINT
PIPE = 141  # 128 and the number of SIGPIPE

# The most special class first.
REASONS: tuple[tuple[type[jwt.InvalidTokenError], Reason], ...] = (
    (KeysUnavailableError, Reason.UNAVAILABLE),
    (IssuerMismatchError, Reason.MISMATCH),
    (UnknownKeyError, Reason.UNKNOWN_KEY),
    (jwt.InvalidSignatureError, Reason.SIGNATURE),
    (jwt.InvalidAlgorithmError, Reason.ALGORITHM),
    (jwt.ExpiredSignatureError, Reason.EXPIRED),
    (jwt.ImmatureSignatureError, Reason.NOT_YET_VALID),
    (jwt.InvalidIssuerError, Reason.ISSUER),
    (jwt.InvalidAudienceError, Reason.AUDIENCE),
    (jwt.DecodeError, Reason.MALFORMED),
)


class UsageError(Exception):
    """A command line that makes no sense. The argument says what was expected, and no secret."""


class UnavailableError(Exception):
    """The provider or the store can't be reached. The argument says why."""


# The one place to exchange for `auth_jwks.errors.reason_of`.
def reason_of(error: jwt.InvalidTokenError) -> Reason:
    """Return the kind of a refusal."""
    found = (reason for kind, reason in REASONS if isinstance(error, kind))
    return next(found, Reason.CLAIM)


def words_of(error: BaseException) -> str:
    """Return what an error says, with its notes (PEP 678)."""
    return "; ".join([str(error), *getattr(error, "__notes__", ())])
