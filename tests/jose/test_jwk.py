"""One JWK becomes the keys that may verify a token, or is left out, with a reason."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import pytest
from jwt.algorithms import get_default_algorithms

from auth_jwks._jose.keys import ALGORITHMS, UnusableKeySetError, parse_key_set
from auth_jwks.testing import SigningKey
from tests.jose.sets import JUNK, OTHERS, RSA, parsed, reason, rsa_jwk, signed


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
        ("Ed448", ["Ed448", "EdDSA"]),
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
    ("name", "alg"),
    [
        ("EdDSA", "EdDSA"),
        ("EdDSA", "Ed25519"),
        ("Ed448", "EdDSA"),
        ("Ed448", "Ed448"),
        ("RS256", "PS384"),
    ],
)
def test_a_key_with_alg_serves_that_alone(name: str, alg: str, keys: dict[str, SigningKey]) -> None:
    """A named `alg` binds the key (RFC 7517 §4.4), even where `EdDSA` names the same check."""
    assert [key.alg for key in parsed(keys[name].jwk(alg=alg)).keys] == [alg]


@pytest.mark.parametrize(("name", "other"), [("Ed448", "Ed25519"), ("Ed25519", "Ed448")])
def test_the_name_of_a_curve_is_never_the_others(
    name: str, other: str, keys: dict[str, SigningKey]
) -> None:
    """RFC 8037 has two curves under one name; each of RFC 9864's names is one of them only."""
    assert [key.alg for key in parsed(keys[name].jwk(alg="EdDSA")).keys] == ["EdDSA"]
    with pytest.raises(UnusableKeySetError):
        parsed(keys[name].jwk(alg=other))


