"""What a header may say: algorithm, key, extensions."""

import json
import sys
from base64 import b64encode
from types import FrameType
from typing import Any

import jwt
import pytest

from auth_jwks._jose.keys import KeySet
from auth_jwks._jose.tokens import parse_token
from auth_jwks.testing import SigningKey
from tests.jose.tokens.judging import ALLOWED, CLAIMS, NOW, Refusal, refuse, verified


@pytest.mark.parametrize(
    "alg",
    ["none", "None", "NONE", "nOnE", "", "HS256", "HS384", "HS512", "es256", "Es256", "ES256 ",
     "ES256\n", "ES384", "RS512", "Ed25519", "ES521", "dir", "RSA-OAEP", None, True, 1, 1e300,
     [], ["ES256"], {"ES256": 1}],
    ids=repr,
)  # fmt: skip
def test_algorithms_that_are_not_allowed_are_refused(
    alg: object, es256: SigningKey, keys: KeySet
) -> None:
    """`alg` is a string of the allow-list, to the letter, or no key is ever looked up."""
    header = json.dumps({"alg": alg, "kid": es256.kid})
    token = es256.sign(CLAIMS, headers=header.encode())
    refuse(token, jwt.InvalidAlgorithmError, keys)
    refuse(token.rpartition(".")[0] + ".", jwt.InvalidAlgorithmError, keys)


def test_a_header_without_alg_is_refused(es256: SigningKey, keys: KeySet) -> None:
    """The algorithm is never guessed."""
    refuse(es256.sign(CLAIMS, headers={"alg": None}), jwt.InvalidAlgorithmError, keys)


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
    "kid", ["1", "true", "null", "1e300", "[]", '["a"]', "{}", '"%s"' % ("a" * 257)]
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
    """It selects no key of another name."""
    parsed = parse_token(es256.sign(CLAIMS, headers={"kid": kid}), ALLOWED)
    assert parsed.kid == kid
    assert not keys.has(parsed.kid, parsed.alg)
    assert [key.kid for key in keys.select(parsed.kid, parsed.alg)] == [None]


@pytest.mark.parametrize(
    "junk",
    [
        b"{" + b",".join(b'"%d":1' % n for n in range(1300)) + b"}",
        b'{"a":"' + b"x" * 7000 + b'"}',
        b'{"a":[' + b"1.5," * 2800 + b"1]}",
        b"[" * 12_000,
        b"\xff" * 12_000,
    ],
    ids=lambda junk: f"{junk[:6]!r}",
)
def test_a_long_header_is_not_decoded(junk: bytes, es256: SigningKey, keys: KeySet) -> None:
    """Nor is anything else of the token; up to 8,192 characters are."""
    token = es256.sign(CLAIMS, headers=junk)
    called: list[str] = []

    def note(frame: FrameType, event: str, what: Any) -> None:
        called.append(what.__name__ if event == "c_call" else frame.f_code.co_name)

    sys.setprofile(note)
    try:
        with pytest.raises(jwt.DecodeError):
            parse_token(token, ALLOWED)
    finally:
        sys.setprofile(None)
    assert {"a2b_base64", "translate", "strict_object"}.isdisjoint(called)
    assert len(called) < 100
    members = {"alg": "ES256", "kid": es256.kid, "pad": ""}
    members["pad"] = "a" * (6144 - len(json.dumps(members)))
    longest = es256.sign(CLAIMS, headers=json.dumps(members).encode())
    assert longest.index(".") == 8192
    assert verified(longest, keys) == CLAIMS


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
