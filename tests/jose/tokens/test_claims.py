"""A token is taken apart and judged: good ones give their claims, bad ones PyJWT's exceptions.

Whatever is refused here must also leave nothing of the token in the exception.
"""

import dataclasses
import hashlib
import hmac
import json
import traceback
from base64 import b64encode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Collection
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from jwt.exceptions import InvalidJTIError, InvalidSubjectError

from auth_jwks._jose.keys import KeySet, parse_key_set
from auth_jwks._jose.tokens import MAX_TOKEN, Expected, compact, parse_token, read_claims, signer
from auth_jwks.testing import SigningKey

NOW = 1_800_000_000
CLAIMS = {
    "iss": "https://issuer.example",
    "aud": "https://api.example",
    "sub": "0123456789abcdef",
    "iat": NOW,
    "exp": NOW + 300,
}
EXPECTED = Expected(
    leeway=30.0,
    required=("exp", "iat", "sub"),
    issuer="https://issuer.example",
    audience=frozenset(("https://api.example", "https://web.example")),
)
ALLOWED = frozenset(("RS256", "PS256", "ES256", "EdDSA"))
INFINITE = float("inf")
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
BASE64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

Refusal = type[jwt.InvalidTokenError]


@pytest.fixture(scope="session")
def rsa() -> SigningKey:
    """Return a key that takes time to find."""
    return SigningKey.generate("RS256")


@pytest.fixture(scope="session")
def es256() -> SigningKey:
    """Return the key that signs, unless a test says otherwise."""
    return SigningKey.generate("ES256")


@pytest.fixture(scope="session")
def keys(rsa: SigningKey, es256: SigningKey) -> KeySet:
    """Return what the provider publishes; the RSA key fits several algorithms."""
    members = [rsa.jwk(alg=None), es256.jwk(), es256.jwk(kid=None)]
    return parse_key_set(json.dumps({"keys": members}).encode(), ALLOWED)


def verified(token: object, keys: KeySet, expected: Expected = EXPECTED) -> dict[str, Any]:
    """Return the claims of a token, the whole way."""
    parsed = parse_token(compact(token), ALLOWED)
    signer(parsed, keys.select(parsed.kid, parsed.alg))
    return read_claims(parsed.payload, expected, NOW)


def refuse(token: object, refusal: Refusal, keys: KeySet, expected: Expected = EXPECTED) -> str:
    """Check that a token is refused with exactly this class, and gives nothing of itself away."""
    with pytest.raises(jwt.InvalidTokenError) as caught:
        verified(token, keys, expected)
    error = caught.value
    assert type(error) is refusal
    assert error.__cause__ is None
    assert error.__context__ is None
    said = "".join([*traceback.format_exception(error), repr(error.args)])
    written = contents(token)
    assert [part for part in slices(said) if any(part in text for text in written)] == []
    return str(error)


def slices(text: str) -> set[str]:
    """Return all that is 12 characters long in a text, indentation aside."""
    return {text[start : start + 12] for start in range(len(text) - 11)} - {" " * 12}


def contents(token: object) -> list[str]:
    """Return the beginning of a token as text, and what its segments decode to."""
    text = token.decode() if isinstance(token, bytes) else str(token)
    return [text[:65_536], *map(decoded, text[:65_536].split(".", 3))]


def decoded(segment: str) -> str:
    """Return what can be made of a segment, by the most forgiving decoder."""
    try:
        return urlsafe_b64decode(segment.encode(errors="replace") + b"===").decode("latin-1")
    except ValueError:
        return ""


def base64url(raw: bytes) -> str:
    """Return the canonical form (RFC 7515 §2)."""
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def nested(levels: int) -> bytes:
    """Return a member that makes an object of so many levels."""
    return b'"a":' + b"[" * (levels - 1) + b"]" * (levels - 1)


@pytest.mark.parametrize("algorithm", ["RS256", "PS256"])
def test_a_good_token_gives_its_claims(algorithm: str, rsa: SigningKey, keys: KeySet) -> None:
    """All of them, as they were signed, by whichever algorithm fits the key."""
    claims = CLAIMS | {"scope": ["é", {"a": None}], "nbf": NOW}
    token = dataclasses.replace(rsa, algorithm=algorithm).sign(claims)
    assert verified(token, keys) == claims


def test_each_call_gives_claims_of_its_own(es256: SigningKey, keys: KeySet) -> None:
    """What one caller does to them, another doesn't see."""
    token = es256.sign(CLAIMS)
    verified(token, keys).clear()
    assert verified(token, keys) == CLAIMS


