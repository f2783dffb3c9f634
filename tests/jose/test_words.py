"""How a stranger's text is shown: whole if it is short and plain, and never as it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_jwks._jose.words import either, few, listed, shown, span


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("account", "'account'"),
        ("it's", '"it\'s"'),
        ("", "''"),
        ("a\nb", r"'a\nb'"),
        ("\u202e", r"'\u202e'"),
        ("\ud800", r"'\ud800'"),
        ("x" * 80, f"'{'x' * 80}'"),
        ("x" * 81, f"'{'x' * 79}...'"),
        (5, "no string"),
        (None, "no string"),
    ],
)
def test_a_text_is_quoted(value: object, text: str) -> None:
    """In ASCII, and cut."""
    assert shown(value) == text


@given(st.text())
def test_any_text_is_one_short_line(text: str) -> None:
    """Without a character that a terminal or a log would obey."""
    found = shown(text)
    assert len(found) <= 85
    assert found.isascii()
    assert found.isprintable()
    assert found[0] == found[-1]


def test_of_several_the_first_few_are_shown() -> None:
    """And how many more there are."""
    assert few([]) == ""
    assert listed(["a"]) == "'a'"
    assert listed(["a", "b"]) == "'a' and 'b'"
    assert listed(["a", "b", "c"], "or") == "'a', 'b' or 'c'"
    assert listed([*"abcd"], "or") == "'a', 'b', 'c' or 1 more"
    assert few([*"abcdefg"]) == "a, b, c and 4 more"


def test_what_is_expected_has_an_order() -> None:
    """That of a set is by name."""
    assert either(frozenset("cba")) == "'a', 'b' or 'c'"
    assert either(("c", "b")) == "'c' or 'b'"


def test_an_absurd_span_is_not_written_out() -> None:
    """As an integer of JSON may have thousands of digits."""
    assert span(312) == "312 s"
    assert span(10**9) == "1000000000 s"
    assert span(10**4400) == "more than 1000000000 s"
