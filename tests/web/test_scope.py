"""What strangers send is looked at in few steps, however much of it there is."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any
from urllib.parse import unquote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_jwks._asgi.scope import (
    MAX_COOKIE_BYTES,
    MAX_COOKIES,
    MAX_ESCAPES,
    MAX_FIELDS,
    MAX_PARAMETERS,
    MAX_QUERY,
    MAX_SUBPROTOCOLS,
    authorization,
    cookie_finder,
    header_values,
    query_taker,
    tokens_in_subprotocols,
)
from auth_jwks.bearer import MAX_CREDENTIALS, bearer_token
from auth_jwks.errors import InvalidRequestError, MissingTokenError

in_cookies = cookie_finder(b"CF_Authorization")
in_query = query_taker("access_token")

STEPS = 100  # pytest's own included

in_query({"query_string": b"access_token=%41"})  # urllib makes a table when it needs one first


@contextmanager
def few_steps() -> Iterator[None]:
    """Count the calls, those into C included, and hold that they are few."""
    steps = 0

    def note(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal steps
        steps += event in {"call", "c_call"}

    sys.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(None)
    assert steps <= STEPS


def cookies(*values: bytes) -> dict[str, Any]:
    """Return a scope with these `Cookie` headers."""
    return {"headers": [(b"cookie", value) for value in values]}


HUGE_QUERIES = [
    b"%25&" * 2_048,
    b"%25&" * 16_384,
    b"%25&" * 262_144,
    b"&" * 65_536,
    b"a" * 1_048_576,
    b"%61%63%63%65%73%73_toke&" * 2_730,
    b"access_token=%41&" * 4_096,
    b"access_token=" + b"%41" * (MAX_ESCAPES + 1),
    b"access_token=" + b"a" * 65_536,
]


@pytest.mark.parametrize("query", HUGE_QUERIES, ids=lambda query: f"{query[:12]!r} {len(query)}")
def test_a_huge_query_is_refused_by_a_look(query: bytes) -> None:
    """It is as long as the server allows; nothing of it stays for the server to log."""
    scope = {"query_string": query}
    with few_steps(), pytest.raises(InvalidRequestError):
        in_query(scope)
    assert b"access_token" not in scope["query_string"]


@pytest.mark.parametrize(
    "query",
    [
        b"%25&" * (MAX_PARAMETERS - 1),
        b"%61%63%63%65%73%73_toke&" * (MAX_PARAMETERS - 1),
        b"a" * MAX_QUERY,
        b"access_token=x&" * (MAX_PARAMETERS - 1),
        b"access_token=" + b"%41" * 10 + b"a" * 20_000,
    ],
    ids=lambda query: f"{query[:12]!r} {len(query)}",
)
def test_a_long_query_is_read_in_few_steps(query: bytes) -> None:
    """Their number does not depend on its length."""
    with few_steps():
        in_query({"query_string": query})


NAMES = ["access_token", "%61ccess%5ftoken", "%61ccess%5Ftoken", "acces", "access_token2", "%", "x"]
VALUES = ["", "=", "=a.b.c", "=a%2Eb.c+", "=%", "=%zz", "==", "=\xff"]


@given(
    parts=st.lists(
        st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES)).map("".join) | st.text("%=5fF_a")
    )
)
def test_parameters_are_those_that_a_decoder_finds(parts: list[str]) -> None:
    """Whatever is written, what is taken is what `urllib` reads under that name."""
    scope = {"query_string": "&".join(parts).encode("latin-1")}
    split = [part.partition("=") for part in "&".join(parts).split("&")]
    ours = [unquote_plus(name) == "access_token" for name, _, _ in split]
    values = [
        unquote_plus(value) for is_ours, (_, _, value) in zip(ours, split, strict=True) if is_ours
    ]
    found = in_query(scope)
    assert len(found) == len(values)
    if len(found) == 1:
        assert found == values
    kept = ["".join(part) for is_ours, part in zip(ours, split, strict=True) if not is_ours]
    assert scope["query_string"] == "&".join(kept).encode("latin-1")


@pytest.mark.parametrize(
    "values",
    [
        [b"a=b; " * 13_000],
        [b";" * (MAX_COOKIES + 1)],
        [b"a=b; " * 200] * 6,
        [b"a" * 1_048_576],
        [b"CF_Authorization" * 65_536],
        [b" " * (MAX_COOKIE_BYTES + 1)],
        [b"a=b"] * (MAX_FIELDS + 1),
    ],
    ids=lambda values: f"{values[0][:12]!r} {len(values[0])} {len(values)}",
)
def test_huge_cookies_are_refused_by_a_look(values: list[bytes]) -> None:
    """No browser keeps as many for a site, and most servers take less."""
    scope = cookies(*values)
    with few_steps(), pytest.raises(InvalidRequestError):
        in_cookies(scope)


@pytest.mark.parametrize(
    "value",
    [
        b"a=b;" * (MAX_COOKIES - 1),
        b"; CF_Authorizatio" * (MAX_COOKIES - 1),
        b" " * MAX_COOKIE_BYTES,
        b";" + b" " * 50_000 + b"CF_Authorizatio=x",
        b"xCF_Authorization=y" * 3_000,
    ],
    ids=lambda value: f"{value[:12]!r} {len(value)}",
)
def test_long_cookies_are_read_in_few_steps(value: bytes) -> None:
    """Their number does not depend on how many there are."""
    with few_steps():
        assert in_cookies(cookies(value)) == b""


def first_cookie(values: list[bytes]) -> bytes:
    """Return the first cookie of that name, found part by part."""
    for value in values:
        for pair in value.split(b";"):
            name, _, content = pair.strip(b" \t").partition(b"=")
            if name == b"CF_Authorization":
                return content
    return b""


@given(
    values=st.lists(
        st.lists(
            st.sampled_from([b"CF_Authorization", b"=", b";", b" ", b"\t", b"a.b.c", b"x", b"\xff"])
        ).map(b"".join),
        max_size=3,
    )
)
def test_the_cookie_is_the_one_that_a_parser_finds(values: list[bytes]) -> None:
    """In one header or in several, with blanks or without."""
    assert in_cookies(cookies(*values)) == first_cookie(values)


def test_many_subprotocols_are_refused_by_a_look() -> None:
    """Many, or long ones."""
    for offered in (["a"] * (MAX_SUBPROTOCOLS + 1), ["bearer", "a" * (MAX_CREDENTIALS + 1)]):
        with few_steps(), pytest.raises(InvalidRequestError):
            tokens_in_subprotocols({"subprotocols": offered}, "bearer")
    scope = {"subprotocols": ["bearer", "a.b.c", *["a"] * (MAX_SUBPROTOCOLS - 2)]}
    assert tokens_in_subprotocols(scope, "bearer") == ["a.b.c"]


def test_many_headers_are_refused_by_a_look() -> None:
    """A server that lets them through has had more work with them."""
    scope = {"headers": [(b"a", b"b")] * (MAX_FIELDS + 1)}
    for look in (authorization, in_cookies, lambda scope: header_values(scope, b"x")):
        with few_steps(), pytest.raises(InvalidRequestError):
            look(scope)
    assert authorization({"headers": [(b"a", b"b")] * MAX_FIELDS}) == []


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (b"Bearer " + b"a" * 1_048_576, InvalidRequestError),
        (b"Bearer" + b" " * 1_048_576, InvalidRequestError),
        (b"A" * 1_048_576, MissingTokenError),
        (b"Basic " + b"a" * 1_048_576, MissingTokenError),
        (b"Bearer" * 200_000, MissingTokenError),
    ],
    ids=lambda value: repr(value[:12]) if isinstance(value, bytes) else None,
)
def test_huge_credentials_are_refused_by_a_look(value: bytes, fault: type[Exception]) -> None:
    """No more of them is decoded than shows that they are too long."""
    scope = {"headers": [(b"authorization", value)]}
    with few_steps():
        values = authorization(scope)
        assert len(values[0]) == MAX_CREDENTIALS + 1
        with pytest.raises(fault):
            bearer_token(values)
    assert bearer_token(["Bearer " + "a" * (MAX_CREDENTIALS - 7)]) == "a" * (MAX_CREDENTIALS - 7)


@pytest.mark.parametrize("name", ["a.b", "~", "x-1", "Token"])
def test_any_name_that_needs_no_escape_is_found(name: str) -> None:
    """Each of its characters is meant as it stands, or escaped."""
    escaped = "".join(f"%{ord(one):02x}" for one in name)
    for spelled in (name, escaped, escaped.upper()):
        scope = {"query_string": f"q=1&{spelled}=t".encode()}
        assert query_taker(name)(scope) == ["t"]
        assert scope["query_string"] == b"q=1"
    assert query_taker(name)({"query_string": name.replace(".", "y").encode() + b"z"}) == []
