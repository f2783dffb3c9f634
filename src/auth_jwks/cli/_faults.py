"""How a command fails, and its exit statuses."""

from auth_jwks.errors import reason_of

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


class UsageError(Exception):
    """An invalid command line. The argument says what was expected, and holds no secret."""


class UnavailableError(Exception):
    """The provider or the store can't be reached. The argument says why."""


def words_of(error: BaseException) -> str:
    """Return what an error says, with its notes (PEP 678)."""
    return "; ".join([str(error), *getattr(error, "__notes__", ())])