@pytest.mark.parametrize(
    ("name", "alg"),
    [
        ("ES256", "RS256"),
        ("ES256", "ES384"),
        ("ES256", "ES256K"),
        ("ES256", "HS256"),
        ("ES256", "none"),
        ("ES256", "es256"),
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
    unfit = "its alg or crv does not fit its kty"
    reasons = [text.partition(" (kid ")[0] for text in found.skipped]
    assert reasons == [
        *["not an object"] * 4, *[unsupported] * 3, unfit, unsupported, *[broken] * 3,
    ]  # fmt: skip


@pytest.mark.parametrize("member", ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"])
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
        ({"use": "jwt-svid"}, "its use is not sig"),
        ({"use": ["sig"]}, "its use is not sig"),
        ({"key_ops": ["sign"]}, "its key_ops lack verify"),
        ({"key_ops": ["encrypt", "wrapKey"]}, "its key_ops lack verify"),
        ({"key_ops": [None]}, "its key_ops lack verify"),
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


@pytest.mark.parametrize("name", ["RS256", "ES256", "EdDSA"])
@pytest.mark.parametrize(
    "member",
    ["alg", "use", "key_ops", "x5c", "x5t", "d", "p", "q", "dp", "dq", "qi", "oth", "k"],
)
@pytest.mark.parametrize("nothing", [None, "", [], {}], ids=repr)
def test_what_is_null_or_empty_says_nothing(
    name: str, member: str, nothing: object, keys: dict[str, SigningKey]
) -> None:
    """As if it were absent: many serialisers write every member that a key could have."""
    jwk = keys[name].jwk(**{member: None})
    found = parsed(jwk | {member: nothing})
    assert found.skipped == ()
    assert [(key.kid, key.alg) for key in found.keys] == [
        (key.kid, key.alg) for key in parsed(jwk).keys
    ]
    assert all(key.verify(*signed(keys[name], key.alg)) for key in found.keys)


@pytest.mark.parametrize("nothing", [None, [], {}], ids=repr)
def test_a_kid_that_says_nothing_is_none(nothing: object, es256: SigningKey) -> None:
    """But for the empty string, which a token could name."""
    assert [key.kid for key in parsed(es256.jwk() | {"kid": nothing}).keys] == [None]


@pytest.mark.parametrize("nothing", [None, "", [], {}], ids=repr)
@pytest.mark.parametrize(
    ("member", "why"),
    [
        ("kty", "its key type is not supported"),
        ("crv", "its alg or crv does not fit its kty"),
        ("x", "its key material is malformed"),
    ],
)
def test_what_a_key_needs_must_be_stated(
    member: str, why: str, nothing: object, es256: SigningKey
) -> None:
    """Null or empty is as good as absent there, too."""
    assert reason(es256, es256.jwk(kid="bad") | {member: nothing}) == why


@pytest.mark.parametrize("value", ["A", 0, False, [0], [{}]], ids=repr)
def test_any_value_makes_a_key_private(value: object, es256: SigningKey) -> None:
    """Whatever it is: only nothing is no private member."""
    assert reason(es256, es256.jwk(kid="bad", d=value)) == "it contains private members"


@pytest.mark.parametrize("crv", ["P-256", "Ed25519", "junk", 7, None])
def test_a_stray_curve_of_an_rsa_key_is_ignored(crv: object, keys: dict[str, SigningKey]) -> None:
    """It is no member of an RSA key (RFC 7517 §4)."""
    [key] = parsed(keys["RS256"].jwk() | {"crv": crv}).keys
    assert key.verify(*signed(keys["RS256"], "RS256"))


@pytest.mark.parametrize("bits", [2048, 3072, 8192])
def test_rsa_keys_of_reasonable_size_are_used(bits: int) -> None:
    """From 2048 (RFC 7518 §3.3) to 8192 bits."""
    assert len(parsed(rsa_jwk(1 << (bits - 1) | 1, kid="a", alg="RS256")).keys) == 1


@pytest.mark.parametrize(("bits", "usable"), [(17, 1), (64, 1), (65, 0), (2047, 0)])
def test_long_rsa_exponents_are_refused(bits: int, usable: int, es256: SigningKey) -> None:
    """A check takes as long as the exponent is; nobody publishes one above 32 bits."""
    exponent = (1 << (bits - 1)) | 1
    raw = exponent.to_bytes((bits + 7) // 8)
    member = rsa_jwk(1 << 2047 | 1, kid="a", alg="RS256", e=urlsafe_b64encode(raw).decode())
    found = parsed(member, es256.jwk())
    assert len(found.keys) == 1 + usable
    if not usable:
        assert found.skipped == ("its RSA exponent is longer than 64 bits (kid 'a')",)


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
        ("ES256", {"x": "AQ" + "A" * 42}),
        ("ES256", {"x": "AQ" * 9999}),
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


def with_leading_zeros(number: str, change: int) -> str:
    """Return a number with so many leading zero octets more, or fewer."""
    raw = urlsafe_b64decode(number + "==")
    raw = bytes(change) + raw if change > 0 else raw[-change:]
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def key_with_zeros(algorithm: str) -> tuple[SigningKey, dict[str, Any]]:
    """Return a key of which a coordinate begins with a zero octet, and its JWK."""
    key = SigningKey.generate(algorithm)
    while not (key.jwk()["x"].startswith("AA") or key.jwk()["y"].startswith("AA")):
        key = SigningKey.generate(algorithm)
    return key, key.jwk()


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "ES512", "ES256K"])
@pytest.mark.parametrize("zeros", [1, 2, 100])
@pytest.mark.parametrize("names", ["x", "y", "xy"])
def test_leading_zeros_too_many_are_stripped(
    algorithm: str, zeros: int, names: str, keys: dict[str, SigningKey]
) -> None:
    """Java's integers have one before the sign bit; the number is the same."""
    jwk = keys[algorithm].jwk()
    changes = {name: with_leading_zeros(jwk[name], zeros) for name in names}
    [key] = parsed(jwk | changes).keys
    assert key.verify(*signed(keys[algorithm], algorithm))


@pytest.mark.parametrize("algorithm", ["ES256", "ES512", "ES256K"])
def test_leading_zeros_too_few_are_added(algorithm: str) -> None:
    """A number that is written without them is shorter than the field of its curve."""
    signer, jwk = key_with_zeros(algorithm)
    short = {name: with_leading_zeros(jwk[name], -1) for name in "xy" if jwk[name].startswith("AA")}
    [key] = parsed(jwk | short).keys
    assert key.verify(*signed(signer, algorithm))


def test_an_okp_key_is_no_number(keys: dict[str, SigningKey], es256: SigningKey) -> None:
    """Its octets have one length, with no zeros to spare (RFC 8037 §2)."""
    jwk = keys["EdDSA"].jwk(kid="bad")
    why = reason(es256, jwk | {"x": with_leading_zeros(jwk["x"], 1)})
    assert why == "its key material is malformed"


@pytest.mark.parametrize("names", ["n", "e", "ne"])
def test_leading_zeros_of_an_rsa_number_do_not_count(
    names: str, keys: dict[str, SigningKey]
) -> None:
    """Nor do they make its modulus longer."""
    jwk = keys["RS256"].jwk()
    [key] = parsed(jwk | {name: with_leading_zeros(jwk[name], 1) for name in names}).keys
    assert key.verify(*signed(keys["RS256"], "RS256"))


@pytest.mark.parametrize(
    "crv", [None, "", "P-384", "P-512", "secp256r1", "Ed25519", 256, ["P-256"]]
)
def test_a_curve_that_does_not_fit_is_refused(crv: object, es256: SigningKey) -> None:
    """Another curve, or none, with this `alg`."""
    assert (
        reason(es256, es256.jwk(kid="bad") | {"crv": crv}) == "its alg or crv does not fit its kty"
    )


@pytest.mark.parametrize("kid", [1, True, 0, ["a"], {"a": "b"}, "a" * 257])
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
