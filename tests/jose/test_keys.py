"""A JWK Set becomes the keys that may verify a token; one bad member never spoils the set."""

import json
from base64 import urlsafe_b64encode
from operator import eq

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import get_default_algorithms

from auth_jwks._jose.keys import (
    ALGORITHMS,
    MAX_KEYS,
    Key,
    KeySet,
    UnusableKeySetError,
    checked_algorithms,
    parse_in_slices,
    parse_key_set,
    summary,
)
from auth_jwks.testing import SigningKey
from tests.jose.sets import JUNK, OTHERS, RSA, document, parsed, rsa_jwk

UNSUPPORTED = "its key type is not supported"
UNFIT = "its alg or crv does not fit its kty"


def test_keys_are_selected_by_kid_and_algorithm(keys: dict[str, SigningKey]) -> None:
    """Both must match; one `kid` may name keys of several kinds."""
    rs256, es256 = keys["RS256"].jwk(kid="a"), keys["ES256"].jwk(kid="a")
    found = parsed(rs256, es256, keys["EdDSA"].jwk(kid="b"))
    assert [key.alg for key in found.select("a", "RS256")] == ["RS256"]
    assert [key.alg for key in found.select("a", "ES256")] == ["ES256"]
    for kid, alg in (("a", "EdDSA"), ("b", "ES256"), ("A", "ES256"), ("a", "RS384"), ("", "ES256")):
        assert found.select(kid, alg) == ()


def test_several_keys_may_have_one_kid() -> None:
    """Each that fits is tried, in the order of the set, at most four."""
    members = [SigningKey.generate("ES256", kid="a").jwk(n=number) for number in range(6)]
    selected = parsed(*members).select("a", "ES256")
    assert [key.thumbprint for key in selected] == [
        parsed(member).keys[0].thumbprint for member in members[:4]
    ]


def test_without_a_kid_the_one_key_that_fits_is_selected(keys: dict[str, SigningKey]) -> None:
    """Whatever its own `kid`, if no other fits."""
    found = parsed(keys["RS256"].jwk(), keys["ES256"].jwk(kid=None), keys["EdDSA"].jwk())
    assert [key.kid for key in found.select(None, "RS256")] == [keys["RS256"].kid]
    assert [key.kid for key in found.select(None, "ES256")] == [None]
    assert found.select(None, "ES384") == ()


def test_without_a_kid_up_to_four_keys_are_selected(es256: SigningKey) -> None:
    """Those without one before the others, each in the order of the set."""
    kids = ["a", "b", None, "c", "d", None]
    found = parsed(*(es256.jwk(kid=kid, n=number) for number, kid in enumerate(kids)))
    assert [key.kid for key in found.select(None, "ES256")] == [None, None, "a", "b"]
    assert [key.kid for key in found.keys] == kids


def test_a_kid_that_no_key_has_selects_those_without_one(keys: dict[str, SigningKey]) -> None:
    """Of the same algorithm, at most four; where a key has it, only those that have."""
    nameless = [keys["ES256"].jwk(kid=None, n=number) for number in range(5)]
    found = parsed(*nameless, keys["ES256"].jwk(kid="a"), keys["RS256"].jwk(kid="b"))
    assert [key.kid for key in found.select("a", "ES256")] == ["a"]
    for kid in ("b", "c", ""):
        assert [key.kid for key in found.select(kid, "ES256")] == [None] * 4
    assert [key.kid for key in found.select("b", "RS256")] == ["b"]
    assert found.select("c", "RS256") == ()


def test_a_kid_of_a_skipped_key_selects_none(es256: SigningKey) -> None:
    """The provider says which key is meant, so none is guessed."""
    found = parsed(es256.jwk(kid="a", use="enc"), es256.jwk(kid=None))
    assert found.select("a", "ES256") == ()
    assert found.reason_for("a", "ES256") == "its use is not sig"
    assert found.select("b", "ES256") == found.keys


