"""A JWK Set becomes the keys that may verify a token; one bad member never spoils the set."""

import dataclasses
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import OKPAlgorithm, get_default_algorithms

from auth_jwks._jose.keys import (
    ALGORITHMS,
    KeySet,
    UnusableKeySetError,
    checked_algorithms,
    parse_key_set,
)
from auth_jwks.testing import SigningKey

RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
OTHERS = ("ES256", "ES384", "ES512", "ES256K", "EdDSA", "Ed25519")
JUNK: list[object] = [
    None,
    1,
    "key",
    [],
    {},
    {"kty": None},
    {"kty": ["EC"]},
    {"kty": "AKP", "alg": "ML-DSA-65", "pub": "AAAA", "kid": "post-quantum"},
    {"kty": "oct", "k": "c2VjcmV0", "alg": "HS256", "kid": "shared"},
    {"kty": "RSA", "kid": "empty"},
    {"kty": "EC", "crv": "P-256", "kid": "empty"},
    {"kty": "OKP", "crv": "Ed25519", "kid": "empty"},
]


@pytest.fixture(scope="session")
def keys() -> dict[str, SigningKey]:
    """Return a key for each algorithm; those of RSA share one modulus, which takes time to find."""
    rsa = SigningKey.generate()
    shared = {name: dataclasses.replace(rsa, algorithm=name) for name in RSA}
    return shared | {name: SigningKey.generate(name) for name in OTHERS}


@pytest.fixture(scope="session")
def es256(keys: dict[str, SigningKey]) -> SigningKey:
    """Return a key that is good in every way."""
    return keys["ES256"]


def document(*members: object) -> bytes:
    """Return a JWK Set of these members."""
    return json.dumps({"keys": members}).encode()


def parsed(*members: object, allowed: frozenset[str] = ALGORITHMS) -> KeySet:
    """Return what becomes of a set of these members."""
    return parse_key_set(document(*members), allowed)


def reason(es256: SigningKey, member: object, allowed: frozenset[str] = ALGORITHMS) -> str:
    """Return why a member is left out of a set whose other member is good."""
    found = parsed(member, es256.jwk(), allowed=allowed | {"ES256"})
    assert [key.kid for key in found.keys] == [es256.kid]
    [why] = found.skipped
    return why


