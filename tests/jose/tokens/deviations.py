"""What our parser refuses beyond PyJWT: each row with the tokens that it applies to."""

import contextlib
import dataclasses
import json
import math
import re
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from typing import Any

import jwt
from hypothesis import strategies as st

from auth_jwks._jose.claims import Expected, read_claims
from auth_jwks._jose.issuer import IssuerNames
from auth_jwks._jose.keys import Key, KeySet
from auth_jwks._jose.tokens import compact, parse_token, signer, wrongly_signed
from auth_jwks.testing import SigningKey

DOCUMENTED = Path(__file__).parents[3] / "docs" / "tokens.md"


RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")


ALGORITHMS = (*RSA, "ES256", "ES384", "ES512", "ES256K", "EdDSA")


ISSUER, AUDIENCE = "https://issuer.example", "https://api.example"


STRICT = Expected(30.0, ("exp", "iat", "sub"), IssuerNames((ISSUER,)), frozenset((AUDIENCE,)))


Verdict = dict[str, Any] | jwt.InvalidTokenError


@dataclasses.dataclass(frozen=True)
class Trust:
    """A key as its owner has it, and as either side is told to trust it."""

    signing: SigningKey
    allowed: tuple[str, ...]
    ours: tuple[Key, ...]
    theirs: Any


@dataclasses.dataclass(frozen=True)
class Row:
    """Something that is refused beyond PyJWT; a row of the documented table."""

    check: str
    raises: type[jwt.InvalidTokenError]
    applies: Callable[[Any], bool]


def our_verdict(token: Any, trust: Trust, expected: Expected) -> Verdict:
    """Return what we say of a token now."""
    try:
        parsed = parse_token(compact(token), frozenset(trust.allowed))
        if signer(parsed, [key for key in trust.ours if key.alg == parsed.alg]) is None:
            return wrongly_signed(parsed, KeySet(()))
        return read_claims(parsed.payload, expected, time.time())
    except jwt.InvalidTokenError as refusal:
        return refusal


def their_verdict(token: Any, trust: Trust, expected: Expected) -> Verdict:
    """Return what PyJWT says of a token now."""
    checks_audience = expected.audience is not None
    try:
        return jwt.decode(
            token,
            trust.theirs,
            algorithms=trust.allowed,
            audience=expected.audience,
            issuer=None if expected.issuer is None else expected.issuer.names,
            leeway=expected.leeway,
            options={"require": list(expected.required), "verify_aud": checks_audience},
        )
    except jwt.InvalidTokenError as refusal:
        return refusal


def content(token: Any, segment: int) -> bytes:
    """Return what a segment decodes to, however it is written; nothing if it can't be told."""
    text = token.decode("latin-1") if isinstance(token, bytes) else token
    segments = text.split(".")
    try:
        return urlsafe_b64decode(segments[segment].encode() + b"==") if len(segments) == 3 else b""
    except ValueError:
        return b""


def members(token: Any, segment: int) -> dict[str, Any]:
    """Return the header or the claims as `json` reads them; nothing if it can't."""
    try:
        value = json.loads(content(token, segment))
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def is_padded(token: Any) -> bool:
    """Tell whether a segment ends in padding."""
    text = token.decode("latin-1") if isinstance(token, bytes) else token
    return any(segment.endswith("=") for segment in text.split("."))


def is_not_utf8(segment: int) -> Callable[[Any], bool]:
    """Tell whether the text is in another encoding, or in none."""

    def applies(token: Any) -> bool:
        raw = content(token, segment)
        try:
            raw.decode()
        except UnicodeDecodeError:
            return True
        return json.detect_encoding(raw) != "utf-8"

    return applies


def has_constants(segment: int) -> Callable[[Any], bool]:
    """Tell whether JSON is extended by a constant."""

    def applies(token: Any) -> bool:
        found: list[str] = []
        with contextlib.suppress(ValueError, RecursionError):
            json.loads(content(token, segment), parse_constant=found.append)
        return found != []

    return applies


def has_infinite(segment: int) -> Callable[[Any], bool]:
    """Tell whether a number is beyond what a float can hold."""

    def applies(token: Any) -> bool:
        found: list[str] = []
        with contextlib.suppress(ValueError, RecursionError):
            json.loads(content(token, segment), parse_float=found.append)
        return any(math.isinf(float(text)) for text in found)

    return applies


def has_duplicates(token: Any) -> bool:
    """Tell whether an object in the header has two members of one name."""
    found: list[bool] = []

    def collect(pairs: list[tuple[str, Any]]) -> None:
        found.append(len(dict(pairs)) < len(pairs))

    with contextlib.suppress(ValueError, RecursionError):
        json.loads(content(token, 0), object_pairs_hook=collect)
    return any(found)