def test_a_set_knows_its_names(keys: dict[str, SigningKey]) -> None:
    """For each algorithm; no name is none of them."""
    found = parsed(keys["ES256"].jwk(kid="a"), keys["ES256"].jwk(kid=None))
    assert found.has("a", "ES256")
    assert not any(found.has(*name) for name in (("a", "RS256"), ("b", "ES256"), (None, "ES256")))


@given(kids=st.lists(st.sampled_from(["a", "b", "c", None]), max_size=12))
def test_whatever_is_selected_fits(kids: list[str | None]) -> None:
    """At most four; a key of that name if there is one; and none only if no key could do."""
    found = KeySet(Key(kid, "ES256", bytes([n]), None, eq) for n, kid in enumerate(kids))
    for kid in ("a", "b", "c", "d", None):
        chosen = [key.kid for key in found.select(kid, "ES256")]
        possible = [each for each in kids if kid is None or each == kid] or [
            each for each in kids if each is None
        ]
        assert len(chosen) == min(4, len(possible))
        assert set(chosen) <= set(possible)
        assert chosen.count(None) == min(4, possible.count(None))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"<html>",
        b"[]",
        b"null",
        b'"keys"',
        b"{}",
        b'{"keys":null}',
        b'{"keys":{}}',
        b'{"keys":"a"}',
        b'{"Keys":[]}',
        b'{"keys":[]}\xff',
        b'\xef\xbb\xbf\xef\xbb\xbf{"keys":[]}',
        b'{\xef\xbb\xbf"keys":[]}',
    ],
)
def test_a_document_that_is_no_set_is_refused(text: bytes) -> None:
    """Not an object, not strict JSON, or without a list of keys."""
    with pytest.raises(UnusableKeySetError, match="not a JWK Set"):
        parse_key_set(text, ALGORITHMS)


def test_a_byte_order_mark_is_read_over(es256: SigningKey) -> None:
    """Some providers send one; only a token must have none."""
    text = b'\xef\xbb\xbf{"keys":[%s]}' % json.dumps(es256.jwk()).encode()
    assert [key.kid for key in parse_key_set(text, ALGORITHMS).keys] == [es256.kid]


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ([], "it is empty"),
        (
            JUNK,
            f"not an object (4), {UNSUPPORTED} (4), its key material is malformed (3), {UNFIT} (1)",
        ),
        (
            [{"kty": "RSA", "use": "enc"}, rsa_jwk(1 << 1023, kid="b"), rsa_jwk(1 << 1023)],
            "its RSA modulus is outside 2048-8192 bits (2), its use is not sig (1)",
        ),
    ],
    ids=["empty", "junk", "weak"],
)
def test_a_set_without_a_usable_key_is_refused(members: list[object], why: str) -> None:
    """It could verify nothing, so it must not replace a set that can; each reason is counted."""
    with pytest.raises(UnusableKeySetError) as caught:
        parsed(*members)
    assert str(caught.value) == f"the JWK Set has no usable key: {why}"


def test_a_set_for_other_algorithms_is_a_set(keys: dict[str, SigningKey]) -> None:
    """It can verify nothing here, but it is no fault of the provider's: it may replace another."""
    found = parsed(*JUNK, keys["RS256"].jwk(), allowed=frozenset(("ES256",)))
    assert found.keys == ()
    assert found.select(keys["RS256"].kid, "ES256") == found.select(None, "ES256") == ()
    assert found.skipped[-1] == f"its algorithm is not allowed (kid {keys['RS256'].kid!r})"


@pytest.mark.parametrize("changes", [{"use": "enc"}, {"alg": "RSA-OAEP"}, {"d": "AQAB"}])
def test_a_set_for_other_purposes_is_not(
    changes: dict[str, str], keys: dict[str, SigningKey]
) -> None:
    """A key that could never verify a token says nothing in favour of its set."""
    with pytest.raises(UnusableKeySetError, match="no usable key"):
        parsed(keys["RS256"].jwk(**changes), allowed=frozenset(("ES256",)))


