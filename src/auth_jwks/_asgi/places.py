"""Where a request has its token: in `Authorization`, in a header of its own, or in a cookie."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from auth_jwks._asgi.scope import Scope, authorization, cookie_values, header_values
from auth_jwks.bearer import MAX_CREDENTIALS

__all__ = ["CookieToken", "HeaderToken", "checked_name", "finder"]

# Headers and cookies have the same names: tokens (RFC 9110 §5.6.2, RFC 6265 §4.1.1).
HEADER_OR_COOKIE_NAME = re.compile(r"[\w!#$%&'*+.^`|~-]+", re.ASCII)
# The one has a scheme in front of its token, the other many values.
NO_HEADERS_OF_A_TOKEN = frozenset(("authorization", "cookie"))


@dataclass(frozen=True, slots=True)
class HeaderToken:
    """A header that holds a token and nothing else, such as `x-goog-iap-jwt-assertion`.

    Raises `ValueError` or `TypeError`, which name the parameter and what was expected.
    """

    name: str

    def __post_init__(self) -> None:
        checked_name("name", self.name, "x-goog-iap-jwt-assertion")
        if self.name.lower() in NO_HEADERS_OF_A_TOKEN:
            raise ValueError(f"name: expected a header of the token's own, got {self.name}")


@dataclass(frozen=True, slots=True)
class CookieToken:
    """A cookie that holds a token. The application must prevent CSRF: see docs/web.md.

    Raises `ValueError` or `TypeError`, which name the parameter and what was expected.
    """

    name: str

    def __post_init__(self) -> None:
        checked_name("name", self.name, "__Host-session")


def finder(token_from: object) -> Callable[[Scope], list[str]]:
    """Return a function that returns the credentials in that place, as `Authorization` has them.

    It raises `InvalidRequestError` for more than a client can need. Nothing but the place is read.
    """
    if token_from is None:
        return authorization
    if isinstance(token_from, HeaderToken):
        field = token_from.name.lower().encode()
        return lambda scope: _credentials(header_values(scope, field))
    if isinstance(token_from, CookieToken):
        find = cookie_values(token_from.name.encode())
        return lambda scope: _credentials(find(scope))
    kind = type(token_from).__name__
    raise TypeError(f"token_from: expected a HeaderToken, a CookieToken or None, got {kind}")


def checked_name(parameter: str, name: object, example: str) -> bytes:
    """Return the name of a header or a cookie."""
    if not isinstance(name, str):
        raise TypeError(f"{parameter}: expected a string, got {type(name).__name__}")
    if not HEADER_OR_COOKIE_NAME.fullmatch(name):
        raise ValueError(f'{parameter}: expected a name such as "{example}"')
    return name.encode()


def _credentials(values: list[bytes]) -> list[str]:
    """Return the values with the scheme in front, an empty one without: that is no token.

    Of one that is too long only so much is returned as shows that it is.
    """
    if len(values) != 1:
        return [""] * len(values)  # several are refused, so that none of them need be read
    value = values[0][: MAX_CREDENTIALS + 1].decode("latin-1")
    return [f"Bearer {value}" if value else ""]