def has_many_brackets(token: Any) -> bool:
    """Tell whether the header has more than 64 arrays and objects, or what looks like them."""
    raw = content(token, 0)
    return raw.count(b"{") + raw.count(b"[") > 64


def has_odd_type(token: Any) -> bool:
    """Tell whether a type is there and no string."""
    return not isinstance(members(token, 0).get("typ", ""), str)


def is_for_another_purpose(token: Any) -> bool:
    """Tell whether the type is that of a DPoP proof or a logout token, the two that are drawn."""
    typ = str(members(token, 0).get("typ")).lower().removeprefix("application/")
    return typ in {"dpop+jwt", "logout+jwt"}


def is_short_pss(token: Any) -> bool:
    """Tell whether a signature may lack a leading zero; keys here have 2048 bits."""
    is_pss = str(members(token, 0).get("alg")).startswith("PS")
    return is_pss and 0 < len(content(token, 2)) < 256


def is_deep(token: Any) -> bool:
    """Tell whether the payload has more than 64 levels, brackets in strings aside."""
    raw = content(token, 1)
    text = raw.decode(json.detect_encoding(raw), errors="replace")
    brackets = re.findall(r"[][{}]", re.sub(r'"(?:\\.|[^"\\])*"', "", text, flags=re.DOTALL))
    return max(accumulate((1 if one in "{[" else -1 for one in brackets), initial=0)) > 64


def is_mistyped(*names: str) -> Callable[[Any], bool]:
    """Tell whether a time is a string or a boolean."""
    return lambda token: any(isinstance(members(token, 1).get(name), str | bool) for name in names)


TABLE = [
    Row("not exactly a `str`", jwt.DecodeError, lambda token: type(token) is not str),
    Row("longer than 16384 characters", jwt.DecodeError, lambda token: len(token) > 16_384),
    Row(
        "header longer than 8192 characters",
        jwt.DecodeError,
        lambda token: len(token[: token.find("." if isinstance(token, str) else b".")]) > 8192,
    ),
    Row("`=` padding", jwt.DecodeError, is_padded),
    Row("header not in UTF-8, or with a byte order mark", jwt.DecodeError, is_not_utf8(0)),
    Row("duplicate member in the header", jwt.DecodeError, has_duplicates),
    Row("`NaN` or `Infinity` in the header", jwt.DecodeError, has_constants(0)),
    Row("number beyond a float's in the header", jwt.DecodeError, has_infinite(0)),
    Row("more than 64 opening brackets in the header", jwt.DecodeError, has_many_brackets),
    Row(
        "`kid` longer than 256 characters",
        jwt.InvalidTokenError,
        lambda token: len(str(members(token, 0).get("kid"))) > 256,
    ),
    Row(
        "`b64` in the header, other than `false`",
        jwt.InvalidTokenError,
        lambda token: members(token, 0).get("b64", False) is not False,
    ),
    Row("`typ` that is no string", jwt.InvalidTokenError, has_odd_type),
    Row("`typ` that names another purpose", jwt.InvalidTokenError, is_for_another_purpose),
    Row("PSS signature without its leading zero", jwt.InvalidSignatureError, is_short_pss),
    Row("payload not in UTF-8, or with a byte order mark", jwt.DecodeError, is_not_utf8(1)),
    Row("`NaN` or `Infinity` in the payload", jwt.DecodeError, has_constants(1)),
    Row("number beyond a float's in the payload", jwt.DecodeError, has_infinite(1)),
    Row("payload nested deeper than 64 levels", jwt.DecodeError, is_deep),
    Row("`iat` a string or a boolean", jwt.InvalidIssuedAtError, is_mistyped("iat")),
    Row("`nbf` or `exp` a string or a boolean", jwt.DecodeError, is_mistyped("nbf", "exp")),
]


OURS = {"__notes__", "_auth_jwks_reason"}  # what an error of PyJWT's has from us


def check(token: Any, trust: Trust, expected: Expected) -> str:
    """Hold our verdict to PyJWT's, and to the table; return what kind of case it was."""
    mine, theirs = our_verdict(token, trust, expected), their_verdict(token, trust, expected)
    rows = [row for row in TABLE if row.applies(token)][:1]
    if isinstance(mine, dict):
        assert rows == []
        assert repr(mine) == repr(theirs)
    elif isinstance(theirs, dict):
        assert [row.raises for row in rows] == [type(mine)]
    else:
        assert type(mine) in {type(theirs), *(row.raises for row in rows)}
        told = {name: value for name, value in vars(mine).items() if name not in OURS}
        assert rows or told == vars(theirs)
    return f"{type(theirs).__name__}, then {type(mine).__name__}{' by the table' * len(rows)}"