@pytest.mark.parametrize(
    ("kid", "shown"),
    [
        ("a", "'a'"),
        ("", "''"),
        ("it's", '"it\'s"'),
        ("\r\n\x00\u202e\ud800", r"'\r\n\x00\u202e\ud800'"),
        ("a" * 300, "'" + "a" * 29 + "..." + "a" * 30 + "'"),
        (7, None),
        (None, None),
    ],
    ids=repr,
)
def test_a_reason_names_the_key(kid: object, shown: str | None, es256: SigningKey) -> None:
    """By its `kid`, on one line and not at any length."""
    [why] = parsed({"kty": "RSA", "kid": kid}, es256.jwk()).skipped
    assert why == "its key material is malformed" + (f" (kid {shown})" if shown else "")


@pytest.mark.parametrize(
    ("member", "why"),
    [
        ({"use": "enc"}, "its use is not sig"),
        ({"use": "enc", "alg": None}, "its use is not sig"),
        ({"d": "AQAB"}, "it contains private members"),
        ({"alg": "SHA256withECDSA"}, "its alg or crv does not fit its kty"),
        ({"alg": "ECDH-ES", "crv": "X25519", "kty": "OKP"}, "its alg or crv does not fit its kty"),
        ({"kty": "AKP"}, "its alg or crv does not fit its kty"),
        ({"kty": "XYZ"}, "its key type is not supported"),
    ],
)
def test_a_skipped_key_is_known(
    member: dict[str, object], why: str, keys: dict[str, SigningKey]
) -> None:
    """A token that names it is told from one of a key that is not published."""
    found = parsed(keys["ES256"].jwk(kid="a") | member, keys["RS256"].jwk(kid="b"))
    assert found.select("a", "ES256") == ()
    assert found.reason_for("a", "ES256") == why
    for kid, alg in [("b", "ES256"), ("b", "RS256"), ("c", "ES256"), (None, "ES256")]:
        assert found.reason_for(kid, alg) is None


def test_a_skipped_key_says_nothing_of_another_of_its_name(keys: dict[str, SigningKey]) -> None:
    """One `kid` may name keys of several kinds, of which another is good, or is not there yet."""
    weak = keys["RS256"].jwk(kid="a", alg=None, use="enc")
    found = parsed(weak, keys["ES256"].jwk(kid="a"))
    assert found.reason_for("a", "ES256") is None
    assert found.reason_for("a", "EdDSA") is None
    assert found.reason_for("a", "PS256") == "its use is not sig"
    both = parsed(keys["ES256"].jwk(kid="a", use="enc"), keys["ES256"].jwk(kid="a"))
    assert both.reason_for("a", "ES256") is None


def test_reasons_are_summed_up() -> None:
    """Each once, the most frequent first, with a few names: as long as there are reasons."""
    reasons = ["not an object", "its use is not sig", "its use is not sig (kid 'a (kid b)')"]
    many = [*reasons, *(f"its use is not sig (kid '{number}')" for number in range(99))]
    assert summary([]) == ""
    assert summary(many) == "its use is not sig (101), not an object (1)"
    assert summary(many, kids=2) == (
        "its use is not sig (101: 'a (kid b)', '0'), not an object (1)"
    )


def test_a_set_has_at_most_256_members(es256: SigningKey) -> None:
    """So many are read, one more spoils the set: no provider publishes as many."""
    assert len(parsed(*[None] * 255, es256.jwk()).keys) == 1
    with pytest.raises(UnusableKeySetError, match="more than 256 keys"):
        parsed(*[None] * 256, es256.jwk())