def rsa_jwk(modulus: int, **members: object) -> dict[str, object]:
    """Return an RSA key of that modulus, which need not have two prime factors to be read."""
    raw = modulus.to_bytes((modulus.bit_length() + 7) // 8)
    return {"kty": "RSA", "n": urlsafe_b64encode(raw).decode(), "e": "AQAB", **members}


def signed(key: SigningKey, algorithm: str) -> tuple[bytes, bytes]:
    """Return a message and the key's signature of it, by that algorithm."""
    token = dataclasses.replace(key, algorithm=algorithm).sign({})
    message, _, signature = token.rpartition(".")
    return message.encode(), urlsafe_b64decode(signature + "==")


@pytest.mark.parametrize("algorithm", RSA + OTHERS)
def test_a_key_verifies_what_it_signed(algorithm: str, keys: dict[str, SigningKey]) -> None:
    """The published key accepts the signature, and no other message or signature."""
    [key] = parsed(keys[algorithm].jwk()).keys
    message, signature = signed(keys[algorithm], algorithm)
    assert (key.kid, key.alg) == (keys[algorithm].kid, algorithm)
    assert key.verify(message, signature)
    assert not key.verify(message + b"x", signature)
    assert not key.verify(message, signature[:-1] + bytes([signature[-1] ^ 1]))
    assert not key.verify(message, b"")


@pytest.mark.parametrize("algorithm", OTHERS)
def test_another_key_of_the_kind_verifies_nothing(
    algorithm: str, keys: dict[str, SigningKey]
) -> None:
    """A signature is one key's alone."""
    [key] = parsed(SigningKey.generate(algorithm, kid=keys[algorithm].kid).jwk()).keys
    assert not key.verify(*signed(keys[algorithm], algorithm))


@pytest.mark.parametrize(
    ("name", "fitting"),
    [
        ("RS256", RSA),
        ("ES256", ["ES256"]),
        ("ES384", ["ES384"]),
        ("ES512", ["ES512"]),
        ("ES256K", ["ES256K"]),
        ("EdDSA", ["EdDSA", "Ed25519"]),
    ],
)
@pytest.mark.parametrize("alg", [{}, {"alg": None}], ids=["absent", "null"])
def test_a_key_without_alg_serves_whatever_fits_and_is_allowed(
    name: str, fitting: list[str], alg: dict[str, None], keys: dict[str, SigningKey]
) -> None:
    """Entra ID names no `alg`: type and curve decide, within the allow-list."""
    member = keys[name].jwk(alg=None) | alg
    every = parsed(member)
    assert sorted(key.alg for key in every.keys) == sorted(fitting)
    assert all(key.verify(*signed(keys[name], key.alg)) for key in every.keys)
    narrow = parsed(member, allowed=frozenset((fitting[-1],)))
    assert [key.alg for key in narrow.keys] == [fitting[-1]]


@pytest.mark.parametrize(
    ("name", "alg"), [("EdDSA", "EdDSA"), ("EdDSA", "Ed25519"), ("RS256", "PS384")]
)
def test_a_key_with_alg_serves_that_alone(name: str, alg: str, keys: dict[str, SigningKey]) -> None:
    """A named `alg` binds the key (RFC 7517 §4.4), `Ed25519` and `EdDSA` included."""
    assert [key.alg for key in parsed(keys[name].jwk(alg=alg)).keys] == [alg]


def test_ed448_is_eddsa_and_never_ed25519() -> None:
    """RFC 8037 has two curves under one name; RFC 9864's `Ed25519` is one of them only."""
    private: Any = Ed448PrivateKey.generate()
    jwk = OKPAlgorithm.to_jwk(private.public_key(), as_dict=True)
    [key] = parsed(jwk).keys
    message, signature = signed(SigningKey("EdDSA", "a", private), "EdDSA")
    assert key.alg == "EdDSA"
    assert key.verify(message, signature)
    with pytest.raises(UnusableKeySetError):
        parsed(jwk | {"alg": "Ed25519"})


@pytest.mark.parametrize(
    ("name", "alg"),
    [
        ("ES256", "RS256"),
        ("ES256", "ES384"),
        ("ES256", "ES256K"),
        ("ES256", "HS256"),
        ("ES256", "none"),
        ("ES256", "es256"),
        ("ES256", ""),
        ("ES256", 256),
        ("ES256", ["ES256"]),
        ("RS256", "ES256"),
        ("RS256", "RSA-OAEP-256"),
        ("EdDSA", "Ed448"),
        ("EdDSA", "ECDH-ES"),
    ],
)
def test_an_alg_that_does_not_fit_the_key_is_refused(
    name: str, alg: object, keys: dict[str, SigningKey], es256: SigningKey
) -> None:
    """Type, curve and `alg` must agree; a symmetric `alg` never does."""
    why = reason(es256, keys[name].jwk(alg=alg, kid="bad"))
    assert why == "its alg or crv does not fit its kty"


def test_an_alg_that_is_not_allowed_is_refused(
    keys: dict[str, SigningKey], es256: SigningKey
) -> None:
    """A good key for an algorithm outside the allow-list is no key."""
    why = reason(es256, keys["RS512"].jwk(), frozenset(("RS256",)))
    assert why == "its algorithm is not allowed"


@pytest.mark.parametrize("member", JUNK, ids=repr)
def test_a_junk_member_is_skipped_alone(member: object, es256: SigningKey) -> None:
    """Whatever stands beside a good key, the good key serves."""
    assert reason(es256, member)


def test_unknown_key_types_are_told_from_broken_keys(es256: SigningKey) -> None:
    """What was left out is listed, with a reason for each."""
    found = parsed(*JUNK, es256.jwk())
    unsupported, broken = "its key type is not supported", "its key material is malformed"
    assert found.skipped == ("not an object",) * 4 + (unsupported,) * 5 + (broken,) * 3


@pytest.mark.parametrize("member", ["d", "p", "q", "dp", "dq", "qi", "oth", "k"])
@pytest.mark.parametrize("name", ["RS256", "ES256", "EdDSA"])
def test_a_private_key_is_refused(
    name: str, member: str, keys: dict[str, SigningKey], es256: SigningKey
) -> None:
    """Who publishes a private key publishes everybody's."""
    why = reason(es256, keys[name].jwk(kid="bad", **{member: "AQAB"}))
    assert why == "it contains private members"


@pytest.mark.parametrize("name", ["RS256", "ES256", "EdDSA"])
def test_a_whole_private_jwk_is_refused(
    name: str, keys: dict[str, SigningKey], es256: SigningKey
) -> None:
    """A working private key is no more welcome."""
    private = get_default_algorithms()[name].to_jwk(keys[name].private_key, as_dict=True)
    assert reason(es256, private) == "it contains private members"


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"use": "enc"}, "its use is not sig"),
        ({"use": "SIG"}, "its use is not sig"),
        ({"use": ["sig"]}, "its use is not sig"),
        ({"key_ops": ["sign"]}, "its key_ops lack verify"),
        ({"key_ops": ["encrypt", "wrapKey"]}, "its key_ops lack verify"),
        ({"key_ops": []}, "its key_ops lack verify"),
        ({"key_ops": "verify"}, "its key_ops lack verify"),
        ({"key_ops": {"verify": True}}, "its key_ops lack verify"),
        ({"use": "sig", "key_ops": ["deriveKey"]}, "its key_ops lack verify"),
        ({"use": "enc", "key_ops": ["verify"]}, "its use is not sig"),
    ],
)
def test_a_key_for_another_purpose_is_refused(
    members: dict[str, object], why: str, es256: SigningKey
) -> None:
    """`use` and `key_ops` may be absent, but if present they must allow it (RFC 7517 §4.2, 4.3)."""
    assert reason(es256, es256.jwk(kid="bad", **members)) == why