@pytest.mark.parametrize("prefix", ["Bearer ", "bearer ", "BEARER ", "bEaReR   "])
@pytest.mark.parametrize("suffix", ["", "  "])
def test_the_scheme_is_stripped(prefix: str, suffix: str, es256: SigningKey, keys: KeySet) -> None:
    """`Bearer `, whatever its case (RFC 9110 §11.1), and the spaces around what follows."""
    assert verified(prefix + es256.sign(CLAIMS) + suffix, keys) == CLAIMS


@pytest.mark.parametrize(
    "pattern",
    ["Bearer{}", "Bearer\t{}", " Bearer {}", "Basic {}", "Bearer Bearer {}", "Bearer: {}",
     "Bearer \t{}", "Bearer {}\n", "Bearer {}\u3000",
     "{} ", " {}", "{}\n", "\n{}", "{}\r\n", "\t{}", "{}\x00", "{}é", "{}\ud800", "\ufeff{}",
     "{}.", ".{}", "{}.e30", "{0}.{0}", "{},{}", '"{}"', "{}\u0131", "{}=", "{}=="],
    ids=repr,
)  # fmt: skip
def test_anything_around_a_token_is_refused(pattern: str, es256: SigningKey, keys: KeySet) -> None:
    """Other schemes, white space, what is not ASCII, more segments."""
    token = es256.sign(CLAIMS)
    refuse(pattern.format(token, token), jwt.DecodeError, keys)


@pytest.mark.parametrize("convert", [str.encode, type("Text", (str,), {})])
def test_only_a_string_is_a_token(
    convert: Callable[[str], object], es256: SigningKey, keys: KeySet
) -> None:
    """Neither bytes nor a subclass, whose methods could say anything."""
    refuse(convert(es256.sign(CLAIMS)), jwt.DecodeError, keys)


@pytest.mark.parametrize(
    "token",
    [None, 1, True, [], {}, ["a.b.c"], object()],
    ids=["None", "1", "True", "[]", "{}", "list", "object"],
)
def test_other_objects_are_no_tokens(token: object, keys: KeySet) -> None:
    """Nothing is tried with them."""
    refuse(token, jwt.DecodeError, keys)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "Bearer ",
        "." * 1_000_000,
        "e30." + "." * 1_000_000,
        "a" * (8 << 20),
        "a." * (4 << 20),
        "a" * MAX_TOKEN + "..",
        "Bearer " + "a" * MAX_TOKEN + "..",
        "Bearer " + " " * (8 << 20),
        "a",
        "a.b",
        "a.b.c.d",
        "a.b.c.d.e",
        '{"payload":"e30","signatures":[{"protected":"e30","signature":"AA"}]}',
        "é..",
        "\ud800..",
    ],
    ids=lambda token: f"{token[:12]!r}, {len(token)} characters",
)
def test_a_look_from_the_outside_is_enough(token: str, keys: KeySet) -> None:
    """Size, alphabet and number of segments are judged before anything is decoded."""
    with pytest.raises(jwt.DecodeError):
        compact(token)
    refuse(token, jwt.DecodeError, keys)


@pytest.mark.parametrize("prefix", ["", "Bearer "])
def test_a_token_has_at_most_16_kib(prefix: str) -> None:
    """So long, without the scheme, and not a character more."""
    longest = "a" * (16_384 - 2) + ".."
    assert compact(prefix + longest) == longest
    with pytest.raises(jwt.DecodeError, match="longer than 16384 characters"):
        compact(prefix + "a" + longest)


@pytest.mark.parametrize(
    "alg",
    ["none", "None", "NONE", "nOnE", "", "HS256", "HS384", "HS512", "es256", "Es256", "ES256 ",
     "ES256\n", "ES384", "RS512", "Ed25519", "ES521", "dir", "RSA-OAEP", None, True, 1, 1e400,
     [], ["ES256"], {"ES256": 1}],
    ids=repr,
)  # fmt: skip
def test_algorithms_that_are_not_allowed_are_refused(
    alg: object, es256: SigningKey, keys: KeySet
) -> None:
    """`alg` is a string of the allow-list, to the letter, or no key is ever looked up."""
    header = json.dumps({"alg": alg, "kid": es256.kid}).replace("Infinity", "1e400")
    token = es256.sign(CLAIMS, headers=header.encode())
    refuse(token, jwt.InvalidAlgorithmError, keys)
    refuse(token.rpartition(".")[0] + ".", jwt.InvalidAlgorithmError, keys)


