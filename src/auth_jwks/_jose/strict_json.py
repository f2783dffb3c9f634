"""Parses a JSON object strictly (RFC 8259) from untrusted bytes."""

import json
from collections.abc import Callable
from itertools import accumulate
from json.scanner import make_scanner
from math import isinf
from typing import Any, NoReturn, cast

__all__ = ["MAX_DEPTH", "strict_object"]

MAX_DEPTH = 64

_ALL_BUT_QUOTES_AND_BRACKETS = bytes(set(range(256)) - set(b'"[]{}'))
Scan = Callable[[str, int], tuple[Any, int]]

_STEPS = dict(zip(b"{[}]", (1, 1, -1, -1), strict=True))


def strict_object(raw: bytes, *, unique_members: bool = False) -> dict[str, Any] | None:
    """Return the JSON object in `raw`, or None for anything else.

    Rejected: other encodings than UTF-8, a byte order mark, `NaN` and `Infinity`, numbers that
    Python would read as infinite, integers beyond its digit limit, more than `MAX_DEPTH` levels
    and, with `unique_members`, duplicate members and more than `MAX_DEPTH` arrays and objects: a
    rejection must be cheap. It returns None instead of raising, because `json`'s exceptions carry
    the text.
    """
    try:
        text = raw.decode().strip(" \t\n\r")
        # To look for one more bracket takes a fraction of counting them.
        if text.find("{", 1) > 0 or text.find("[", text.find("[") + 1) > 0:
            brackets = text.count("{") + text.count("[")
            if brackets > MAX_DEPTH and (unique_members or _depth(raw) > MAX_DEPTH):
                return None
        value, end = _scan(text, 0)
        # Each member has a colon outside of strings. Without others, none was there twice.
        if unique_members and type(value) is dict and text.count(":") != len(value):
            value, end = _scan_unique(text, 0)
    except (ValueError, StopIteration):  # the latter where no value begins
        return None
    return value if type(value) is dict and end == len(text) else None


def _depth(raw: bytes) -> int:
    """Return how deep brackets are nested, those in strings apart.

    It takes few passes over a text of any length, each of them in C. An unclosed string extends to
    the end. A backslash outside of a string is an error, which the parser gets no further than.
    """
    if b"\\" in raw:
        raw = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
    parts = raw.translate(None, _ALL_BUT_QUOTES_AND_BRACKETS).split(b'"')
    return max(accumulate(map(_STEPS.__getitem__, b"".join(parts[::2])), initial=0))


def _refuse_constant(_name: str) -> NoReturn:
    raise ValueError


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError
    return members


def _finite(digits: str) -> float:
    number = float(digits)
    if isinf(number):
        raise ValueError
    return number


# What `JSONDecoder.raw_decode` calls. Typeshed has another signature for it.
_scanner: Callable[[json.JSONDecoder], Scan] = cast("Any", make_scanner)
_scan = _scanner(json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite))
_scan_unique = _scanner(
    json.JSONDecoder(
        parse_constant=_refuse_constant, parse_float=_finite, object_pairs_hook=_unique
    )
)
