"""Held to PyJWT: what it refuses we refuse, and what we refuse beyond it is one documented table.

Tokens are generated, mutated at every level and signed; then both verify them.
"""

import contextlib
import dataclasses
import json
import re
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from itertools import accumulate, combinations, count
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from hypothesis import event, given, settings
from hypothesis import strategies as st
from jwt.algorithms import OKPAlgorithm

from auth_jwks._jose.keys import Key, parse_key_set
from auth_jwks._jose.tokens import Expected, compact, parse_token, read_claims, signer
from auth_jwks.testing import SigningKey

DOCUMENTED = Path(__file__).parents[3] / "docs" / "tokens.md"
RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
ALGORITHMS = (*RSA, "ES256", "ES384", "ES512", "ES256K", "EdDSA")
ISSUER, AUDIENCE = "https://issuer.example", "https://api.example"
STRICT = Expected(30.0, ("exp", "iat", "sub"), ISSUER, frozenset((AUDIENCE,)))

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


@pytest.fixture(scope="session")
def trusts() -> dict[str, Trust]:
    """Return a key for each algorithm, alone; and one for all that RSA can do."""
    rsa = SigningKey.generate()
    ed448: Any = Ed448PrivateKey.generate()
    keys = {name: dataclasses.replace(rsa, algorithm=name) for name in RSA}
    keys |= {name: SigningKey.generate(name) for name in ALGORITHMS if name not in RSA}
    jwks = {name: key.jwk() for name, key in keys.items()}
    keys["Ed448"] = SigningKey("EdDSA", "ed448", ed448)
    jwks["Ed448"] = OKPAlgorithm.to_jwk(ed448.public_key(), as_dict=True)
    found = {name: trust(key, jwks[name]) for name, key in keys.items()}
    return found | {"RSA": trust(rsa, rsa.jwk(alg=None), RSA)}


def trust(key: SigningKey, jwk: dict[str, Any], several: tuple[str, ...] = ()) -> Trust:
    """Return what either side makes of a JWK; PyJWT's own class binds it to one algorithm."""
    allowed = several or (key.algorithm,)
    ours = parse_key_set(json.dumps({"keys": [jwk]}).encode(), frozenset(allowed)).keys
    theirs = jwt.PyJWK(jwk, algorithm=allowed[0])
    return Trust(key, allowed, ours, theirs.key if several else theirs)


def our_verdict(token: Any, trust: Trust, expected: Expected) -> Verdict:
    """Return what we say of a token now."""
    try:
        parsed = parse_token(compact(token), frozenset(trust.allowed))
        signer(parsed, [key for key in trust.ours if key.alg == parsed.alg])
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
            issuer=expected.issuer,
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
    Row("`=` padding", jwt.DecodeError, is_padded),
    Row("header not in UTF-8, or with a byte order mark", jwt.DecodeError, is_not_utf8(0)),
    Row("duplicate member in the header", jwt.DecodeError, has_duplicates),
    Row("`NaN` or `Infinity` in the header", jwt.DecodeError, has_constants(0)),
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
    Row("PSS signature without its leading zero", jwt.InvalidSignatureError, is_short_pss),
    Row("payload not in UTF-8, or with a byte order mark", jwt.DecodeError, is_not_utf8(1)),
    Row("`NaN` or `Infinity` in the payload", jwt.DecodeError, has_constants(1)),
    Row("payload nested deeper than 64 levels", jwt.DecodeError, is_deep),
    Row("`iat` a string or a boolean", jwt.InvalidIssuedAtError, is_mistyped("iat")),
    Row("`nbf` or `exp` a string or a boolean", jwt.DecodeError, is_mistyped("nbf", "exp")),
]


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
        assert rows or vars(mine) == vars(theirs)
    return f"{type(theirs).__name__}, then {type(mine).__name__}{' by the table' * len(rows)}"


def nested(levels: int) -> str:
    """Return an array of so many levels."""
    return "[" * levels + "]" * levels


HEADER_NAMES = st.sampled_from(["alg", "kid", "crit", "b64", "typ", "jwk", "jku", "x5c", "zip"])
CLAIM_NAMES = st.sampled_from(["exp", "nbf", "iat", "iss", "aud", "sub", "jti", "scope"])
PARTS = [*ALGORITHMS, "none", "HS256", "b64", "exp", "123", ISSUER, AUDIENCE, "a" * 256, "a" * 257]
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