def test_a_header_without_alg_is_refused(es256: SigningKey, keys: KeySet) -> None:
    """The algorithm is never guessed."""
    refuse(es256.sign(CLAIMS, headers={"alg": None}), jwt.InvalidAlgorithmError, keys)


@pytest.mark.parametrize(
    "secret",
    [
        lambda public, _jwk: public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        lambda public, _jwk: public.public_bytes(Encoding.PEM, PublicFormat.PKCS1),
        lambda public, _jwk: public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        lambda public, _jwk: public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
        lambda _public, jwk: json.dumps(jwk).encode(),
        lambda _public, jwk: json.dumps({"keys": [jwk]}).encode(),
        lambda _public, jwk: jwk["n"].encode(),
        lambda _public, jwk: urlsafe_b64decode(jwk["n"] + "=="),
        lambda _public, _jwk: b"",
    ],
    ids=["PEM", "PKCS#1", "DER", "OpenSSH", "JWK", "JWK Set", "base64 of n", "n", "empty"],
)
def test_a_public_key_is_no_shared_secret(
    secret: Callable[[Any, dict[str, Any]], bytes], rsa: SigningKey, keys: KeySet
) -> None:
    """An HMAC with what everybody can read, under whatever name it comes."""
    for alg, refusal in (
        ("HS256", jwt.InvalidAlgorithmError),
        ("RS256", jwt.InvalidSignatureError),
    ):
        signed = rsa.sign(CLAIMS, headers={"alg": alg}).rpartition(".")[0]
        known = secret(rsa.private_key.public_key(), rsa.jwk())
        forged = hmac.digest(known, signed.encode(), hashlib.sha256)
        refuse(f"{signed}.{base64url(forged)}", refusal, keys)


def test_a_signature_of_another_algorithm_is_refused(
    rsa: SigningKey, es256: SigningKey, keys: KeySet
) -> None:
    """The header's `alg` decides how it is checked, and which keys may."""
    for key, alg in ((rsa, "PS256"), (rsa, "ES256"), (es256, "RS256"), (es256, "EdDSA")):
        refuse(key.sign(CLAIMS, headers={"alg": alg}), jwt.InvalidSignatureError, keys)


@pytest.mark.parametrize(
    ("headers", "refusal"),
    [
        ({"crit": ["b64"]}, jwt.InvalidTokenError),
        ({"crit": ["b64"], "b64": True}, jwt.InvalidTokenError),
        ({"crit": ["b64", "exp"], "b64": True}, jwt.InvalidTokenError),
        ({"crit": ["exp"], "exp": NOW}, jwt.InvalidTokenError),
        ({"crit": []}, jwt.InvalidTokenError),
        ({"crit": "b64"}, jwt.InvalidTokenError),
        ({"crit": {"b64": True}}, jwt.InvalidTokenError),
        ({"crit": [1, ["b64"], None]}, jwt.InvalidTokenError),
        ({"crit": False}, jwt.InvalidTokenError),
        ({"b64": True}, jwt.InvalidTokenError),
        ({"b64": 0}, jwt.InvalidTokenError),
        ({"b64": "false"}, jwt.InvalidTokenError),
        ({"b64": False}, jwt.DecodeError),
        ({"b64": False, "crit": ["b64"]}, jwt.DecodeError),
    ],
    ids=repr,
)
def test_extensions_are_refused(
    headers: dict[str, object], refusal: Refusal, es256: SigningKey, keys: KeySet
) -> None:
    """None is understood: `crit` (RFC 7515 §4.1.11) and `b64` (RFC 7797) end it."""
    refuse(es256.sign(CLAIMS, headers=headers), refusal, keys)


@pytest.mark.parametrize(
    "crit", [b"null", b'"b64"', b"[]", b'["b64"]', b'["b64","b64"]', b'["exp"]']
)
def test_a_detached_payload_is_refused(crit: bytes, es256: SigningKey, keys: KeySet) -> None:
    """There is nothing to verify; a well-formed one is told apart, as PyJWT does."""
    refusal = jwt.DecodeError if crit.startswith(b'["b64"') else jwt.InvalidTokenError
    header = b'{"alg":"ES256","b64":false,"crit":%s}' % crit
    refuse(es256.sign(b"", headers=header), refusal, keys)


def test_an_extension_may_be_null_and_is_one_still(es256: SigningKey, keys: KeySet) -> None:
    """The member counts, whatever its value."""
    for member in (b'"crit":null', b'"b64":null'):
        refuse(
            es256.sign(CLAIMS, headers=b'{"alg":"ES256",%s}' % member), jwt.InvalidTokenError, keys
        )


