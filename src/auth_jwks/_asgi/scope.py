"""Finds credentials in an ASGI scope, in bounded time, and sets the state of the scope.

The server limits a request generously, if at all. So sizes and counts are compared first, and a
request that exceeds them is rejected unparsed. This module knows neither tokens nor answers.
"""

import re
from collections.abc import Callable, MutableMapping
from functools import lru_cache
from typing import Any
from urllib.parse import unquote_plus

from auth_jwks.bearer import MAX_CREDENTIALS
from auth_jwks.errors import InvalidRequestError

__all__ = [
    "add_to_state",
    "authorization",
    "cookie_finder",
    "cookie_values",
    "header_values",
    "query_taker",
    "tokens_in_subprotocols",
]

Scope = MutableMapping[str, Any]

MAX_FIELDS = 1000
MAX_COOKIES = 1000
MAX_COOKIE_BYTES = 64 * 1024
MAX_QUERY = 32 * 1024
MAX_PARAMETERS = 256
MAX_ESCAPES = 256
MAX_SUBPROTOCOLS = 100


def header_values(scope: Scope, name: bytes) -> list[bytes]:
    """Return the values of all header fields of that name. Raises `InvalidRequestError`."""
    fields = scope.get("headers", ())
    if len(fields) > MAX_FIELDS:
        raise InvalidRequestError(f"more than {MAX_FIELDS} header fields")
    return [value for field, value in fields if field == name]


def authorization(scope: Scope) -> list[str]:
    """Return the values of all `Authorization` headers. Raises `InvalidRequestError`.

    Of one that is too long only so much is returned as shows that it is.
    """
    values = header_values(scope, b"authorization")
    return [value[: MAX_CREDENTIALS + 1].decode("latin-1") for value in values]


def cookie_finder(name: bytes) -> Callable[[Scope], bytes]:
    """Return a function that returns the first cookie of that name, or nothing.

    The first has the longest path (RFC 6265 §5.4). The function raises `InvalidRequestError`.
    """
    values = cookie_values(name)
    return lambda scope: next(iter(values(scope)), b"").rstrip(b" \t")


def cookie_values(name: bytes) -> Callable[[Scope], list[bytes]]:
    """Return a function that returns the values of all cookies of that name, perhaps with blanks.

    The function raises `InvalidRequestError`.
    """
    pattern = re.compile(rb";[ \t]*+" + re.escape(name) + rb"(?:=([^;]*+)|[ \t]*+(?=;|\Z))")

    def find(scope: Scope) -> list[bytes]:
        values = header_values(scope, b"cookie")  # several in HTTP/2 (RFC 9113 §8.2.3)
        if sum(map(len, values)) > MAX_COOKIE_BYTES:
            raise InvalidRequestError(f"more than {MAX_COOKIE_BYTES} bytes of cookies")
        cookies = b";" + b";".join(values)
        if cookies.count(b";") > MAX_COOKIES:
            raise InvalidRequestError(f"more than {MAX_COOKIES} cookies")
        return pattern.findall(cookies)

    return find


@lru_cache(maxsize=256)
def query_taker(name: str) -> Callable[[Scope], list[str]]:
    """Return a function that takes all parameters of that name out of a scope's query.

    `name` is ASCII that needs no escape in a URL; a client may escape it all the same. The
    function raises `InvalidRequestError`, and leaves no query then.
    """
    # Atomic groups: no character has two spellings that begin alike, so nothing is tried twice.
    spelled = "".join(f"(?>{re.escape(one)}|{_escaped(one)})" for one in name)
    pattern = re.compile(rb"&" + spelled.encode() + rb"(?:=([^&]*+))?+(?=&|\Z)")

    def take(scope: Scope) -> list[str]:
        query: bytes = scope.get("query_string", b"")
        if len(query) > MAX_QUERY or query.count(b"&") >= MAX_PARAMETERS:
            scope["query_string"] = b""
            raise InvalidRequestError("the query is too long to look for a token")
        parameters = b"&" + query
        found = pattern.findall(parameters)
        if found:
            scope["query_string"] = pattern.sub(b"", parameters)[1:]
        # Several are refused, so that none of them need be read.
        return [_unescaped(found[0])] if len(found) == 1 else [""] * len(found)

    return take


def tokens_in_subprotocols(scope: Scope, name: str) -> list[str]:
    """Take the entry after each `name` out of a handshake's subprotocols.

    Raises `InvalidRequestError`.
    """
    offered = scope.get("subprotocols", ())
    if len(offered) > MAX_SUBPROTOCOLS or sum(map(len, offered)) > MAX_CREDENTIALS:
        raise InvalidRequestError("too many subprotocols")
    found, kept = [], []
    entries = iter(offered)
    for entry in entries:
        kept.append(entry)
        if entry == name:
            found.append(next(entries, ""))
    if found:
        header = b"sec-websocket-protocol"
        fields = [field for field in scope.get("headers", ()) if field[0] != header]
        scope["headers"] = [*fields, (header, ", ".join(kept).encode("latin-1", "replace"))]
        scope["subprotocols"] = kept
    return found


def add_to_state(scope: Scope, name: str, value: object) -> None:
    """Set a member of the request's state, and leave the dict that was there as it is.

    A server may hand out one dict to all requests of a connection, and HTTP/2 runs them at once.
    The scope itself belongs to one request.
    """
    scope["state"] = {**(scope.get("state") or {}), name: value}


def _escaped(character: str) -> str:
    """Return a pattern for the percent-encoded form, in either case of its digits."""
    digits = (f"[{digit}{digit.upper()}]" for digit in f"{ord(character):02x}")
    return "%" + "".join(digits)


def _unescaped(value: bytes) -> str:
    if value.count(b"%") > MAX_ESCAPES:
        raise InvalidRequestError("the token has too many escapes")
    return unquote_plus(value.decode("latin-1"))
