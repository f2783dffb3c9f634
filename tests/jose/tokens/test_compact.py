"""What a token looks like from the outside: scheme, size, segments, alphabet."""

from base64 import urlsafe_b64decode
from collections.abc import Callable

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_jwks._jose.keys import KeySet
from auth_jwks._jose.tokens import MAX_TOKEN, TOKEN_LENGTHS, compact, parse_token
from auth_jwks.testing import SigningKey
from tests.jose.tokens.judging import ALLOWED, BASE64URL, CLAIMS, base64url, refuse, verified


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


@pytest.mark.parametrize("prefix", ["", "Bearer ", "bearer   "])
@pytest.mark.parametrize("limit", [TOKEN_LENGTHS[0], 16_383, 16_385, TOKEN_LENGTHS[-1]])
def test_the_limit_can_be_moved(prefix: str, limit: int) -> None:
    """It is exact wherever it is."""
    longest = "a" * (limit - 2) + ".."
    assert compact(prefix + longest, limit) == longest
    with pytest.raises(jwt.DecodeError, match=f"longer than {limit} characters"):
        compact(prefix + "a" + longest, limit)


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
