"""Strict JSON: an object in UTF-8, or nothing; and never an exception."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_jwks._jose.strict_json import MAX_DEPTH, strict_object

# What JSON is made of, so that much of it is nearly well-formed.
JSON_LIKE = st.lists(
    st.sampled_from(
        ["{", "}", "[", "]", '"', "\\", ",", ":", '{"a":', "1", "NaN", " ", "\x00", "é"]
    )
).map("".join)


def _nested(levels: int) -> bytes:
    """Return an object of so many levels, the outermost included."""
    return b'{"a":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"{}", {}),
        (b' \t\r\n{"a": [1, -2.5, true, null, "\\u00e9"]}\n', {"a": [1, -2.5, True, None, "é"]}),
        ('{"é":"\U0001f600"}'.encode(), {"é": "\U0001f600"}),
        (b'{"a":"NaN","b":"\\"[["}', {"a": "NaN", "b": '"[['}),
        (b'{"a":[1e308,-1E-999]}', {"a": [1e308, -0.0]}),
        (b'{"a":%s}' % (b"9" * 4300), {"a": int("9" * 4300)}),
    ],
)
def test_an_object_is_read(raw: bytes, value: dict[str, object]) -> None:
    """Any JSON object in UTF-8 comes out as `json` would read it."""
    assert strict_object(raw) == value
    assert strict_object(raw, unique_members=True) == value


@pytest.mark.parametrize("raw", [b"[]", b'"a"', b"1", b"true", b"null", b"", b" ", b"NaN"])
def test_anything_but_an_object_is_refused(raw: bytes) -> None:
    """An array, a string, a number, a literal or nothing at all is no object."""
    assert strict_object(raw) is None


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":1',
        b'{"a":1}}',
        b'{"a":1}{}',
        b"{'a':1}",
        b'{"a":1,}',
        b'{"a":01}',
        b'{"a":"\n"}',
        b'{"a":"\\x"}',
        b'{"a":1}\x00',
        b"{" * 100,
        b'{"a":' * 100,
        b'{"a":"' + b"[" * 100,
        b'{"a":"' + b"[" * 100 + b"\\",
    ],
)
def test_malformed_json_is_refused(raw: bytes) -> None:
    """What RFC 8259 does not allow is nothing, however long it goes on."""
    assert strict_object(raw) is None


@pytest.mark.parametrize(
    "codec", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]
)
def test_other_encodings_are_refused(codec: str) -> None:
    """`json` would detect a byte order mark, UTF-16 and UTF-32; RFC 8259 §8.1 knows UTF-8 only."""
    raw = '{"a":1}'.encode(codec)
    assert json.loads(raw) == {"a": 1}
    assert strict_object(raw) is None


@pytest.mark.parametrize("text", [b"\xff", b"\xed\xa0\x80", b"\xc0\x80", b"\xe9"])
def test_malformed_utf8_is_refused(text: bytes) -> None:
    """Stray bytes, encoded surrogates and overlong forms are no UTF-8."""
    assert strict_object(b'{"a":"%s"}' % text) is None


@pytest.mark.parametrize("constant", [b"NaN", b"Infinity", b"-Infinity"])
@pytest.mark.parametrize("raw", [b'{"a":%s}', b'{"a":[{"b":%s}]}'])
def test_constants_that_json_lacks_are_refused(raw: bytes, constant: bytes) -> None:
    """`NaN` and `Infinity` are no JSON (RFC 8259 §6), at any depth."""
    assert strict_object(raw % constant) is None


@pytest.mark.parametrize("number", [b"1e999", b"-1e309", b"1.5E+400", b"9" * 400 + b".0"])
@pytest.mark.parametrize("raw", [b'{"a":%s}', b'{"a":[{"b":[1.5,%s]}]}', b'{"a":%s,"a":1}'])
def test_numbers_that_overflow_are_refused(raw: bytes, number: bytes) -> None:
    """They would come out as infinite, which is no number of JSON, at any depth."""
    for unique_members in (False, True):
        assert strict_object(raw % number, unique_members=unique_members) is None


def test_integers_beyond_the_digit_limit_are_refused() -> None:
    """An integer that Python won't convert is no `ValueError` of ours."""
    assert strict_object(b'{"a":%s}' % (b"9" * 5000)) is None


