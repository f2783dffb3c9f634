"""Held to PyJWT: what it refuses we refuse, and what we refuse beyond it is one documented table.

Tokens are generated, mutated at every level and signed; then both verify them.
"""

import dataclasses
import json
import re
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from itertools import combinations, count
from typing import Any

import jwt
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from auth_jwks._jose.claims import Expected
from auth_jwks._jose.issuer import IssuerNames
from auth_jwks._jose.keys import Key, parse_key_set
from auth_jwks.testing import SigningKey
from tests.jose.sets import MLDSA
from tests.jose.tokens.deviations import (
    ALGORITHMS,
    AUDIENCE,
    CLAIM_NAMES,
    CODECS,
    DISTANCES,
    DOCUMENTED,
    FORGERIES,
    HEADER_NAMES,
    ISSUER,
    LEVELS,
    RSA,
    SHAPES,
    SPELLINGS,
    STRICT,
    TABLE,
    TEXTS,
    TIME_FORMS,
    Row,
    Trust,
    check,
    nested,
    our_verdict,
    their_verdict,
)


@pytest.fixture(scope="session")
def trusts() -> dict[str, Trust]:
    """Return a key for each algorithm, alone; and one for all that RSA can do."""
    rsa = SigningKey.generate()
    keys = {name: dataclasses.replace(rsa, algorithm=name) for name in RSA}
    keys |= {name: SigningKey.generate(name) for name in ALGORITHMS if name not in RSA}
    jwks = {name: key.jwk() for name, key in keys.items()}
    keys["Ed448"] = SigningKey("EdDSA", "ed448", SigningKey.generate("Ed448").private_key)
    jwks["Ed448"] = keys["Ed448"].jwk()
    found = {name: trust(key, jwks[name]) for name, key in keys.items()}
    return found | {"RSA": trust(rsa, rsa.jwk(alg=None), RSA)}


def trust(key: SigningKey, jwk: dict[str, Any], several: tuple[str, ...] = ()) -> Trust:
    """Return what either side makes of a JWK; PyJWT's own class binds it to one algorithm."""
    allowed = several or (key.algorithm,)
    ours = parse_key_set(json.dumps({"keys": [jwk]}).encode(), frozenset(allowed)).keys
    theirs = jwt.PyJWK(jwk, algorithm=allowed[0])
    return Trust(key, allowed, ours, theirs.key if several else theirs)


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


OTHER = "https://other.example"
NAMES = [(ISSUER,), (ISSUER,), (OTHER, ISSUER), (OTHER,), (OTHER, "other.example")]
EXPECTATIONS = st.builds(
    Expected,
    st.sampled_from([0.0, 2.5, 30.0]),
    st.sampled_from([("exp",), ("exp", "iat", "sub"), ("aud", "exp"), ("jti", "exp", "nbf")]),
    st.sampled_from([None, *map(IssuerNames, NAMES)]),
    st.sampled_from(
        [None, frozenset((AUDIENCE,)), frozenset(("other", AUDIENCE)), frozenset(("other",))]
    ),
    numeric_sub=st.just(False),  # noqa: FBT003 - PyJWT has no such option; or it would be drawn too
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
    "header longer than 8192 characters": [
        lambda key: key.sign(good(), {"pad": "a" * 6144}),
        lambda key: key.sign(good(), {"x5c": ["A" * 1000] * 7}),
    ],
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
    "number beyond a float's in the header": [
        lambda key: key.sign(good(), header(',"a":1e999')),
        lambda key: key.sign(good(), header(',"a":[{"b":-1e400}]')),
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
    "`typ` that is no string": [
        lambda key: key.sign(good(), header(',"typ":null')),
        lambda key: key.sign(good(), {"typ": ["JWT"]}),
    ],
    "`typ` that names another purpose": [
        lambda key: key.sign(good(), {"typ": "dpop+jwt"}),
        lambda key: key.sign(good(), {"typ": "application/LOGOUT+jwt"}),
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
    "number beyond a float's in the payload": [
        lambda key: key.sign(good(a="b").replace(b'"b"', b"1e999")),
        lambda key: key.sign(good(a="b").replace(b'"b"', b'[{"c":[-1e309]}]')),
        lambda key: key.sign(good(a="b").replace(b'"b"', b"9" * 400 + b".5")),
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


@pytest.mark.parametrize(("name", "theirs"), [("Ed25519", "EdDSA"), ("Ed448", "Ed448")])
def test_the_names_of_curves_are_accepted_beyond_pyjwt(
    name: str, theirs: str, trusts: dict[str, Trust]
) -> None:
    """Those that RFC 9864 gives to the two curves of EdDSA, if they are allowed."""
    key = dataclasses.replace(trusts[theirs].signing, algorithm=name)
    named = dataclasses.replace(trusts[theirs], allowed=(name,), ours=ours_of(key))
    token = key.sign(good())
    assert isinstance(our_verdict(token, named, STRICT), dict)
    assert type(their_verdict(token, named, STRICT)) is jwt.InvalidAlgorithmError
    assert type(our_verdict(token, trusts[theirs], STRICT)) is jwt.InvalidAlgorithmError


@pytest.mark.parametrize("name", MLDSA)
def test_mldsa_is_accepted_beyond_pyjwt(name: str, trusts: dict[str, Trust]) -> None:
    """Only if it is allowed (RFC 9964); its keys and its name are good for nothing else."""
    key = SigningKey.generate(name)
    named = Trust(key, (name,), ours_of(key), trusts["ES256"].theirs)
    token = key.sign(good())
    assert isinstance(our_verdict(token, named, STRICT), dict)
    assert type(their_verdict(token, named, STRICT)) is jwt.InvalidAlgorithmError
    assert type(our_verdict(token, trusts["ES256"], STRICT)) is jwt.InvalidAlgorithmError
    forged = trusts["ES256"].signing.sign(good(), {"alg": name})
    assert type(our_verdict(forged, named, STRICT)) is jwt.InvalidSignatureError
    confused = dataclasses.replace(named, allowed=(name, "ES256"))
    disguised = key.sign(good(), {"alg": "ES256"})
    assert type(our_verdict(disguised, confused, STRICT)) is jwt.InvalidSignatureError


def ours_of(key: SigningKey) -> tuple[Key, ...]:
    """Return what we make of its JWK, if its algorithm is allowed."""
    document = json.dumps({"keys": [key.jwk()]}).encode()
    return parse_key_set(document, frozenset((key.algorithm,))).keys


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
