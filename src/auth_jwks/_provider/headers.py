"""Parsers of the response headers: how long a response is fresh, and how its body is compressed."""

import re
from email.utils import parsedate_to_datetime

__all__ = ["compressions", "entity_tag", "max_age", "retry_after"]

_MAX_AGE = re.compile(r"(?:^|,)\s*max-age\s*=\s*\"?(\d{1,10})\"?\s*(?=,|$)", re.IGNORECASE)
_NO_REUSE = re.compile(r"(?:^|,)\s*no-(?:cache|store)\s*(?=[,=]|$)", re.IGNORECASE)

_ENTITY_TAG = re.compile(r"[\x21-\x7e]{1,512}")

# What IANA has registered, but for `identity`, and their old names.
_CODINGS = frozenset(
    ("aes128gcm", "br", "compress", "dcb", "dcz", "deflate", "exi", "gzip", "pack200-gzip", "zstd")
)
_OLD_CODINGS = {"x-compress": "compress", "x-gzip": "gzip"}


def compressions(content_encoding: str) -> list[str]:
    """Return the registered codings of a body (RFC 9110 §8.4), in order.

    Other names stand for none: object stores keep the `aws-chunked` of an upload, or a blank.
    """
    names = [name.strip().lower() for name in content_encoding.split(",")]
    return [name for name in (_OLD_CODINGS.get(name, name) for name in names) if name in _CODINGS]


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