@pytest.mark.parametrize("unique_members", [False, True])
def test_nesting_is_bounded(unique_members: bool) -> None:  # noqa: FBT001 - a parameter
    """So many levels are read, one more is refused, and a great many raise no `RecursionError`."""
    assert strict_object(_nested(MAX_DEPTH), unique_members=unique_members) is not None
    for levels in (MAX_DEPTH + 1, 100_000):
        assert strict_object(_nested(levels), unique_members=unique_members) is None
    assert strict_object(b'{"a":' * 100_000, unique_members=unique_members) is None


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":"%s"}' % (b"[{" * 100),
        b'{"a":"\\"%s","b":"\\\\"}' % (b"[" * 100),
        b'{"%s":[]}' % (b"{" * 100),
        b'{"a":[%s]}' % b",".join([b"[]"] * 100),
        b'{"a":[%s]}' % b",".join([b'{"]":"["}'] * 100),
    ],
)
def test_brackets_that_do_not_nest_are_no_levels(raw: bytes) -> None:
    """Brackets within strings, and those closed again, don't count."""
    assert strict_object(raw) == json.loads(raw)


@pytest.mark.parametrize(
    "raw", [b'{"a":"[]]]]","b":%s}', b'{"a":"\\"[]]]]","b":%s}', b'{"[]]]]":0,"b":%s}']
)
def test_brackets_in_strings_do_not_hide_levels(raw: bytes) -> None:
    """A closing bracket within a string closes nothing."""
    levels = MAX_DEPTH - 1
    assert strict_object(raw % (b"[" * levels + b"]" * levels)) is not None
    assert strict_object(raw % (b"[" * (levels + 1) + b"]" * (levels + 1))) is None


def test_a_long_text_is_scanned_once() -> None:
    """A string that never ends is followed to its end once, not from each of its quotes."""
    assert strict_object(b"[" * (MAX_DEPTH + 1) + b'"' + b'\\"' * 250_000) is None


@pytest.mark.parametrize("raw", [b'{"a":1,"a":1}', b'{"b":[{"a":1,"\\u0061":2}]}'])
def test_duplicate_members_are_refused_on_demand(raw: bytes) -> None:
    """A name that comes twice, at any depth and in any spelling, is last-wins or refused."""
    assert strict_object(raw) == json.loads(raw)
    assert strict_object(raw, unique_members=True) is None


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError
    return dict(pairs)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "\\u0061", "b", "a:", ":"]),
            st.sampled_from(["1", '":"', "[]", '{"a":1}', '{"a":1,"a":2}', '[{"b":":","b":0}]']),
        ),
        max_size=5,
    )
)
def test_colons_hide_no_duplicate_and_make_none(members: list[tuple[str, str]]) -> None:
    """Wherever they stand: in names, in values, or in objects further in."""
    inner = ",".join(f'"{name}":{value}' for name, value in members)
    text = f"{{{inner}}}"
    try:
        expected = json.loads(text, object_pairs_hook=_once)
    except ValueError:
        expected = None
    assert strict_object(text.encode(), unique_members=True) == expected


@pytest.mark.parametrize("value", [b"[%s]", b'[%s{"a":[]}]', b'["%s"]'])
def test_with_unique_members_brackets_are_few(value: bytes) -> None:
    """Wherever they stand, so that a look is enough: 64 of them open, and no more."""
    bracket = b"[" if b'"%s"' in value else b"[],"
    spare = MAX_DEPTH - 1 - value.count(b"[") - value.count(b"{")
    for count, is_read in ((spare, True), (spare + 1, False)):
        raw = b'{"a":%s}' % (value % (bracket * count)).replace(b",]", b"]")
        assert strict_object(raw) == json.loads(raw)
        assert (strict_object(raw, unique_members=True) is not None) is is_read


@given(
    raw=st.binary() | JSON_LIKE.map(str.encode) | JSON_LIKE.map('{{"a":{}}}'.format).map(str.encode)
)
def test_what_is_read_is_what_json_reads(raw: bytes) -> None:
    """On any bytes: no exception, and no value that `json` would not give."""
    for value in (strict_object(raw), strict_object(raw, unique_members=True)):
        assert value is None or value == json.loads(raw)


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False)
)


@given(
    value=st.recursive(
        SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=9
    ),
    ascii_only=st.booleans(),
)
def test_every_object_of_bounded_depth_is_read(value: object, ascii_only: bool) -> None:  # noqa: FBT001 - drawn
    """Nothing is refused that is plain JSON, however it is escaped."""
    text = json.dumps({"a": value}, ensure_ascii=ascii_only)
    assert strict_object(text.encode()) == {"a": value}