@pytest.mark.parametrize(
    "kid", ["1", "true", "null", "1e400", "[]", '["a"]', "{}", '"%s"' % ("a" * 257)]
)
def test_a_senseless_kid_is_refused(kid: str, es256: SigningKey, keys: KeySet) -> None:
    """A string of at most 256 characters, or none."""
    header = f'{{"alg":"ES256","kid":{kid}}}'
    refuse(es256.sign(CLAIMS, headers=header.encode()), jwt.InvalidTokenError, keys)


@pytest.mark.parametrize(
    "kid",
    ["a" * 256, "", "../../etc/passwd", "' OR 1=1 --", "a\r\nb", "\x00", "\ud800", "*", "\x1b[31m"],
    ids=ascii,
)  # fmt: skip
def test_any_other_kid_is_just_unknown(kid: str, es256: SigningKey, keys: KeySet) -> None:
    """It selects no key; which error that is, is not for this module to say."""
    parsed = parse_token(es256.sign(CLAIMS, headers={"kid": kid}), ALLOWED)
    assert parsed.kid == kid
    assert keys.select(parsed.kid, parsed.alg) == ()


def test_a_token_may_do_without_a_kid(rsa: SigningKey, keys: KeySet) -> None:
    """Then the one key that fits verifies it."""
    assert verified(rsa.sign(CLAIMS, headers={"kid": None}), keys) == CLAIMS


def test_keys_that_a_token_brings_are_not_read(es256: SigningKey, keys: KeySet) -> None:
    """Neither a key nor an address of one: RFC 8725 §3.10."""
    eve = SigningKey.generate("ES256", kid=es256.kid)
    own = {
        "jwk": eve.jwk(),
        "jku": "https://eve.example/jwks",
        "x5u": "https://eve.example/cert",
        "x5c": [b64encode(b"certificate").decode()],
        "x5t": "AAAA",
    }
    refuse(eve.sign(CLAIMS, headers=own), jwt.InvalidSignatureError, keys)
    assert verified(es256.sign(CLAIMS, headers=own), keys) == CLAIMS
    for junk in ("", 1, ["junk", {}]):
        headers = dict.fromkeys(own, junk)
        assert verified(es256.sign(CLAIMS, headers=headers), keys) == CLAIMS


STRICT_JSON_FAULTS = {
    "nothing": b"",
    "an array": b'[{"a":1}]',
    "a string": b'"alg"',
    "a number": b"1",
    "null": b"null",
    "cut off": b'{"a":1',
    "trailing text": b'{"a":1}x',
    "two objects": b"{}{}",
    "a byte order mark": b'\xef\xbb\xbf{"a":1}',
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "UTF-16 without a mark": '{"a":1}'.encode("utf-16-le"),
    "UTF-32": '{"a":1}'.encode("utf-32"),
    "Latin-1": '{"a":"é"}'.encode("latin-1"),
    "an encoded surrogate": b'{"a":"\xed\xa0\x80"}',
    "NaN": b'{"a":NaN}',
    "Infinity": b'{"a":[-Infinity]}',
    "5000 digits": b'{"a":%s}' % (b"9" * 5000),
    "65 levels": b"{%s}" % nested(65),
    "3000 levels": b"{%s}" % nested(3000),
    "an unterminated string": b'{"a":"' + b"[{" * 2000,
    "an unterminated escape": b'{"a":"' + b"[{" * 2000 + b"\\",
    "brackets without end": b"[" * 9000,
    "brackets that only close": b'{"a":1' + b"]" * 9000,
}


@pytest.mark.parametrize("fault", STRICT_JSON_FAULTS)
def test_a_header_is_a_strict_json_object(fault: str, es256: SigningKey, keys: KeySet) -> None:
    """UTF-8, bounded, well-formed, nothing but an object."""
    raw = STRICT_JSON_FAULTS[fault]
    for header in (raw, raw.replace(b'{"a"', b'{"alg":"ES256","a"', 1)):
        refuse(es256.sign(CLAIMS, headers=header), jwt.DecodeError, keys)


@pytest.mark.parametrize("fault", STRICT_JSON_FAULTS)
def test_a_payload_is_a_strict_json_object(fault: str, es256: SigningKey, keys: KeySet) -> None:
    """However good its signature is."""
    good = json.dumps(CLAIMS).encode()
    raw = STRICT_JSON_FAULTS[fault]
    for payload in (raw, raw.replace(b'{"a"', good[:-1] + b',"a"', 1)):
        refuse(es256.sign(payload), jwt.DecodeError, keys)


