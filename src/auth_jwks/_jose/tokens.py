"""Parses a JWT (RFC 7519) and finds the key that signed it. Pure: the keys are arguments.

PyJWT is the reference: its algorithm classes check signatures, and its exceptions are raised in its
order. `docs/tokens.md` lists what is rejected although PyJWT accepts it.
"""

from binascii import Error as BinasciiError
from binascii import a2b_base64
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any, Final, NoReturn

import jwt

from auth_jwks._jose.claims import Claims
from auth_jwks._jose.hints import algorithm_hint
from auth_jwks._jose.keys import MAX_KID, Key, KeySet
from auth_jwks._jose.reasons import because
from auth_jwks._jose.strict_json import strict_object
from auth_jwks._jose.typ import read_type, refusal
from auth_jwks._jose.words import either, shown
from auth_jwks.errors import Reason

__all__ = [
    "MAX_TOKEN",
    "TOKEN_LENGTHS",
    "Token",
    "compact",
    "parse_token",
    "signer",
    "signer_in",
    "unverified_claims",
    "wrongly_signed",
]

MAX_TOKEN = 16 * 1024
TOKEN_LENGTHS = range(1024, 60 * 1024 + 1)  # that may be set in place of it
MAX_HEADER = 8 * 1024  # characters, as encoded
MAX_CACHED_HEADER = 1024  # likewise
DOTS_OF_JWE = 4  # RFC 7516 §7.1

# base64url to base64 (RFC 4648 §5). Characters of base64 alone become invalid ones.
_TO_BASE64 = bytes.maketrans(b"-_+/=", b"+/!!!")
# By the length of a segment modulo 4: the allowed last characters, whose unused bits are zero, and
# the padding.
_LAST_CHARACTERS: tuple[frozenset[int], ...] = (
    frozenset(),
    frozenset(),
    frozenset(b"AQgw"),
    frozenset(b"AEIMQUYcgkosw048"),
)
_PADDING = (b"", b"", b"==", b"=")


class Token:
    """A parsed compact JWS (RFC 7515 §7.1). Nothing in it is verified yet."""

    __slots__ = ("alg", "kid", "payload", "signature", "signing_input", "typ")

    def __init__(
        self, alg: str, kid: str | None, signing_input: bytes, payload: bytes, signature: bytes,
        typ: str | None = None,
    ) -> None:  # fmt: skip
        self.alg: Final = alg
        self.kid: Final = kid
        self.signing_input: Final = signing_input
        self.payload: Final = payload
        self.signature: Final = signature
        self.typ: Final = typ

    def __repr__(self) -> str:
        return f"Token(alg={self.alg!r}, kid={self.kid!r})"


class Header:
    """A JOSE header (RFC 7515 §4). A plain one has no member that must be refused.

    It is remembered, so nobody changes it. A frozen class takes three times as long to make.
    `typ` is in lower case and without `application/`; "" if it is no string, None if it is absent.
    An odd one is no string, or names another purpose than access and ID tokens have.
    """

    __slots__ = ("alg", "is_odd", "is_plain", "kid", "members", "typ")

    def __init__(
        self, members: Mapping[str, Any], *, is_plain: bool, typ: str | None, is_odd: bool
    ) -> None:
        alg = members.get("alg")
        self.members: Final = members
        self.alg: Final = alg if isinstance(alg, str) else None
        self.kid: Final[str | None] = members.get("kid")
        self.is_plain: Final = is_plain
        self.typ: Final = typ
        self.is_odd: Final = is_odd


def compact(token: object, longest: int = MAX_TOKEN) -> str:
    """Return a token that may be a compact JWS, without the `Bearer ` of RFC 6750 §2.1.

    Type, length, characters and the number of segments are checked before any decoding. Raises
    `jwt.DecodeError`.
    """
    if type(token) is not str:
        raise jwt.DecodeError("the token must be a string")
    if token[6:7] == " ":
        token = _without_scheme(token, longest)
    if len(token) > longest:
        raise jwt.DecodeError(f"the token is longer than {longest} characters")
    # Two dots. `str.count` takes twice as long.
    second = token.find(".", token.find(".") + 1)
    if second < 0 or second != token.rfind(".") or not token.isascii():
        raise _no_jws(token)
    return token


def parse_token(
    token: str, allowed: frozenset[str], types: frozenset[str | None] | None = None
) -> Token:
    """Parse a compact JWS. Raises `jwt.InvalidTokenError` if no key could make it valid.

    `types` are the accepted values of `typ`, in which None stands for none. Without them any
    `typ` is accepted that names no other purpose (RFC 8725 §3.11).
    """
    signing_input, _, signature_segment = token.encode().rpartition(b".")
    header_segment, _, payload_segment = signing_input.partition(b".")
    # Each distinct header is parsed once: a provider has few, and sends one with every token.
    is_short = len(header_segment) <= MAX_CACHED_HEADER
    header = _cached_header(header_segment) if is_short else _long_header(header_segment)
    if not header.is_plain and header.members.get("b64", True) is False and payload_segment:
        raise jwt.DecodeError("an unencoded payload (RFC 7797) is not supported")
    payload, signature = _both_decoded(payload_segment, signature_segment)
    if not header.is_plain:
        _raise_unsupported(header.members)
    if header.alg is None or header.alg not in allowed:
        text = f"alg: expected {either(allowed)}, the token has {_found(header.members, 'alg')}"
        raise jwt.InvalidAlgorithmError(text + algorithm_hint(header.alg))
    if header.is_odd if types is None else header.typ not in types:
        error = jwt.InvalidTokenError(refusal(header.typ, types))
        raise because(Reason.TYPE, error)
    return Token(header.alg, header.kid, signing_input, payload, signature, header.typ)


