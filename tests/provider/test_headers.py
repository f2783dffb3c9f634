"""What response headers say about time, and what they don't."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_jwks._provider.headers import entity_tag, max_age, retry_after

NOW = 1_800_000_000.0  # Fri, 15 Jan 2027 08:00:00 GMT
DATE_LIKE = st.lists(
    st.sampled_from(
        ["Fri,", "15", "Jan", "2027", "0001", "99999", "08:00:00", "99:99", "GMT", "+99999", "("]
    )
).map(" ".join)


@pytest.mark.parametrize(
    ("cache_control", "age", "seconds"),
    [
        ("max-age=600", "", 600),
        ("MAX-AGE=600", "", 600),
        ("public, max-age=600, must-revalidate", "", 600),
        ("public ,  max-age = 600 ,private", "", 600),
        ('max-age="600"', "", 600),
        ("max-age=0", "", 0),
        ("max-age=600, max-age=1", "", 600),
        ("max-age=600", "100", 500),
        ("max-age=600", "600", 0),
        ("max-age=600", "9999999999", 0),
    ],
)
def test_a_response_stays_fresh_for_its_max_age(
    cache_control: str, age: str, seconds: float
) -> None:
    """`max-age` counts, less what `Age` says has passed already, and never below 0."""
    assert max_age(cache_control, age) == seconds


@pytest.mark.parametrize("age", ["-100", "1.5", "10 0", "a while", "²", "\u0661", "1" * 11])
def test_a_malformed_age_is_none(age: str) -> None:
    """What is no count of seconds does not shorten anything."""
    assert max_age("max-age=600", age) == 600


@pytest.mark.parametrize(
    "cache_control",
    [
        "",
        "public",
        "no-cache",
        "no-store",
        "max-age=600, no-cache",
        "No-Store,max-age=600",
        'no-cache="set-cookie", max-age=600',
        "max-age",
        "max-age=",
        "max-age=-1",
        "max-age=1.5",
        "max-age=a while",
        "max-age=600 seconds",
        "max-age=" + "9" * 11,
        "s-maxage=600",
        "x-max-age=600",
        "max-age:600",
    ],
)
def test_no_usable_max_age_says_nothing(cache_control: str) -> None:
    """Absent, malformed or overruled, it leaves the decision to us."""
    assert max_age(cache_control, "") is None


@pytest.mark.parametrize("directive", ["x-no-cache", "no-cached", "no-store-it"])
def test_other_directives_overrule_nothing(directive: str) -> None:
    """Only the whole name of a directive counts."""
    assert max_age(f"{directive}, max-age=600", "") == 600


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        ("9999999999", 9_999_999_999),
        ("Fri, 15 Jan 2027 08:02:00 GMT", 120),
        ("Fri, 15 Jan 2027 07:00:00 GMT", 0),
        ("Friday, 15-Jan-27 08:02:00 GMT", 120),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, seconds: float) -> None:
    """Both forms of RFC 9110 §10.2.3 give seconds from now; the past is 0."""
    assert retry_after(value, NOW) == seconds


@pytest.mark.parametrize(
    "value",
    ["", "soon", "-1", "1.5", "²", "1" * 11, "Fri, 99 Jan 2027 08:00:00 GMT", "0 0 0 0 0 0"],
)
def test_a_malformed_retry_after_is_none(value: str) -> None:
    """Neither form: nothing is said."""
    assert retry_after(value, NOW) is None


@pytest.mark.parametrize("value", ['"abc"', 'W/"abc"', "abc", '"' + "a" * 510 + '"'])
def test_an_entity_tag_can_be_sent_back(value: str) -> None:
    """Strong, weak and unquoted ones, as they came."""
    assert entity_tag(value) == value


@pytest.mark.parametrize(
    "value", ["", '"a b"', '"a\r\nHost: b"', '"a"\n', '"é"', '"\x7f"', "a" * 513]
)
def test_other_text_is_no_entity_tag(value: str) -> None:
    """What would change the next request, or swell it, is dropped."""
    assert entity_tag(value) is None


@given(value=st.text() | DATE_LIKE, other=st.text())
def test_no_header_raises(value: str, other: str) -> None:
    """Whatever a provider sends, the answer is a number of at least 0, or None."""
    for seconds in (
        retry_after(value, NOW),
        max_age(value, other),
        max_age(f"max-age={value}", other),
        max_age(f"max-age=600, {other}", value),
    ):
        assert seconds is None or seconds >= 0
