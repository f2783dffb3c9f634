"""Parsers of the response headers that say how long a response is good (RFC 9110, RFC 9111)."""

import re
from email.utils import parsedate_to_datetime

__all__ = ["entity_tag", "max_age", "retry_after"]

_MAX_AGE = re.compile(r"(?:^|,)\s*max-age\s*=\s*\"?(\d{1,10})\"?\s*(?=,|$)", re.IGNORECASE)
_NO_REUSE = re.compile(r"(?:^|,)\s*no-(?:cache|store)\s*(?=[,=]|$)", re.IGNORECASE)

_ENTITY_TAG = re.compile(r"[\x21-\x7e]{1,512}")


def entity_tag(value: str) -> str | None:
    """Return an `ETag` that may be sent back (RFC 9110 §8.8.3), None for any other text."""
    return value if _ENTITY_TAG.fullmatch(value) else None


def max_age(cache_control: str, age: str) -> float | None:
    """Return how many seconds a response stays fresh, less its `Age` (RFC 9111 §4.2).

    None if there is no valid `max-age`, or if there is `no-cache` or `no-store`.
    """
    stated = _MAX_AGE.search(cache_control)
    if stated is None or _NO_REUSE.search(cache_control):
        return None
    spent = int(age) if re.fullmatch(r"[0-9]{1,10}", age) else 0
    return float(max(0, int(stated[1]) - spent))


def retry_after(value: str, now: float) -> float | None:
    """Return `Retry-After` in seconds (RFC 9110 §10.2.3), None if invalid. `now` is Unix time."""
    if re.fullmatch(r"[0-9]{1,10}", value):
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, OverflowError):
        return None
