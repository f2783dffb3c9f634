"""Parses a JWK Set (RFC 7517) into the keys that may verify a token. Pure."""

from codecs import BOM_UTF8
from collections import defaultdict
from collections.abc import Collection, Generator, Iterable
from functools import cached_property
from reprlib import Repr
from typing import Any, Final, TypeVar

import cryptography

from auth_jwks._jose.jwk import (
    ALGORITHMS,
    MAX_KID,
    NOT_ALLOWED,
    SIGNATURES,
    Key,
    SkipError,
    fitting_algorithms,
    parse_key,
    stated,
)
from auth_jwks._jose.mldsa import PARAMETER_SETS, is_supported
from auth_jwks._jose.strict_json import strict_object
from auth_jwks._jose.words import few, shown

__all__ = [
    "ALGORITHMS",
    "MAX_KID",
    "Key",
    "KeySet",
    "Skipped",
    "UnusableKeySetError",
    "checked_algorithms",
    "parse_in_slices",
    "parse_key_set",
    "summary",
]

T = TypeVar("T")

MAX_KEYS = 256
KEYS_PER_SLICE = 8  # parsed at a time
MAX_CANDIDATES = 4
MAX_SHOWN_KID = 64  # characters, of a `kid` in a reason

_NAMED = " (kid "  # what parts a reason from the `kid` that it is about
_shortened = Repr()
_shortened.maxstring = MAX_SHOWN_KID


class UnusableKeySetError(Exception):
    """The document is not a JWK Set, or has no key that may verify a token."""


class Skipped:
    """A published JWK that can't be used. `algorithms` are those that its tokens may name."""

    __slots__ = ("algorithms", "kid", "reason")

    def __init__(
        self, reason: str, kid: str | None = None, algorithms: frozenset[str] = ALGORITHMS
    ) -> None:
        self.reason: Final = reason
        self.kid: Final = kid
        self.algorithms: Final = algorithms

    def __str__(self) -> str:
        return self.reason if self.kid is None else f"{self.reason}{_NAMED}{_shown(self.kid)})"


class KeySet:
    """The usable keys of one JWK Set, and one reason for each JWK that was skipped."""

    def __init__(self, keys: Iterable[Key], skipped: Iterable[Skipped] = ()) -> None:
        self.keys = tuple(keys)
        left_out = tuple(skipped)
        self.skipped = tuple(map(str, left_out))
        self._left_out: dict[str | None, tuple[Skipped, ...]] = defaultdict(tuple)
        for one in left_out:
            if one.kid is not None:
                self._left_out[one.kid] += (one,)
        self._named: dict[tuple[str, str], tuple[Key, ...]] = defaultdict(tuple)
        self._nameless: dict[str, tuple[Key, ...]] = defaultdict(tuple)
        self._fitting: dict[str, tuple[Key, ...]] = defaultdict(tuple)
        # A token without a `kid` more likely means a key without one.
        for key in sorted(self.keys, key=lambda key: key.kid is not None):
            _append(self._fitting, key.alg, key)
            if key.kid is None:
                _append(self._nameless, key.alg, key)
            else:
                _append(self._named, (key.kid, key.alg), key)

    def select(self, kid: str | None, alg: str) -> tuple[Key, ...]:
        """Return the keys to try for a token, at most four.

        For a `kid` that no key has, those without one: the provider may name it to tokens alone.
        """
        if kid is None:
            return self._fitting.get(alg, ())
        named = self._named.get((kid, alg), ())
        if named or alg not in self._nameless:
            return named
        return () if self.reason_for(kid, alg) else self._nameless[alg]

    def has(self, kid: str | None, alg: str) -> bool:
        """Return whether a key of that name fits the algorithm."""
        return (kid, alg) in self._named

    @cached_property
    def published(self) -> str:
        """The keys by name and algorithms, a few of them, as a rejection lists them."""
        named: dict[str | None, list[str]] = defaultdict(list)
        for key in self.keys:
            named[key.kid].append(key.alg)
        texts = [f"{shown(kid)} ({', '.join(algs)})" for kid, algs in named.items() if kid]
        return few(texts) or "none with a name"

    def reason_for(self, kid: str | None, alg: str) -> str | None:
        """Return why the key that a token names is skipped; None if it isn't, or isn't there."""
        if kid not in self._left_out or (kid, alg) in self._named:
            return None
        return next((one.reason for one in self._left_out[kid] if alg in one.algorithms), None)

    def __repr__(self) -> str:
        return f"KeySet(keys={list(self.keys)!r}, skipped={list(self.skipped)!r})"