@pytest.mark.parametrize(
    "members", [{"use": None}, {"key_ops": ["verify"]}, {"key_ops": ["sign", "verify"]}]
)
def test_a_key_for_verification_is_used(members: dict[str, object], es256: SigningKey) -> None:
    """Without `use`, and with `verify` among the `key_ops`."""
    assert len(parsed(es256.jwk(**members)).keys) == 1


@pytest.mark.parametrize("bits", [2048, 3072, 8192])
def test_rsa_keys_of_reasonable_size_are_used(bits: int) -> None:
    """From 2048 (RFC 7518 §3.3) to 8192 bits."""
    assert len(parsed(rsa_jwk(1 << (bits - 1) | 1, kid="a", alg="RS256")).keys) == 1


@pytest.mark.parametrize("bits", [1024, 2047, 8193, 16384, 1_000_000])
def test_rsa_keys_of_other_sizes_are_refused(bits: int, es256: SigningKey) -> None:
    """Too weak, or too slow to verify with."""
    why = reason(es256, rsa_jwk(1 << (bits - 1) | 1, kid="bad"))
    assert why == "its RSA modulus is outside 2048-8192 bits"


@pytest.mark.parametrize("exponent", ["", "AA", "AQ", "Ag", "BA"])
def test_senseless_rsa_exponents_are_refused(exponent: str, es256: SigningKey) -> None:
    """0, 1 and even numbers would verify anything, or nothing."""
    member = rsa_jwk(1 << 2047 | 1, e=exponent)
    assert reason(es256, member) == "its key material is malformed"


@pytest.mark.parametrize(
    ("name", "members"),
    [
        ("RS256", {"n": ""}),
        ("RS256", {"n": None}),
        ("RS256", {"n": 1}),
        ("RS256", {"n": ["AQAB"]}),
        ("RS256", {"n": "\ud800"}),
        ("RS256", {"e": None}),
        ("ES256", {"x": None}),
        ("ES256", {"y": None}),
        ("ES256", {"y": 1}),
        ("ES256", {"y": "AQAB"}),
        ("ES256", {"y": "A" * 43}),
        ("ES256", {"x": "_" * 43}),
        ("ES256", {"x": "A" * 44}),
        ("ES384", {"x": "A" * 43, "y": "A" * 43}),
        ("ES512", {"x": "A" * 64, "y": "A" * 64}),
        ("ES256K", {"x": "A" * 43}),
        ("EdDSA", {"x": None}),
        ("EdDSA", {"x": "AQAB"}),
        ("EdDSA", {"x": {}}),
        ("EdDSA", {"crv": "Ed448"}),
    ],
)
def test_malformed_key_material_is_refused(
    name: str, members: dict[str, object], keys: dict[str, SigningKey], es256: SigningKey
) -> None:
    """Missing, mistyped or short parts, and points off the curve (RFC 8725 §3.4)."""
    why = reason(es256, keys[name].jwk(kid="bad", **members))
    assert why == "its key material is malformed"


@pytest.mark.parametrize(
    "crv", [None, "", "P-384", "P-512", "secp256r1", "Ed25519", 256, ["P-256"]]
)
def test_a_curve_that_does_not_fit_is_refused(crv: object, es256: SigningKey) -> None:
    """Another curve, or none, with this `alg`."""
    assert reason(es256, es256.jwk(crv=crv, kid="bad")) == "its alg or crv does not fit its kty"


@pytest.mark.parametrize("kid", [1, True, ["a"], {"a": "b"}, "a" * 257])
def test_a_senseless_kid_is_refused(kid: object, es256: SigningKey) -> None:
    """Not a string, or longer than any token may name."""
    assert reason(es256, es256.jwk(kid=kid)) == "its kid is not a string of at most 256 characters"


@pytest.mark.parametrize(
    "kid", ["a" * 256, "", "../../etc/passwd", "' OR 1=1 --", "\r\n\x00\ud800"]
)
def test_any_other_kid_is_just_a_name(kid: str, es256: SigningKey) -> None:
    """It is compared, and nothing else."""
    found = parsed(es256.jwk(kid=kid))
    assert [key.kid for key in found.select(kid, "ES256")] == [kid]
    assert found.select(kid + "x", "ES256") == ()