@pytest.mark.parametrize(
    "payload",
    [
        b'"a":"%s"' % (b"[{" * 200),
        b'"a":"\\"%s"' % (b"[{" * 200),
        b'"a":[%s[]]' % (b'{"]":"["},' * 200),
        nested(64),
        b'"a":1e400,"a":-1e400',
        b'"a":%s' % (b"9" * 4000),
        b'"a":"\\ud800"',
    ],
)
def test_odd_but_good_json_is_read(payload: bytes, es256: SigningKey, keys: KeySet) -> None:
    """Brackets in strings don't nest, and 64 levels are allowed."""
    good = json.dumps(CLAIMS).encode()[:-1] + b"," + payload + b"}"
    assert verified(es256.sign(good), keys) == json.loads(good)


@pytest.mark.parametrize(
    "header",
    [
        b'{"alg":"none","alg":"ES256"}',
        b'{"alg":"ES256","alg":"ES256"}',
        b'{"alg":"ES256","\\u0061lg":"ES256"}',
        b'{"alg":"ES256","kid":"a","kid":"b"}',
        b'{"alg":"ES256","a":{"b":1,"b":1}}',
    ],
)
def test_duplicate_header_members_are_refused(
    header: bytes, es256: SigningKey, keys: KeySet
) -> None:
    """Two parsers must not read two headers (RFC 7515 §4)."""
    refuse(es256.sign(CLAIMS, headers=header), jwt.DecodeError, keys)


def test_the_last_of_duplicate_claims_counts(es256: SigningKey, keys: KeySet) -> None:
    """As RFC 7519 §4 allows, and any JSON parser does."""
    payload = b'{"sub":"eve",' + json.dumps(CLAIMS).encode()[1:]
    assert verified(es256.sign(payload), keys) == CLAIMS


@pytest.mark.parametrize("segment", [0, 1, 2])
@pytest.mark.parametrize(
    "junk", ["+", "/", "=", "!", "%", "~", " ", "\n", "\t", "\\", ",", "\x7f"], ids=repr
)
@pytest.mark.parametrize("place", [0, 5, -1])
def test_other_alphabets_are_refused(
    segment: int, junk: str, place: int, es256: SigningKey, keys: KeySet
) -> None:
    """base64url knows 64 characters; none is skipped, and none comes from base64."""
    segments = [list(one) for one in es256.sign(CLAIMS).split(".")]
    segments[segment][place] = junk
    refuse(".".join(map("".join, segments)), jwt.DecodeError, keys)


@pytest.mark.parametrize("segment", [0, 1, 2])
@pytest.mark.parametrize("spaces", [0, 1, 2])
def test_other_lengths_are_refused(segment: int, spaces: int, keys: KeySet) -> None:
    """Padding, and a last character that is no whole byte."""
    raw = [b'{"alg":"ES256"}', b"{}", b"signature"]
    raw[segment] += b" " * spaces
    segments = list(map(base64url, raw))
    whole = segments[segment]
    refuse(".".join(segments), jwt.InvalidSignatureError, keys)
    for added in ("=", "==", "===", "====", "A" * (4 - (len(whole) - 1) % 4)):
        segments[segment] = whole + added
        refuse(".".join(segments), jwt.DecodeError, keys)