def unverified_claims(token: str) -> Claims | None:
    """Return the claims of a compact JWS, unverified; None if that is no JSON object."""
    try:
        return strict_object(_decoded(token.split(".")[1].encode(), "payload"))
    except jwt.DecodeError:
        return None


def signer(token: Token, keys: Collection[Key]) -> Key | None:
    """Return the one of `keys` that signed the token."""
    for key in keys:
        if key.verify(token.signing_input, token.signature):
            return key
    return None


def signer_in(token: Token, key_set: KeySet) -> Key | None:
    """Return the key of a set that signed the token, if it is one that the token fits."""
    return signer(token, key_set.select(token.kid, token.alg))


def wrongly_signed(token: Token, key_set: KeySet) -> jwt.InvalidSignatureError:
    """Return what is raised if none of the keys that fit a token signed it."""
    is_named = key_set.has(token.kid, token.alg)
    keys = f"the key {shown(token.kid)}" if is_named else "any key that fits"
    return jwt.InvalidSignatureError(f"the signature does not match {keys}")


def _no_jws(token: str) -> jwt.DecodeError:
    """Return the error for a token that is no compact JWS, which says what it is instead."""
    dots = token.count(".") if token.isascii() else 1
    if dots == DOTS_OF_JWE:
        text = "the token is encrypted (JWE), as it has five segments; only its recipient reads it"
        return because(Reason.ENCRYPTED, jwt.DecodeError(text))
    if token and not dots:
        text = "the token is opaque, as it has no dots; only its issuer can tell what it means"
        return because(Reason.OPAQUE, jwt.DecodeError(text))
    return jwt.DecodeError("the token is not a compact JWS of three ASCII segments")


def _found(members: Mapping[str, Any], name: str) -> str:
    return shown(members[name]) if name in members else "none"


def _without_scheme(token: str, longest: int) -> str:
    """Return a token that may be a compact JWS, without `Bearer ` and the spaces around it.

    With more spaces than a token has characters it stays as it is, which is too long.
    """
    if token[:6].lower() == "bearer" and len(token) <= 2 * longest:
        token = token[7:].strip(" ")
        if " " in token:  # another scheme, which would be removed in its turn
            raise jwt.DecodeError("the token contains a space")
    return token


def _long_header(segment: bytes) -> Header:
    """Parse a header that is not cached, lest an attacker fill the memory."""
    if len(segment) > MAX_HEADER:
        raise jwt.DecodeError(f"the header is longer than {MAX_HEADER} characters")
    return _parsed_header(segment)


def _parsed_header(segment: bytes) -> Header:
    members = strict_object(_decoded(segment, "header"), unique_members=True)
    if members is None:
        raise jwt.DecodeError("the header is not a small JSON object with unique members")
    kid = members.get("kid")
    is_good_kid = type(kid) is str and len(kid) <= MAX_KID
    is_plain = (
        (is_good_kid or "kid" not in members) and "crit" not in members and "b64" not in members
    )
    # Nearly every token has this one, and a stranger may send a new header with each.
    typ, is_odd = ("jwt", False) if members.get("typ") == "JWT" else read_type(members)
    return Header(members, is_plain=is_plain, typ=typ, is_odd=is_odd)


_cached_header = lru_cache(maxsize=256)(_parsed_header)


def _decoded(segment: bytes, name: str) -> bytes:
    """Decode base64url without padding (RFC 7515 §2). Only the canonical form is accepted."""
    excess = len(segment) % 4
    if not excess or segment[-1] in _LAST_CHARACTERS[excess]:
        padded = segment.translate(_TO_BASE64) + _PADDING[excess]
        try:
            return a2b_base64(padded, strict_mode=True)
        except BinasciiError:
            pass
    raise jwt.DecodeError(f"the {name} is not base64url")


def _both_decoded(payload: bytes, signature: bytes) -> tuple[bytes, bytes]:
    """Decode both at once, which takes half the calls."""
    p, s = len(payload) % 4, len(signature) % 4
    if (not p or payload[-1] in _LAST_CHARACTERS[p]) and (
        not s or signature[-1] in _LAST_CHARACTERS[s]
    ):
        try:
            return (
                a2b_base64(payload.translate(_TO_BASE64) + _PADDING[p], strict_mode=True),
                a2b_base64(signature.translate(_TO_BASE64) + _PADDING[s], strict_mode=True),
            )
        except BinasciiError:
            pass
    return _decoded(payload, "payload"), _decoded(signature, "signature")


def _raise_unsupported(header: Mapping[str, Any]) -> NoReturn:
    """Raise for what is wrong with a header that is not plain.

    No extension is supported (RFC 7515 §4.1.11). PyJWT supports `b64`, hence the two classes.
    """
    kid = header.get("kid", "")
    if not isinstance(kid, str) or len(kid) > MAX_KID:
        message = f"the kid must be a string of at most {MAX_KID} characters"
        raise because(Reason.MALFORMED, jwt.InvalidTokenError(message))
    crit = header.get("crit")
    is_declared = isinstance(crit, list) and crit and all(name == "b64" for name in crit)
    if header.get("b64", True) is False and is_declared:
        raise jwt.DecodeError("an unencoded payload (RFC 7797) is not supported")
    error = jwt.InvalidTokenError("critical header extensions are not supported")
    raise because(Reason.MALFORMED, error)