def _append(keys: dict[T, tuple[Key, ...]], name: T, key: Key) -> None:
    if len(keys[name]) < MAX_CANDIDATES:
        keys[name] += (key,)


def checked_algorithms(names: Collection[str]) -> frozenset[str]:
    """Return the allow-list.

    Raises `ValueError` unless all names are asymmetric algorithms, and installed.
    """
    allowed = frozenset(names)
    if not allowed or not allowed <= ALGORITHMS:
        message = f"allowed_algorithms: expected one or more of {', '.join(sorted(ALGORITHMS))}"
        unknown = ", ".join(map(repr, sorted(allowed - ALGORITHMS)))
        raise ValueError(f"{message}; got {unknown or 'none'}")
    lacking = sorted(allowed & PARAMETER_SETS.keys())
    if lacking and not is_supported():
        needed = "cryptography 48 or later, with OpenSSL 3.5 or later"
        raise ValueError(
            f"allowed_algorithms: expected none of {', '.join(lacking)} without {needed};"
            f" installed is cryptography {cryptography.__version__}"
        )
    return allowed


def parse_key_set(
    document: bytes, allowed: frozenset[str], uses: frozenset[str] = SIGNATURES
) -> KeySet:
    """Return the usable keys of a JWK Set (RFC 7517 §5). A bad JWK is skipped.

    The result may be empty if a key is valid, but only for algorithms that are not allowed.
    Raises `UnusableKeySetError`, which says why there is no usable key.
    """
    slices = parse_in_slices(document, allowed, uses)
    while True:
        try:
            next(slices)
        except StopIteration as end:
            key_set: KeySet = end.value
            return key_set


def parse_in_slices(
    document: bytes, allowed: frozenset[str], uses: frozenset[str] = SIGNATURES
) -> Generator[None, None, KeySet]:
    """Parse as `parse_key_set` does. Of a large set, it yields before every few keys."""
    content = strict_object(document.removeprefix(BOM_UTF8))
    members = content.get("keys") if content is not None else None
    if not isinstance(members, list):
        raise UnusableKeySetError("the document is not a JWK Set")
    if len(members) > MAX_KEYS:
        raise UnusableKeySetError(f"the JWK Set has more than {MAX_KEYS} keys")
    keys: list[Key] = []
    skipped: list[Skipped] = []
    for number, each in enumerate(members):
        if len(members) > KEYS_PER_SLICE and not number % KEYS_PER_SLICE:
            yield
        member = stated(each)
        try:
            keys.extend(parse_key(member, allowed, uses))
        except SkipError as skip:
            skipped.append(_skipped(member, str(skip)))
    if not keys and all(one.reason != NOT_ALLOWED for one in skipped):
        why = summary(map(str, skipped)) or "it is empty"
        raise UnusableKeySetError(f"the JWK Set has no usable key: {why}")
    return KeySet(keys, skipped)


def summary(skipped: Iterable[str], *, kids: int = 0) -> str:
    """Return each reason once, how many JWKs it is for, and up to so many of their `kid`s.

    It is as long as there are reasons, however many JWKs were skipped.
    """
    found: dict[str, list[str]] = defaultdict(list)
    for text in skipped:
        reason, _, kid = text.partition(_NAMED)
        found[reason].append(kid.removesuffix(")"))
    parts: list[str] = []
    for reason, named in sorted(found.items(), key=lambda item: -len(item[1])):
        shown = ", ".join([kid for kid in named if kid][:kids])
        parts.append(f"{reason} ({len(named)}{': ' if shown else ''}{shown})")
    return ", ".join(parts)


def _skipped(member: dict[str, Any] | None, reason: str) -> Skipped:
    if member is None:
        return Skipped(reason)
    try:
        fitting = fitting_algorithms(member)
    except SkipError:
        fitting = ALGORITHMS
    kid = member.get("kid")
    return Skipped(reason, kid if isinstance(kid, str) else None, fitting or ALGORITHMS)


def _shown(kid: str) -> str:
    """Return a `kid` for people: shortened, on one line, whatever it holds."""
    return _shortened.repr(kid)