@pytest.mark.parametrize(("start", "endings"), [("A", 4), ("AA", 16)])
def test_only_the_canonical_form_is_read(start: str, endings: int, keys: KeySet) -> None:
    """The bits that carry nothing are zero, so that one token has one spelling."""
    segments = {start + last: urlsafe_b64decode(start + last + "==") for last in BASE64URL}
    header = base64url(b'{"alg":"ES256"}')
    canonical = {segment for segment, raw in segments.items() if base64url(raw) == segment}
    assert len(canonical) == endings
    for segment, raw in segments.items():
        if segment in canonical:
            assert parse_token(f"{header}.{segment}.", ALLOWED).payload == raw
        else:
            refuse(f"{header}.{segment}.", jwt.DecodeError, keys)


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"exp": "1800000300"}, jwt.DecodeError),
        ({"exp": True}, jwt.DecodeError),
        ({"exp": False}, jwt.DecodeError),
        ({"exp": []}, jwt.DecodeError),
        ({"exp": [NOW + 300]}, jwt.DecodeError),
        ({"exp": {}}, jwt.DecodeError),
        ({"exp": ""}, jwt.DecodeError),
        ({"exp": INFINITE}, jwt.DecodeError),
        ({"exp": -INFINITE}, jwt.DecodeError),
        ({"exp": None}, jwt.MissingRequiredClaimError),
        ({"exp": -1}, jwt.ExpiredSignatureError),
        ({"exp": 0}, jwt.ExpiredSignatureError),
        ({"exp": 1.5}, jwt.ExpiredSignatureError),
        ({"nbf": "1800000000"}, jwt.DecodeError),
        ({"nbf": True}, jwt.DecodeError),
        ({"nbf": None}, jwt.DecodeError),
        ({"nbf": []}, jwt.DecodeError),
        ({"nbf": INFINITE}, jwt.DecodeError),
        ({"nbf": 10**400}, jwt.ImmatureSignatureError),
        ({"nbf": 1e308}, jwt.ImmatureSignatureError),
        ({"iat": "1800000000"}, jwt.InvalidIssuedAtError),
        ({"iat": True}, jwt.InvalidIssuedAtError),
        ({"iat": []}, jwt.InvalidIssuedAtError),
        ({"iat": {}}, jwt.InvalidIssuedAtError),
        ({"iat": INFINITE}, jwt.InvalidIssuedAtError),
        ({"iat": None}, jwt.MissingRequiredClaimError),
        ({"iat": 10**4000}, jwt.ImmatureSignatureError),
        ({"sub": None}, jwt.MissingRequiredClaimError),
        ({"sub": 1}, InvalidSubjectError),
        ({"sub": ["0123456789abcdef"]}, InvalidSubjectError),
        ({"sub": False}, InvalidSubjectError),
        ({"jti": None}, InvalidJTIError),
        ({"jti": 1}, InvalidJTIError),
        ({"jti": {}}, InvalidJTIError),
        ({"iss": None}, jwt.InvalidIssuerError),
        ({"iss": ""}, jwt.InvalidIssuerError),
        ({"iss": "https://issuer.exampl"}, jwt.InvalidIssuerError),
        ({"iss": "https://issuer.example/"}, jwt.InvalidIssuerError),
        ({"iss": "HTTPS://issuer.example"}, jwt.InvalidIssuerError),
        ({"iss": "https://issuer.example.eve.example"}, jwt.InvalidIssuerError),
        ({"iss": ["https://issuer.example"]}, jwt.InvalidIssuerError),
        ({"iss": {"https://issuer.example": 1}}, jwt.InvalidIssuerError),
        ({"iss": 1}, jwt.InvalidIssuerError),
        ({"aud": None}, jwt.MissingRequiredClaimError),
        ({"aud": ""}, jwt.MissingRequiredClaimError),
        ({"aud": []}, jwt.MissingRequiredClaimError),
        ({"aud": {}}, jwt.MissingRequiredClaimError),
        ({"aud": 0}, jwt.MissingRequiredClaimError),
        ({"aud": 1}, jwt.InvalidAudienceError),
        ({"aud": True}, jwt.InvalidAudienceError),
        ({"aud": {"https://api.example": 1}}, jwt.InvalidAudienceError),
        ({"aud": "https://api.exampl"}, jwt.InvalidAudienceError),
        ({"aud": "https://api.example/"}, jwt.InvalidAudienceError),
        ({"aud": "https://API.example"}, jwt.InvalidAudienceError),
        ({"aud": ["https://eve.example"]}, jwt.InvalidAudienceError),
        ({"aud": ["https://api.example", 1]}, jwt.InvalidAudienceError),
        ({"aud": [["https://api.example"]]}, jwt.InvalidAudienceError),
        ({"aud": [None]}, jwt.InvalidAudienceError),
    ],
    ids=lambda value: str(value)[:40],
)
def test_wrong_claims_are_refused(
    changes: dict[str, object], refusal: Refusal, es256: SigningKey, keys: KeySet
) -> None:
    """Each by the class that PyJWT has for it; no type is guessed, and nothing matches in part."""
    payload = json.dumps(CLAIMS | changes).replace("Infinity", "1e400")
    refuse(es256.sign(payload.encode()), refusal, keys)


@pytest.mark.parametrize("name", ["exp", "iat", "sub", "iss", "aud"])
def test_a_missing_claim_is_named(name: str, es256: SigningKey, keys: KeySet) -> None:
    """What is required, and what is checked, must be there."""
    token = es256.sign({other: value for other, value in CLAIMS.items() if other != name})
    said = refuse(token, jwt.MissingRequiredClaimError, keys)
    assert said == f'Token is missing the "{name}" claim'


