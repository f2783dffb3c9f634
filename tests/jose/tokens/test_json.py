"""Header and payload are strict JSON objects."""

import json

import jwt
import pytest

from auth_jwks._jose.keys import KeySet
from auth_jwks.testing import SigningKey
from tests.jose.tokens.judging import CLAIMS, refuse, verified


def nested(levels: int) -> bytes:
    """Return a member that makes an object of so many levels."""
    return b'"a":' + b"[" * (levels - 1) + b"]" * (levels - 1)


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
    "an infinite number": b'{"a":[{"b":1e999}]}',
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
        b'"a":1e308,"a":-1e-400',
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