def test_any_asymmetric_algorithm_can_be_allowed() -> None:
    """Each alone, or all of them."""
    assert frozenset(RSA + OTHERS) == ALGORITHMS
    assert checked_algorithms(["RS256", "RS256"]) == {"RS256"}
    assert checked_algorithms(ALGORITHMS) == ALGORITHMS


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["none"],
        ["HS256"],
        ["RS256", "HS512"],
        ["rs256"],
        ["RS256", ""],
        ["ML-DSA-45"],
        ["X448"],
        "RS256",
    ],
    ids=repr,
)
def test_other_algorithms_cannot_be_allowed(names: list[str]) -> None:
    """Symmetric, absent, misspelt and unknown ones, and none at all, are a `ValueError`."""
    with pytest.raises(ValueError, match=r"\Aallowed_algorithms: .*ES256.*RS256"):
        checked_algorithms(names)


def test_every_other_algorithm_is_of_pyjwt() -> None:
    """What can be allowed is what PyJWT verifies asymmetrically, and names of RFC 9864 and 9964."""
    ours = {"Ed25519", "Ed448", "ML-DSA-44", "ML-DSA-65", "ML-DSA-87"}
    theirs = {name for name in get_default_algorithms() if not name.startswith(("HS", "none"))}
    misspelt_es512 = {"ES521"}
    assert theirs ^ ALGORITHMS == ours | misspelt_es512


def test_nothing_shows_key_material(keys: dict[str, SigningKey]) -> None:
    """A `repr` names keys and reasons, and shows no number of any key."""
    found = parsed(keys["RS256"].jwk(), keys["ES256"].jwk(d="AQAB"), rsa_jwk(1 << 1023 | 1))
    shown = repr(found)
    assert shown == (
        f"KeySet(keys=[Key(kid={keys['RS256'].kid!r}, alg='RS256')], skipped=["
        f'"it contains private members (kid {keys["ES256"].kid!r})", '
        "'its RSA modulus is outside 2048-8192 bits'])"
    )


NAMES = st.sampled_from(
    ["kty", "crv", "alg", "use", "key_ops", "kid", "n", "e", "x", "y", "d", "a"]
)
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
)
VALUES = SCALARS | st.lists(SCALARS, max_size=2) | st.dictionaries(NAMES, SCALARS, max_size=2)
BASE64 = st.binary(max_size=70).map(urlsafe_b64encode).map(bytes.decode)


@given(data=st.data())
def test_no_set_raises_anything_else(data: st.DataObject, keys: dict[str, SigningKey]) -> None:
    """However the members of a good set are changed: a set, or that there is none."""
    good = keys[data.draw(st.sampled_from(sorted(keys)))].jwk()
    values = VALUES | BASE64 | st.sampled_from(list(good.values()))
    changes = data.draw(st.dictionaries(NAMES, values, max_size=3))
    members = [good | changes, changes, data.draw(VALUES)]
    try:
        found = parsed(*members)
    except UnusableKeySetError:
        return
    for key in found.keys:
        assert key.verify(b"message", b"signature") is False
        assert len(found.select(key.kid, key.alg)) <= 4


@given(raw=st.binary() | VALUES.map(json.dumps).map(str.encode))
def test_no_document_raises_anything_else(raw: bytes) -> None:
    """Any bytes: a set, or that there is none."""
    with pytest.raises(UnusableKeySetError):
        parse_key_set(raw, ALGORITHMS)


def test_the_error_is_no_answer_to_a_caller() -> None:
    """That a set is unusable is for the refresh to handle, never a verdict on a token."""
    assert not issubclass(UnusableKeySetError, jwt.PyJWTError)


@pytest.mark.parametrize(("members", "turns"), [(1, 0), (8, 0), (9, 2), (MAX_KEYS, 32)])
def test_a_large_set_is_parsed_in_slices(es256: SigningKey, members: int, turns: int) -> None:
    """Others have their turn before every eight keys; a set of few keys takes no turn."""
    raw = document(*(es256.jwk() | {"kid": str(number)} for number in range(members)))
    slices = parse_in_slices(raw, ALGORITHMS)
    assert sum(1 for _ in slices) == turns
    assert len(parse_key_set(raw, ALGORITHMS).keys) == members