def test_any_claim_can_be_required(es256: SigningKey, keys: KeySet) -> None:
    """Present is enough, null is not."""
    expected = dataclasses.replace(EXPECTED, required=("exp", "scope"))
    claims: dict[str, object] = {**CLAIMS, "scope": 0}
    assert verified(es256.sign(claims), keys, expected) == claims
    for token in (es256.sign(CLAIMS), es256.sign(CLAIMS | {"scope": None})):
        refuse(token, jwt.MissingRequiredClaimError, keys, expected)


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "https://web.example"},
        {"aud": ["https://api.example"]},
        {"aud": ["https://eve.example", "https://web.example"]},
        {"exp": NOW + 300.5, "iat": NOW - 0.5, "nbf": 1e9},
        {"exp": 10**400, "nbf": 0, "iat": -1},
        {"sub": "", "jti": ""},
        {"typ": 1, "azp": None, "exp ": "junk"},
    ],
)
def test_right_claims_are_returned(
    changes: dict[str, object], es256: SigningKey, keys: KeySet
) -> None:
    """One audience of several is enough, fractions are numbers, and the rest is the caller's."""
    assert verified(es256.sign(CLAIMS | changes), keys) == CLAIMS | changes


@pytest.mark.parametrize("value", [None, "https://eve.example", ["https://eve.example"], 1, []])
def test_what_is_not_expected_is_not_checked(
    value: object, es256: SigningKey, keys: KeySet
) -> None:
    """Without an issuer or an audience to compare with, those claims may say anything."""
    expected = dataclasses.replace(EXPECTED, issuer=None, audience=None)
    claims = CLAIMS | {"iss": value, "aud": value}
    assert verified(es256.sign(claims), keys, expected) == claims
    del claims["iss"], claims["aud"]
    assert verified(es256.sign(claims), keys, expected) == claims


@pytest.mark.parametrize("leeway", [0, 30, 2.5])
@pytest.mark.parametrize("fraction", [0, 0.5])
@pytest.mark.parametrize("written", [int, float])
def test_the_edges_of_time(leeway: float, fraction: float, written: type[float]) -> None:
    """`exp` must be later than now less the leeway, `nbf` and `iat` not later than now and it."""
    expected = Expected(leeway, ("exp",), None, None)
    now = NOW + fraction

    def judge(**claims: float) -> None:
        payload = json.dumps({"exp": NOW + 300} | claims).encode()
        assert read_claims(payload, expected, now) == json.loads(payload)

    judge(exp=written(int(now - leeway) + 1))
    with pytest.raises(jwt.ExpiredSignatureError):
        judge(exp=written(int(now - leeway)))
    for name in ("nbf", "iat"):
        judge(**{name: written(int(now + leeway))})
        with pytest.raises(jwt.ImmatureSignatureError):
            judge(**{name: written(int(now + leeway) + 1)})


def test_times_count_in_whole_seconds() -> None:
    """A fraction of a second in a claim is dropped, whichever way that turns out."""
    expected = Expected(0, ("exp",), None, None)
    payload = b'{"exp":%d.9,"nbf":%d.9,"iat":%d.9}' % (NOW + 1, NOW, NOW)
    assert read_claims(payload, expected, NOW)
    with pytest.raises(jwt.ExpiredSignatureError):
        read_claims(payload, expected, NOW + 1)
    with pytest.raises(jwt.ImmatureSignatureError):
        read_claims(payload, expected, NOW - 1)


def test_faults_are_told_in_the_order_of_pyjwt(es256: SigningKey, keys: KeySet) -> None:
    """Required claims, then `iat`, `nbf`, `exp`, `iss`, `aud`, `sub`, `jti`."""
    wrong = {"iat": NOW + 99, "nbf": [], "exp": 1, "iss": 1, "aud": 1, "sub": 1, "jti": 1}
    claims: dict[str, object] = {**CLAIMS, **wrong}
    refusals: list[Refusal] = []
    for name in wrong:
        with pytest.raises(jwt.InvalidTokenError) as caught:
            verified(es256.sign(claims), keys)
        refusals.append(type(caught.value))
        claims[name] = {**CLAIMS, "nbf": 0, "jti": ""}[name]
    assert refusals == [
        jwt.ImmatureSignatureError,
        jwt.DecodeError,
        jwt.ExpiredSignatureError,
        jwt.InvalidIssuerError,
        jwt.InvalidAudienceError,
        InvalidSubjectError,
        InvalidJTIError,
    ]


def ecdsa(r: int, s: int) -> bytes:
    """Return an ES256 signature (RFC 7518 §3.4)."""
    return r.to_bytes(32) + s.to_bytes(32)


