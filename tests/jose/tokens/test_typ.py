"""The `typ` of a token: which ones name another purpose, and what is said of them."""

import re

import jwt
import pytest

from auth_jwks._jose.tokens import parse_token
from auth_jwks._jose.typ import OTHER_PURPOSES
from auth_jwks.testing import SigningKey
from tests.jose.tokens.deviations import DOCUMENTED

ALLOWED = frozenset(("ES256",))

# The media types of the IANA registry that end in `jwt`, or whose specification signs a JWT, as of
# November 2026; and those of drafts that are in wide use.
REGISTERED = {
    "at+jwt", "dpop+jwt", "eat+jwt", "entity-statement+jwt", "explicit-registration-response+jwt",
    "jwk-set+jwt", "jwt", "logout+jwt", "oauth-authz-req+jwt", "passport", "provided-claims+jwt",
    "resolve-response+jwt", "secevent+jwt", "token-introspection+jwt", "trust-mark+jwt",
    "trust-mark-delegation+jwt", "trust-mark-status-response+jwt", "vc+jwt", "vp+jwt",
    "vnd.ga4gh.passport+jwt",
    *("dc+sd-jwt", "kb+jwt", "sd-jwt", "statuslist+jwt", "vc+sd-jwt", "vp+sd-jwt"),
}  # fmt: skip


def typed(key: SigningKey, typ: object, **headers: object) -> str:
    """Return a token with that `typ`."""
    return key.sign({"sub": "alice"}, {"typ": typ, **headers})


def test_only_these_registered_types_are_taken() -> None:
    """JWTs of no named purpose, access tokens, and the vendor's type that is one."""
    assert {"jwt", "at+jwt", "vnd.ga4gh.passport+jwt"} == REGISTERED - OTHER_PURPOSES
    assert set() == OTHER_PURPOSES - REGISTERED


def test_the_page_lists_them() -> None:
    """docs/tokens.md has each, and no other."""
    _, _, rest = DOCUMENTED.read_text("utf-8").partition("which name other purposes:\n\n")
    listed = re.findall(r"`(.+?)`", rest.partition("\n\n")[0])
    assert listed == sorted(OTHER_PURPOSES)


@pytest.mark.parametrize("name", sorted(OTHER_PURPOSES))
def test_another_purpose_is_refused(es256: SigningKey, name: str) -> None:
    """However it is written."""
    for typ in (name, name.upper(), f"Application/{name}", f"{name};v=1", f"\tapplication/{name} "):
        with pytest.raises(jwt.InvalidTokenError, match=r"^typ: expected that of an access"):
            parse_token(typed(es256, typ), ALLOWED)


@pytest.mark.parametrize(
    "typ", [None, "JWT", "jwt", "at+jwt", "application/at+jwt", "JOSE", "", "Bearer", "x+jwt"]
)
def test_other_types_are_taken(es256: SigningKey, typ: str | None) -> None:
    """Those of access tokens and of nothing in particular, none, and what nobody registered."""
    named = None if typ is None else typ.lower().removeprefix("application/")
    assert parse_token(typed(es256, typ), ALLOWED).typ == named


@pytest.mark.parametrize("typ", [b"null", b"5", b"true", b'["JWT"]', b'{"a":"JWT"}'])
@pytest.mark.parametrize("types", [None, frozenset((None, "jwt"))])
def test_a_type_is_a_string(
    es256: SigningKey, typ: bytes, types: frozenset[str | None] | None
) -> None:
    """Whatever is accepted, and also where an absent one is (RFC 7515 §4.1.9)."""
    token = es256.sign({"sub": "alice"}, b'{"alg":"ES256","typ":' + typ + b"}")
    with pytest.raises(jwt.InvalidTokenError, match=r"^typ: expected "):
        parse_token(token, ALLOWED, types)


@pytest.mark.parametrize(
    ("typ", "found"),
    [
        ("JWT", "'jwt'"),
        (None, "none"),
        ("at+jwt;v=1", "'at+jwt;v=1'"),
        (" at+jwt", "' at+jwt'"),
        ("x" * 99, f"'{'x' * 79}...'"),
    ],
)
def test_types_that_are_expected(es256: SigningKey, typ: str | None, found: str) -> None:
    """Exactly those are taken, in any case, and the message is short, whatever a token says."""
    types = frozenset(("at+jwt", "logout+jwt"))
    for good in ("at+jwt", "AT+JWT", "application/at+JWT", "logout+jwt"):
        assert parse_token(typed(es256, good), ALLOWED, types).typ in types
    with pytest.raises(jwt.InvalidTokenError) as refused:
        parse_token(typed(es256, typ), ALLOWED, types)
    said, _, shown = str(refused.value).partition(", found ")
    assert said == "typ: expected 'at+jwt' or 'logout+jwt'"
    assert shown == found


def test_the_algorithm_is_looked_at_first(es256: SigningKey) -> None:
    """As PyJWT does, which does not look at the type at all."""
    with pytest.raises(jwt.InvalidAlgorithmError):
        parse_token(typed(es256, "dpop+jwt", alg="none"), ALLOWED)
