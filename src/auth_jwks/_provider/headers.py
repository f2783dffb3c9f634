"""Parsers of the response headers: how long a response is fresh, and how its body is compressed."""

from email.utils import parsedate_to_datetime

__all__ = ["compressions", "entity_tag", "max_age", "retry_after"]

MAX_TAG = 512  # characters of an `ETag`
MAX_DIGITS = 10  # of a number of seconds

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
    is_visible = value.isascii() and value.isprintable() and " " not in value
    return value if is_visible and 0 < len(value) <= MAX_TAG else None


def max_age(cache_control: str, age: str) -> float | None:
    """Return how many seconds a response stays fresh, less its `Age` (RFC 9111 §4.2).

    None if there is no valid `max-age`, or if there is `no-cache` or `no-store`.
    """
    stated: int | None = None
    for directive in cache_control.lower().split(","):
        name, _, value = map(str.strip, directive.partition("="))
        if name in {"no-cache", "no-store"}:
            return None
        if name == "max-age" and stated is None:
            stated = _seconds(value.removeprefix('"').removesuffix('"'))
    return None if stated is None else float(max(0, stated - (_seconds(age) or 0)))


def retry_after(value: str, now: float) -> float | None:
    """Return `Retry-After` in seconds (RFC 9110 §10.2.3), None if invalid. `now` is Unix time."""
    seconds = _seconds(value)
    if seconds is not None:
        return float(seconds)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def _seconds(value: str) -> int | None:
    """Return a number of up to ten ASCII digits, None for any other text."""
    is_number = value.isascii() and value.isdigit() and len(value) <= MAX_DIGITS
    return int(value) if is_number else None