def test_other_members_are_ignored(es256: SigningKey) -> None:
    """Certificates and what nobody has heard of (RFC 7517 §4): the key is in its own members."""
    extra = {"x5c": ["junk"], "x5t": "junk", "x5u": "http://a.example", "iat": 1, "ext": True}
    assert len(parsed(es256.jwk(**extra)).keys) == 1


def test_a_duplicate_member_counts_last(es256: SigningKey) -> None:
    """As any JSON parser has it; a set is the provider's own word, unlike a token's header."""
    text = json.dumps(es256.jwk(kid="second"))
    [key] = parse_key_set(
        b'{"keys":[%s]}' % text.replace("{", '{"kid":"first",', 1).encode(), ALGORITHMS
    ).keys
    assert key.kid == "second"


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


def test_without_a_kid_there_is_no_guessing(es256: SigningKey) -> None:
    """Several that fit are as good as none."""
    found = parsed(es256.jwk(), SigningKey.generate("ES256").jwk(kid=None))
    assert found.select(None, "ES256") == ()


def test_a_kid_never_selects_a_key_without_one(es256: SigningKey) -> None:
    """A token that names a key wants that key."""
    assert parsed(es256.jwk(kid=None)).select(es256.kid, "ES256") == ()


def test_a_thumbprint_tells_keys_apart(es256: SigningKey) -> None:
    """The same member has the same one however it is written; another has another."""
    jwk = es256.jwk()
    turned = dict(reversed(jwk.items()))
    [first], [same] = parsed(jwk).keys, parsed(turned).keys
    changed = [
        parsed(SigningKey.generate("ES256", kid=es256.kid).jwk()),
        parsed(es256.jwk(kid="b")),
    ]
    assert first.thumbprint == same.thumbprint
    assert first.thumbprint not in [key.thumbprint for other in changed for key in other.keys]


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
        b'\xef\xbb\xbf{"keys":[]}',
    ],
)
def test_a_document_that_is_no_set_is_refused(text: bytes) -> None:
    """Not an object, not strict JSON, or without a list of keys."""
    with pytest.raises(UnusableKeySetError, match="not a JWK Set"):
        parse_key_set(text, ALGORITHMS)


@pytest.mark.parametrize("members", [[], JUNK])
def test_a_set_without_a_usable_key_is_refused(members: list[object]) -> None:
    """It could verify nothing, so it must not replace a set that can."""
    with pytest.raises(UnusableKeySetError, match="no usable key"):
        parsed(*members)


def test_a_set_for_other_algorithms_is_a_set(keys: dict[str, SigningKey]) -> None:
    """It can verify nothing here, but it is no fault of the provider's: it may replace another."""
    found = parsed(*JUNK, keys["RS256"].jwk(), allowed=frozenset(("ES256",)))
    assert found.keys == ()
    assert found.select(keys["RS256"].kid, "ES256") == found.select(None, "ES256") == ()
    assert found.skipped[-1] == "its algorithm is not allowed"


@pytest.mark.parametrize("changes", [{"use": "enc"}, {"alg": "RSA-OAEP"}, {"d": "AQAB"}])
def test_a_set_for_other_purposes_is_not(
    changes: dict[str, str], keys: dict[str, SigningKey]
) -> None:
    """A key that could never verify a token says nothing in favour of its set."""
    with pytest.raises(UnusableKeySetError, match="no usable key"):
        parsed(keys["RS256"].jwk(**changes), allowed=frozenset(("ES256",)))


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
        ["ML-DSA-44"],
        ["Ed448"],
        "RS256",
    ],
    ids=repr,
)
def test_other_algorithms_cannot_be_allowed(names: list[str]) -> None:
    """Symmetric, absent, misspelt and unknown ones, and none at all, are a `ValueError`."""
    with pytest.raises(ValueError, match=r"\Aallowed_algorithms: .*ES256.*RS256"):
        checked_algorithms(names)


def test_every_algorithm_but_one_is_of_pyjwt() -> None:
    """What can be allowed is what PyJWT verifies asymmetrically, and RFC 9864's `Ed25519`."""
    theirs = {name for name in get_default_algorithms() if not name.startswith(("HS", "none"))}
    misspelt_es512 = {"ES521"}
    assert theirs ^ ALGORITHMS == {"Ed25519"} | misspelt_es512


def test_nothing_shows_key_material(keys: dict[str, SigningKey]) -> None:
    """A `repr` names keys and reasons, and shows no number of any key."""
    found = parsed(keys["RS256"].jwk(), keys["ES256"].jwk(d="AQAB"), rsa_jwk(1 << 1023 | 1))
    shown = repr(found)
    assert shown == (
        f"KeySet(keys=[Key(kid={keys['RS256'].kid!r}, alg='RS256')], skipped=["
        "'it contains private members', 'its RSA modulus is outside 2048-8192 bits'])"
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