@dataclasses.dataclass
class Drawing:
    """A token in the making; only what is `touched` departs from a good one."""

    draw: Callable[[st.SearchStrategy[Any]], Any]
    touched: set[str]

    def pick(self, level: str, choices: list[Callable[[Any], Any]], value: Any) -> Any:
        """Return the value changed in one of several ways."""
        chosen = level in self.touched and self.draw(st.booleans())
        return self.draw(st.sampled_from(choices))(value) if chosen else value

    def members(self, level: str, good: dict[str, str], names: st.SearchStrategy[str]) -> bytes:
        """Return an object, with members replaced, removed or given twice."""
        pairs = list(good.items())
        if level in self.touched:
            name, text = self.draw(names), self.draw(st.none() | TEXTS)
            if self.draw(st.sampled_from([True, True, True, False])):
                pairs = [pair for pair in pairs if pair[0] != name]
            if text is not None:
                pairs.insert(self.draw(st.integers(0, len(pairs))), (name, text))
        return self.written("{" + ",".join(f'"{name}":{text}' for name, text in pairs) + "}")

    def written(self, text: str) -> bytes:
        """Return a text in some encoding, with or without white space and damage."""
        codec = "utf-8"
        if "text" in self.touched and self.draw(st.booleans()):
            codec = self.draw(st.sampled_from(["utf-8", *CODECS]))
            text = self.draw(st.sampled_from(["{}", " \t{}\r\n", "{}x", "[{}]", "\x00{}"])).format(
                text
            )
        raw = text.encode(codec, "surrogatepass")
        if "bytes" in self.touched and self.draw(st.booleans()):
            start = self.draw(st.integers(0, len(raw)))
            raw = (
                raw[:start]
                + self.draw(st.binary(max_size=3))
                + raw[start + self.draw(st.integers(0, 3)) :]
            )
        return raw

    def times(self, leeway: float) -> dict[str, str]:
        """Return time claims; touched ones keep clear of their edge, as PyJWT's clock runs on."""
        now = int(time.time())
        edges = {"exp": now - leeway, "nbf": now + leeway, "iat": now + leeway}
        times = {name: str(now + 300 if name == "exp" else now - 300) for name in edges}
        if "times" in self.touched:
            name = self.draw(st.sampled_from(sorted(edges)))
            times[name] = self.draw(TIME_FORMS).format(edges[name] + self.draw(DISTANCES))
        return times


@st.composite
def tokens(draw: Callable[..., Any], trust: Trust, expected: Expected) -> Any:
    """Draw a token that departs from a good one at up to two levels."""
    drawing = Drawing(draw, set(draw(st.tuples(*[st.sampled_from(LEVELS)] * 2))))
    key = dataclasses.replace(trust.signing, algorithm=draw(st.sampled_from(trust.allowed)))
    good_header = {"alg": json.dumps(key.algorithm), "kid": '"a"', "typ": '"JWT"'}
    good_claims = {
        "iss": json.dumps(ISSUER),
        "aud": json.dumps([AUDIENCE]),
        "sub": '"a"',
        "jti": '"a"',
    }
    good_claims |= drawing.times(expected.leeway)
    raw = (
        drawing.members("header", good_header, HEADER_NAMES),
        drawing.members("claims", good_claims, CLAIM_NAMES),
    )
    segments = [
        drawing.pick("spelling", SPELLINGS, urlsafe_b64encode(one).rstrip(b"=").decode())
        for one in raw
    ]
    signed = ".".join(segments)
    signature = jwt.get_algorithm_by_name(key.algorithm).sign(signed.encode(), key.private_key)
    forged = drawing.pick("signature", FORGERIES, signature)
    last = drawing.pick("spelling", SPELLINGS, urlsafe_b64encode(forged).rstrip(b"=").decode())
    return drawing.pick("shape", SHAPES, f"{signed}.{last}")


EXPECTATIONS = st.builds(
    Expected,
    st.sampled_from([0.0, 2.5, 30.0]),
    st.sampled_from([("exp",), ("exp", "iat", "sub"), ("aud", "exp"), ("jti", "exp", "nbf")]),
    st.sampled_from([None, ISSUER, ISSUER, "https://other.example"]),
    st.sampled_from(
        [None, frozenset((AUDIENCE,)), frozenset(("other", AUDIENCE)), frozenset(("other",))]
    ),
)


@settings(max_examples=8 * settings().max_examples, deadline=None)
@given(data=st.data())
def test_our_verdict_is_that_of_pyjwt(data: st.DataObject, trusts: dict[str, Trust]) -> None:
    """Same claims, same refusal, or the table's, for every algorithm and at every level."""
    trust = trusts[data.draw(st.sampled_from(sorted(trusts)))]
    expected = data.draw(st.just(STRICT) | EXPECTATIONS)
    event(check(data.draw(tokens(trust, expected)), trust, expected))


@given(token=st.text() | st.binary() | st.from_regex(r"[\w=-]*\.[\w=-]*\.[\w=-]*", fullmatch=True))
def test_our_verdict_on_noise_is_that_of_pyjwt(token: Any, trusts: dict[str, Trust]) -> None:
    """Any text, and any bytes."""
    event(check(token, trusts["ES256"], STRICT))


