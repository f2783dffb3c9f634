"""Claims are returned as they were signed, or refused by PyJWT's exceptions."""

import json

import jwt
import pytest
from jwt.exceptions import InvalidJTIError, InvalidSubjectError

from auth_jwks._jose.claims import Expected, read_claims
from auth_jwks._jose.keys import KeySet
from auth_jwks.testing import SigningKey
from tests.jose.tokens.judging import CLAIMS, EXPECTED, NOW, Refusal, refuse, verified

INFINITE = float("inf")


def test_each_call_gives_claims_of_its_own(es256: SigningKey, keys: KeySet) -> None:
    """What one caller does to them, another doesn't see."""
    token = es256.sign(CLAIMS)
    verified(token, keys).clear()
    assert verified(token, keys) == CLAIMS


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
        ({"iat": INFINITE}, jwt.DecodeError),
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
    expected = EXPECTED._replace(required=("exp", "scope"))
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
    expected = EXPECTED._replace(issuer=None, audience=None)
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


@pytest.mark.parametrize("subject", [7, 0, -7, 2**70, "7", ""], ids=repr)
def test_a_number_may_be_a_subject(subject: object, es256: SigningKey, keys: KeySet) -> None:
    """If that is expected; it is returned as it was signed, and so is a string."""
    expected = EXPECTED._replace(numeric_sub=True)
    claims = CLAIMS | {"sub": subject}
    found = verified(es256.sign(claims), keys, expected)
    assert (found["sub"], type(found["sub"])) == (subject, type(subject))


@pytest.mark.parametrize("subject", [True, False, 7.0, 7.5, "1e2", ["7"], [7], {}], ids=repr)
def test_no_other_type_is_a_subject(subject: object, es256: SigningKey, keys: KeySet) -> None:
    """No boolean, and no number with a fraction or an exponent."""
    expected = EXPECTED._replace(numeric_sub=True)
    payload = json.dumps(CLAIMS | {"sub": subject}).replace('"1e2"', "1e2").encode()
    refuse(es256.sign(payload), InvalidSubjectError, keys, expected)
    for missing in ({"sub": None}, {}):
        token = es256.sign({"iat": NOW, "exp": NOW + 300} | missing)
        refuse(token, jwt.MissingRequiredClaimError, keys, expected)


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
