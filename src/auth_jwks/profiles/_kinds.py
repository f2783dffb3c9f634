"""The profiles as data. Each is a value: equal profiles require the same of a token."""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import field
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, final

from auth_jwks._jose.typ import plain_type
from auth_jwks._settings import checked_number, checked_parts, checked_strings, checked_text
from auth_jwks._values import dataclass

if TYPE_CHECKING:
    from dataclasses import dataclass

__all__ = ["AccessToken", "Check", "IDToken", "LogoutToken", "Profile", "in_json"]

Check = Callable[[dict[str, Any]], None]


@final
@dataclass(frozen=True, slots=True, init=False, eq=False)
class AccessToken:
    """The profile of an access token (RFC 9068): by default exactly that of the RFC.

    A token with `typ` `at+jwt` must have `iss`, `exp`, `aud`, `sub`, `client_id`, `iat` and
    `jti`; one with another `typ` that is accepted must have `exp`, `iat` and `sub`.
    """

    typ: frozenset[str | None]
    claims: tuple[tuple[str, str], ...]
    check: Check | None

    def __init__(
        self,
        *,
        typ: str | Collection[str | None] = "at+jwt",
        claims: Mapping[str, object] | None = None,
        check: Check | None = None,
    ) -> None:
        """Check the configuration.

        `typ` is the accepted value of the header's `typ`, or a collection of them, in which None
        stands for a token without one. Case and `application/` in front don't matter. `claims` are
        values that the token's claims must have: the same JSON, so `1` is neither `True` nor `1.0`.

        `check` is a function that receives the claims, for each call, after everything else was
        found valid. If it changes them, only the caller sees the change. It raises
        `jwt.InvalidTokenError` to reject the token, and returns None to accept it. Any other
        exception propagates, and any other return value is a `TypeError`.

        Raises `ValueError` or `TypeError`, which name the parameter and what was expected.
        """
        object.__setattr__(self, "typ", _checked_types(typ))
        object.__setattr__(self, "claims", _checked_claims(claims))
        object.__setattr__(self, "check", _checked_check(check))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AccessToken):
            return NotImplemented
        same = (self.typ, self.claims) == (other.typ, other.claims)
        return same and self.check is other.check

    def __hash__(self) -> int:
        return hash((self.typ, self.claims, id(self.check)))


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class IDToken:
    """The profile of an ID token, as its client checks it (OpenID Connect Core §3.1.3.7).

    `client_id` is the audience, in place of the verifier's, and the `azp` if there is one or if
    there are several audiences. `nonce` is that of the authentication request; without one the
    token may have none. `access_token` was issued with the ID token, whose `at_hash` must be its
    hash. `max_age` is the maximum number of seconds since the user signed in; then `auth_time` is
    required, with `leeway`.

    A token that is checked against one of these three is never remembered.

    Raises `ValueError` or `TypeError`, which name the parameter and what was expected.
    """

    client_id: str
    nonce: str | None = field(default=None, repr=False)
    access_token: str | None = field(default=None, repr=False)
    max_age: float | None = None

    def __post_init__(self) -> None:
        if checked_text("client_id", self.client_id) is None:
            raise TypeError("client_id: expected a string, got NoneType")
        checked_text("nonce", self.nonce)
        access_token = checked_text("access_token", self.access_token)
        if access_token is not None and not access_token.isascii():
            raise ValueError("access_token: expected ASCII characters only")
        if self.max_age is not None:
            checked_number("max_age", self.max_age)


@final
@dataclass(frozen=True, slots=True)
class LogoutToken:
    """The profile of a logout token (OpenID Connect Back-Channel Logout 1.0 §2.4, §2.6).

    It has the event of a logout, `iss`, `aud`, `iat`, `exp` and `jti`, a `sub` or a `sid`, and no
    `nonce`. The caller must check whether its `jti` was seen before.
    """


Profile = AccessToken | IDToken | LogoutToken


def in_json(value: object) -> str:
    """Return the JSON of a value, the same text for the same value.

    Raises `ValueError` or `TypeError` if it has none.
    """
    return json.dumps(value, sort_keys=True, allow_nan=False, separators=(",", ":"))


def _checked_types(typ: object) -> frozenset[str | None]:
    wanted = (typ,) if isinstance(typ, str) else typ
    if isinstance(wanted, (bytes, Mapping)) or not isinstance(wanted, Collection):
        kind = type(typ).__name__
        raise TypeError(f"typ: expected a string or a collection of them, got {kind}")
    given = checked_strings("typ", [each for each in wanted if each is not None])
    named = checked_strings("typ", map(plain_type, given))
    if not wanted:
        raise ValueError("typ: expected at least one value")
    absent = {None} if None in wanted else set[None]()
    return frozenset(named) | absent


def _checked_claims(claims: object) -> tuple[tuple[str, str], ...]:
    if claims is None:
        return ()
    if not isinstance(claims, Mapping):
        raise TypeError(f"claims: expected a mapping, got {type(claims).__name__}")
    names = checked_strings("claims", claims)
    if any(claims[name] is None for name in names):
        raise ValueError("claims: expected values other than None")
    try:
        return tuple(sorted((name, in_json(claims[name])) for name in names))
    except (TypeError, ValueError):
        pass  # the message could show a value
    raise ValueError("claims: expected values that JSON can hold")


def _checked_check(check: Check | None) -> Check | None:
    if check is None:
        return None
    if iscoroutinefunction(check):
        raise TypeError("check: expected a plain function, as a coroutine would not be awaited")
    return checked_parts("check", check, "a function that takes the claims", "__call__")