def good(**changes: object) -> bytes:
    """Return the payload of a token that is valid now."""
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "a", "iat": now - 300, "exp": now + 300}
    return json.dumps(claims | changes).encode()


def header(more: str = "") -> bytes:
    """Return the header of a token for ES256."""
    return f'{{"alg":"ES256"{more}}}'.encode()


def without_zero(key: SigningKey) -> str:
    """Sign until a signature begins with a zero, one time in 256, and leave that out."""
    for number in count():
        signed, _, signature = key.sign(good(number=number)).rpartition(".")
        raw = urlsafe_b64decode(signature + "==")
        if raw[0] == 0:
            short = urlsafe_b64encode(raw[1:]).decode().rstrip("=")
            return f"{signed}.{short}"
    raise AssertionError


WITNESSES: dict[str, list[Callable[[SigningKey], object]]] = {
    "not exactly a `str`": [
        lambda key: key.sign(good()).encode(),
        lambda key: type("Text", (str,), {})(key.sign(good())),
    ],
    "longer than 16384 characters": [lambda key: key.sign(good(pad="a" * 12_288))],
    "`=` padding": [lambda key: key.sign(good()) + "=="],
    "header not in UTF-8, or with a byte order mark": [
        lambda key: key.sign(good(), header().decode().encode("utf-8-sig")),
        lambda key: key.sign(good(), header().decode().encode("utf-16")),
        lambda key: key.sign(good(), header(',"a":"b"').replace(b"b", b"\xed\xa0\x80")),
    ],
    "duplicate member in the header": [
        lambda key: key.sign(good(), header(',"alg":"ES256"')),
        lambda key: key.sign(good(), header(',"a":[{"b":1,"b":1}]')),
    ],
    "`NaN` or `Infinity` in the header": [
        lambda key: key.sign(good(), header(',"a":NaN')),
        lambda key: key.sign(good(), header(',"a":[-Infinity]')),
    ],
    "more than 64 opening brackets in the header": [
        lambda key: key.sign(good(), header(f',"a":{nested(64)}')),
        lambda key: key.sign(good(), header(',"a":[{}' + ",{}" * 62 + "]")),
        lambda key: key.sign(good(), header(f',"a":"{nested(64)}"')),
    ],
    "`kid` longer than 256 characters": [lambda key: key.sign(good(), {"kid": "a" * 257})],
    "`b64` in the header, other than `false`": [
        lambda key: key.sign(good(), {"b64": True}),
        lambda key: key.sign(good(), header(',"b64":null')),
        lambda key: key.sign(good(), {"b64": True, "crit": ["b64"]}),
    ],
    "PSS signature without its leading zero": [without_zero],
    "payload not in UTF-8, or with a byte order mark": [
        lambda key: key.sign(good().decode().encode("utf-8-sig")),
        lambda key: key.sign(good().decode().encode("utf-32-be")),
    ],
    "`NaN` or `Infinity` in the payload": [
        lambda key: key.sign(good(a=float("nan"))),
        lambda key: key.sign(good(a=[{"b": float("inf")}])),
    ],
    "payload nested deeper than 64 levels": [
        lambda key: key.sign(good(a="b").replace(b'"b"', nested(64).encode())),
    ],
    "`iat` a string or a boolean": [
        lambda key: key.sign(good(iat="1700000000")),
        lambda key: key.sign(good(iat=True)),
    ],
    "`nbf` or `exp` a string or a boolean": [
        lambda key: key.sign(good(exp=" 9999999999 ")),
        lambda key: key.sign(good(nbf=False)),
    ],
}


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.check)
def test_each_row_of_the_table_has_a_witness(row: Row, trusts: dict[str, Trust]) -> None:
    """A token that PyJWT accepts, and that is refused for the one reason and by the class given."""
    trust = trusts["PS256" if "PSS" in row.check else "ES256"]
    for sign in WITNESSES[row.check]:
        token = sign(trust.signing)
        assert [one for one in TABLE if one.applies(token)] == [row]
        assert type(our_verdict(token, trust, STRICT)) is row.raises
        # 2.15.0, the oldest release that will do, refuses padding as well.
        if row.check != "`=` padding" or jwt.__version__ != "2.15.0":
            assert isinstance(their_verdict(token, trust, STRICT), dict)


def test_the_table_is_the_documented_one() -> None:
    """Row by row: what is refused beyond PyJWT, a reason, and the class raised."""
    lines = DOCUMENTED.read_text("utf-8").partition("| refused | why | raised |\n")[2].splitlines()
    cells = [re.fullmatch(r"\| (.+?) \| (.+?) \| `(\w+)` \|", line) for line in lines[1:]]
    documented = [(found[1], found[3]) for found in cells if found]
    assert documented == [(row.check, row.raises.__name__) for row in TABLE]
    assert lines[1 + len(documented)] == ""