@pytest.mark.parametrize(
    "change",
    [
        lambda _r, _s: b"",
        lambda _r, _s: bytes(64),
        lambda _r, s: ecdsa(0, s),
        lambda r, _s: ecdsa(r, 0),
        lambda _r, _s: ecdsa(P256_ORDER, P256_ORDER),
        lambda r, _s: ecdsa(r, P256_ORDER),
        lambda r, s: ecdsa(s, r),
        lambda r, s: ecdsa(r, s)[:-1],
        lambda r, s: ecdsa(r, s)[1:],
        lambda r, s: ecdsa(r, s) + b"\x00",
        lambda r, s: b"\x00" + ecdsa(r, s),
        lambda r, s: ecdsa(r, s) * 2,
        lambda r, s: r.to_bytes(48) + s.to_bytes(48),
        encode_dss_signature,
    ],
    ids=["empty", "zero", "r=0", "s=0", "r=s=n", "s=n", "swapped", "63 bytes", "63 bytes, front",
         "65 bytes", "65 bytes, front", "twice", "96 bytes", "DER"],
)  # fmt: skip
def test_malformed_ecdsa_signatures_are_refused(
    change: Callable[[int, int], bytes], es256: SigningKey, keys: KeySet
) -> None:
    """Zero, the group order, other lengths and DER are no signatures."""
    signed, _, signature = es256.sign(CLAIMS).rpartition(".")
    raw = urlsafe_b64decode(signature + "==")
    forged = change(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
    refuse(f"{signed}.{base64url(forged)}", jwt.InvalidSignatureError, keys)


def test_either_form_of_s_is_a_signature(es256: SigningKey, keys: KeySet) -> None:
    """So the bytes of a signature are no name for a token."""
    signed, _, signature = es256.sign(CLAIMS).rpartition(".")
    raw = urlsafe_b64decode(signature + "==")
    other = raw[:32] + (P256_ORDER - int.from_bytes(raw[32:])).to_bytes(32)
    assert verified(f"{signed}.{base64url(other)}", keys) == CLAIMS


@pytest.mark.parametrize("algorithm", ["RS256", "PS256"])
def test_malformed_rsa_signatures_are_refused(
    algorithm: str, rsa: SigningKey, keys: KeySet
) -> None:
    """Zeros, ones, other lengths and another algorithm's."""
    key = dataclasses.replace(rsa, algorithm=algorithm)
    signed, _, signature = key.sign(CLAIMS).rpartition(".")
    raw = urlsafe_b64decode(signature + "==")
    for forged in (b"", b"\x00", bytes(256), b"\xff" * 256, raw[1:], b"\x00" + raw, raw + b"\x00"):
        refuse(f"{signed}.{base64url(forged)}", jwt.InvalidSignatureError, keys)


def test_the_key_that_signed_is_found(es256: SigningKey) -> None:
    """Each of the candidates is tried."""
    others = [SigningKey.generate("ES256").jwk() for _ in range(3)]
    text = json.dumps({"keys": [*others, es256.jwk()]})
    found = parse_key_set(text.encode(), ALLOWED).keys
    token = parse_token(es256.sign(CLAIMS), ALLOWED)
    assert signer(token, found).kid == es256.kid
    candidates: list[Collection[Any]] = [found[:3], []]
    for keys in candidates:
        with pytest.raises(jwt.InvalidSignatureError):
            signer(token, keys)


def test_a_token_shows_nothing_of_its_claims(es256: SigningKey) -> None:
    """Its `repr` has what selects the key, and no more."""
    token = parse_token(es256.sign(CLAIMS), ALLOWED)
    assert repr(token) == f"Token(alg='ES256', kid={es256.kid!r})"


@given(data=st.data())
def test_no_character_can_be_changed(data: st.DataObject, es256: SigningKey, keys: KeySet) -> None:
    """One character other than it was, and the token is refused."""
    token = es256.sign(CLAIMS)
    place = data.draw(st.integers(0, len(token) - 1))
    character = data.draw(st.sampled_from(BASE64URL + ".=+/ ") | st.characters())
    if character == token[place]:
        assert verified(token, keys) == CLAIMS
        return
    with pytest.raises(jwt.InvalidTokenError):
        verified(token[:place] + character + token[place + 1 :], keys)


@given(token=st.text() | st.from_regex(r"[\w-]*\.[\w-]*\.[\w-]*", fullmatch=True))
def test_no_text_raises_anything_else(token: str, keys: KeySet) -> None:
    """Whatever a client sends is refused in PyJWT's terms."""
    with pytest.raises(jwt.InvalidTokenError):
        verified(token, keys)