def nested(levels: int) -> str:
    """Return an array of so many levels."""
    return "[" * levels + "]" * levels


HEADER_NAMES = st.sampled_from(["alg", "kid", "crit", "b64", "typ", "jwk", "jku", "x5c", "zip"])


CLAIM_NAMES = st.sampled_from(["exp", "nbf", "iat", "iss", "aud", "sub", "jti", "scope"])


TYPES = ["JWT", "at+jwt", "dpop+jwt", "Application/Logout+JWT"]


PARTS = [
    *ALGORITHMS,
    *TYPES,
    "none",
    "HS256",
    "b64",
    "exp",
    "123",
    ISSUER,
    AUDIENCE,
    "a" * 256,
    "a" * 257,
]


ODD_TEXTS = [
    *["null", "true", "false", "0", "-1", "1e400", "-1e400", "NaN", "Infinity", "-Infinity"],
    *['""', "[]", "{}", '["b64"]', '["b64","b64"]', f'["{AUDIENCE}",1]', f'["","{AUDIENCE}"]'],
    *[nested(63), nested(64), f'{{"a":{nested(200)},"a":1}}', nested(1500), f'"{nested(200)}"'],
    *["9" * 4000, "9" * 5000, "01", "+1", "1.", "'a'", '"\\ud800"', '"\ud800"', '"é"', '"\n"', '"'],
    *['{"a":1,"a":2}', '{"a":[NaN]}', '" 12 "', '"1_0"', '"\u0661"', "1.5", "-0.0", "1E2"],
]


TEXTS = (
    st.sampled_from(ODD_TEXTS)
    | st.sampled_from(PARTS).map(json.dumps)
    | st.lists(st.sampled_from(PARTS), max_size=3).map(json.dumps)
    | (st.integers() | st.floats() | st.text()).map(json.dumps)
)


CODECS = ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]


SPELLINGS: list[Callable[[str], str]] = [
    lambda segment: segment + "=" * (-len(segment) % 4),
    lambda segment: segment + "=",
    lambda segment: segment + "====",
    lambda segment: segment.replace("-", "+").replace("_", "/"),
    lambda segment: segment[:-1],
    lambda segment: segment[:-1] + "_",
    lambda segment: segment + "A",
    lambda segment: segment + "AA",
    lambda segment: segment + "\n",
    lambda segment: segment[:4] + " " + segment[4:],
    lambda segment: segment[:4] + "é" + segment[4:],
    lambda segment: segment[:4] + "!" + segment[4:],
    lambda _segment: "",
    lambda _segment: "e30",
    lambda _segment: "A" * 12_000,
]


FORGERIES: list[Callable[[bytes], bytes]] = [
    lambda _signature: b"",
    lambda signature: bytes(len(signature)),
    lambda signature: signature[:-1],
    lambda signature: signature + b"\x00",
    lambda signature: signature[::-1],
    lambda signature: signature[:-1] + bytes([signature[-1] ^ 1]),
    lambda signature: bytes(len(signature) // 2) + signature[len(signature) // 2 :],
    lambda signature: b"0\x06\x02\x01\x01\x02\x01\x01" + signature,
]


SHAPES: list[Callable[[str], object]] = [
    lambda token: token.encode(errors="replace"),
    type("Text", (str,), {}),
    lambda token: token + ".",
    lambda token: "." + token,
    lambda token: token + "." + token,
    lambda token: token.replace(".", "", 1),
    lambda token: token.replace(".", "..", 1),
    lambda token: token.rpartition(".")[0],
    lambda token: token.rpartition(".")[0] + ".",
    lambda token: " " + token,
    lambda token: token + "\n",
    lambda token: token.replace("e", "\u212f"),
    lambda token: json.dumps(dict(enumerate(token.split(".")))),
    lambda _token: "",
    lambda _token: "..",
]


TIME_FORMS = st.sampled_from(["{:.0f}", "{:.0f}", "{}", "{}", "{}0e-1", '"{:.0f}"', '" {} "'])


DISTANCES = (
    st.integers(10, 200) | st.integers(-200, -10) | st.floats(10, 200) | st.floats(-200, -10)
)


LEVELS = ["nothing", "header", "claims", "times", "text", "bytes", "spelling", "signature", "shape"]