FAULTS: list[tuple[str, str, str]] = [
    *[("header", "alg", text) for text in ('"none"', '"HS256"', "null", '["ES256"]')],
    *[("header", "kid", text) for text in ("1", "null", json.dumps("a" * 257))],
    *[("header", "b64", text) for text in ("false", "true", "0")],
    *[("header", "crit", text) for text in ("null", "[]", '["b64"]', '["b64","x"]', '["x"]')],
    ("header", "x", "NaN"),
    *[("claims", "exp", text) for text in ("null", "1", "[]", '"x"', "true", "1e400")],
    *[("claims", "nbf", text) for text in ("null", "9999999999", "[]", '"1"', "true")],
    *[("claims", "iat", text) for text in ("null", "9999999999", "[]", '"1"', "true")],
    *[("claims", "iss", text) for text in ("null", '"x"', "[]")],
    *[("claims", "aud", text) for text in ("null", '"x"', "1", "[]")],
    *[("claims", name, text) for name in ("sub", "jti") for text in ("null", "1")],
    *[
        ("segment", place, how)
        for place in "012"
        for how in ("emptied", "last bits", "=", "!", "A")
    ],
]


def faulty(key: SigningKey, faults: tuple[tuple[str, str, str], ...]) -> str:
    """Return a token with these faults; those of a segment come after the signature."""
    claims = {name: json.dumps(value) for name, value in json.loads(good()).items()}
    levels: dict[str, dict[str, str]] = {"header": {"alg": '"ES256"'}, "claims": claims}
    levels["segment"] = {}
    for level, name, text in faults:
        levels[level][name] = text
    written = [
        "{" + ",".join(f'"{name}":{text}' for name, text in levels[level].items()) + "}"
        for level in ("claims", "header")
    ]
    segments = key.sign(*map(str.encode, written)).split(".")
    for place, how in levels["segment"].items():
        whole = segments[int(place)]
        changed = {"emptied": "", "last bits": whole[:-1] + "_"}
        segments[int(place)] = changed.get(how, whole + how)
    return ".".join(segments)


def test_several_faults_are_told_in_the_order_of_pyjwt(trusts: dict[str, Trust]) -> None:
    """Any one, any two, and any three of a header without a payload."""
    detached = ("segment", "1", "emptied")
    of_headers = [fault for fault in FAULTS if fault[0] == "header"]
    for faults in (
        *combinations(FAULTS, 1),
        *combinations(FAULTS, 2),
        *((*three, detached) for three in combinations(of_headers, 3)),
    ):
        check(faulty(trusts["ES256"].signing, faults), trusts["ES256"], STRICT)


def test_no_row_applies_to_a_good_token(trusts: dict[str, Trust]) -> None:
    """For every algorithm, both accept it."""
    for one in trusts.values():
        token = one.signing.sign(good())
        assert [row.check for row in TABLE if row.applies(token)] == []
        check(token, one, STRICT)
        assert isinstance(our_verdict(token, one, STRICT), dict)


def test_ed25519_is_accepted_beyond_pyjwt(trusts: dict[str, Trust]) -> None:
    """The name that RFC 9864 gives to one curve of EdDSA, if it is allowed."""
    key = dataclasses.replace(trusts["EdDSA"].signing, algorithm="Ed25519")
    ours = parse_key_set(json.dumps({"keys": [key.jwk()]}).encode(), frozenset(("Ed25519",))).keys
    named = dataclasses.replace(trusts["EdDSA"], allowed=("Ed25519",), ours=ours)
    token = key.sign(good())
    assert isinstance(our_verdict(token, named, STRICT), dict)
    assert type(their_verdict(token, named, STRICT)) is jwt.InvalidAlgorithmError
    assert type(our_verdict(token, trusts["EdDSA"], STRICT)) is jwt.InvalidAlgorithmError


def test_the_scheme_is_accepted_beyond_pyjwt(trusts: dict[str, Trust]) -> None:
    """`Bearer ` in front is ours to strip."""
    token = "Bearer " + trusts["ES256"].signing.sign(good())
    assert isinstance(our_verdict(token, trusts["ES256"], STRICT), dict)
    assert type(their_verdict(token, trusts["ES256"], STRICT)) is jwt.DecodeError


def test_a_lone_surrogate_is_refused_as_other_junk_is(trusts: dict[str, Trust]) -> None:
    """PyJWT lets `UnicodeEncodeError` out; here it is a `jwt.InvalidTokenError` like any other."""
    for token in ("\ud800", trusts["ES256"].signing.sign(good()) + "\udfff"):
        with pytest.raises(UnicodeEncodeError):
            their_verdict(token, trusts["ES256"], STRICT)
        assert type(our_verdict(token, trusts["ES256"], STRICT)) is jwt.DecodeError
