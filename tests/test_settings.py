"""Checks on what users configure: what passes, what doesn't, and that the parameter is named."""

from collections.abc import Callable
from typing import Any

import pytest

from auth_jwks._settings import (
    checked_audience,
    checked_count,
    checked_flag,
    checked_number,
    checked_parts,
    checked_strings,
    checked_text,
    checked_url,
)

NAN, INFINITY = float("nan"), float("inf")


def _within(name: str, value: object) -> int:
    return checked_count(name, value, within=range(3, 6))


def _above_zero(name: str, value: object) -> float:
    return checked_number(name, value, above=0)


@pytest.mark.parametrize(
    ("check", "value", "result"),
    [
        (checked_url, None, None),
        (checked_url, "https://a.example/jwks", "https://a.example/jwks"),
        (checked_url, "http://localhost:8080", "http://localhost:8080"),
        (checked_text, None, None),
        (checked_text, " a ", " a "),
        (checked_number, 0, 0.0),
        (checked_number, 2.5, 2.5),
        (_above_zero, 1, 1.0),
        (checked_count, 0, 0),
        (checked_count, 10**30, 10**30),
        (_within, 3, 3),
        (_within, 5, 5),
        (checked_flag, True, True),
        (checked_flag, False, False),
        (checked_strings, [], ()),
        (checked_strings, ("a", "b", "a"), ("a", "b", "a")),
        (checked_strings, {"a": 1}, ("a",)),
        (checked_strings, iter("ab"), ("a", "b")),
        (checked_audience, "api", frozenset({"api"})),
        (checked_audience, ["api", "web", "api"], frozenset({"api", "web"})),
    ],
)
def test_what_makes_sense_is_returned(
    check: Callable[[str, object], object], value: object, result: object
) -> None:
    """A good value comes back, in the one form that the rest relies on."""
    checked = check("parameter", value)
    assert (checked, type(checked)) == (result, type(result))


@pytest.mark.parametrize(
    ("check", "value"),
    [
        (checked_url, b"https://a.example"),
        (checked_url, 1),
        (checked_text, b"a"),
        (checked_text, ["a"]),
        (checked_number, "1"),
        (checked_number, None),
        (checked_number, True),
        (checked_count, 1.0),
        (checked_count, False),
        (checked_flag, 1),
        (checked_flag, "true"),
        (checked_flag, None),
        (checked_strings, "exp"),
        (checked_strings, b"iat"),
        (checked_strings, None),
        (checked_strings, ["exp", 1]),
        (checked_audience, b"api"),
        (checked_audience, 1),
        (checked_audience, ["api", None]),
    ],
)
def test_a_wrong_type_is_a_type_error(
    check: Callable[[str, object], object], value: object
) -> None:
    """The message names the parameter first, and does not repeat the value."""
    with pytest.raises(TypeError, match=r"\Aparameter: expected ") as caught:
        check("parameter", value)
    assert "a.example" not in str(caught.value)


@pytest.mark.parametrize(
    ("check", "value"),
    [
        (checked_url, ""),
        (checked_url, "ftp://a.example"),
        (checked_url, "https://user:secret@a.example"),
        (checked_text, ""),
        (checked_text, "  "),
        (checked_text, "a\n"),
        (checked_text, "a\x00"),
        (checked_text, "\ud800"),
        (checked_number, -1),
        (checked_number, -0.5),
        (checked_number, NAN),
        (checked_number, INFINITY),
        (checked_number, -INFINITY),
        pytest.param(checked_number, 10**400, id="beyond any float"),
        (_above_zero, 0),
        (_above_zero, -1),
        (_above_zero, NAN),
        (checked_count, -1),
        (_within, 2),
        (_within, 6),
        (checked_strings, ["exp", ""]),
        (checked_strings, [" "]),
        (checked_audience, ""),
        (checked_audience, " "),
        (checked_audience, []),
        (checked_audience, ["api", ""]),
    ],
)
def test_a_senseless_value_is_a_value_error(
    check: Callable[[str, object], object], value: object
) -> None:
    """The message names the parameter first, and repeats no URL."""
    with pytest.raises(ValueError, match=r"\Aparameter: ") as caught:
        check("parameter", value)
    assert "secret" not in str(caught.value)
    assert "a.example" not in str(caught.value)


@pytest.mark.parametrize(
    ("check", "value", "told"),
    [
        (checked_number, "1", "got str"),
        (checked_count, True, "got bool"),
        (checked_strings, b"exp", "got bytes"),
        (checked_audience, 1, "got int"),
    ],
)
def test_the_type_is_told(check: Callable[[str, object], object], value: object, told: str) -> None:
    """Whoever passed the wrong thing learns what it was."""
    with pytest.raises(TypeError, match=told):
        check("parameter", value)


@pytest.mark.parametrize(
    ("check", "value", "bound"),
    [
        (checked_number, -1, "at least 0"),
        (_above_zero, 0, "above 0"),
        (checked_count, -1, "at least 0"),
        (_within, 6, "from 3 to 5"),
    ],
)
def test_the_bound_is_told(
    check: Callable[[str, object], object], value: object, bound: str
) -> None:
    """Whoever has to mend the value learns the range."""
    with pytest.raises(ValueError, match=bound):
        check("parameter", value)


def test_an_object_is_known_by_its_methods() -> None:
    """Anything that has the methods will do, whatever its class."""
    text: Any = "a"
    assert checked_parts("parameter", text, "a text", "lower", "upper") is text


def test_a_class_is_no_object_of_its_own() -> None:
    """`MemoryKeyStore` in place of `MemoryKeyStore()` has the methods, and would fail later."""
    with pytest.raises(TypeError, match=r"\Aparameter: expected a text, got type\Z"):
        checked_parts("parameter", str, "a text", "lower", "upper")


@pytest.mark.parametrize("method", ["missing", "__doc__"])
def test_an_object_without_its_methods_is_a_type_error(method: str) -> None:
    """A method that is missing, or can't be called, is said to be missing from the whole."""
    with pytest.raises(TypeError, match=r"\Aparameter: expected a text, got str\Z"):
        checked_parts("parameter", "a", "a text", "lower", method)
