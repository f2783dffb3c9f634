"""The profiles as values: what they take, what they are equal to, and what they show."""

import copy
from collections.abc import Callable
from functools import partial
from math import nan
from typing import Any

import pytest

from auth_jwks.profiles import AccessToken, IDToken, LogoutToken


def allow(_claims: dict[str, Any]) -> None:
    """Allow any token."""


async def wait(_claims: dict[str, Any]) -> None:
    """Allow any token, were it awaited."""


class Silent:
    """A check that is equal to each of its kind, and has no hash."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Silent)

    __hash__ = None  # type: ignore[assignment]

    def __call__(self, claims: dict[str, Any]) -> None:
        """Allow any token."""


SILENT = Silent()
IDENTITIES: list[Callable[[], object]] = [
    AccessToken,
    LogoutToken,
    partial(AccessToken, typ="JWT"),
    partial(AccessToken, typ=["JWT", None]),
    partial(AccessToken, claims={"tenant": 1}),
    partial(AccessToken, claims={"tenant": 1.0}),
    partial(AccessToken, claims={"tenant": True}),
    partial(AccessToken, claims={"tenant": "1"}),
    partial(AccessToken, claims={"tenant": [1]}),
    partial(AccessToken, claims={"tenants": 1}),
    partial(AccessToken, check=allow),
    partial(AccessToken, check=SILENT),
    partial(IDToken, client_id="web"),
    partial(IDToken, client_id="app"),
    partial(IDToken, client_id="web", nonce="n"),
    partial(IDToken, client_id="web", access_token="n"),
    partial(IDToken, client_id="web", max_age=0),
]


def test_profiles_are_values() -> None:
    """Equal ones hold a token to the same, and only those; they can be members of a set."""
    twins = [make() for make in IDENTITIES]
    for at, make in enumerate(IDENTITIES):
        assert [at] == [number for number, twin in enumerate(twins) if twin == make()]
        assert hash(make()) == hash(twins[at])
        assert copy.copy(twins[at]) == twins[at]
    assert AccessToken() != "at+jwt"


def test_what_is_written_differently_is_equal() -> None:
    """The case of a `typ`, its prefix, and the order of what has none."""
    assert AccessToken(typ="application/AT+jwt") == AccessToken() == AccessToken(claims={})
    assert AccessToken(typ={None, "jwt"}) == AccessToken(typ=["JWT", "JWT", None])
    nested = ({"x": {"a": 1, "b": (2,)}, "y": 0}, {"y": 0, "x": {"b": [2], "a": 1}})
    assert AccessToken(claims=nested[0]) == AccessToken(claims=nested[1])


def test_a_check_is_told_by_its_identity() -> None:
    """What a callable says of itself does not count."""
    assert AccessToken(check=Silent()) != AccessToken(check=Silent())
    assert len({AccessToken(check=SILENT), AccessToken(check=SILENT)}) == 1


def test_a_profile_keeps_no_object_of_the_caller() -> None:
    """A mapping that changes later changes nothing."""
    claims = {"roles": ["user"]}
    profile = AccessToken(claims=claims)
    claims["roles"].append("admin")
    assert profile == AccessToken(claims={"roles": ["user"]})


def test_a_repr_shows_no_secret() -> None:
    """Neither a nonce nor an access token."""
    shown = repr(IDToken(client_id="web", nonce="hunter2", access_token="hunter2", max_age=5))
    assert shown == "IDToken(client_id='web', max_age=5)"
    assert "hash" not in repr(AccessToken())


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (AccessToken, "typ", ""),
        (AccessToken, "typ", " "),
        (AccessToken, "typ", "application/"),
        (AccessToken, "typ", []),
        (AccessToken, "typ", ["JWT", ""]),
        (AccessToken, "claims", {"": 1}),
        (AccessToken, "claims", {"tenant": None}),
        (AccessToken, "claims", {"tenant": {"hunter2"}}),
        (AccessToken, "claims", {"tenant": nan}),
        (AccessToken, "claims", {"tenant": b"hunter2"}),
        (IDToken, "client_id", " "),
        (IDToken, "nonce", ""),
        (IDToken, "access_token", ""),
        (IDToken, "access_token", "hunter2é"),
        (IDToken, "access_token", "hunter2\n"),
        (IDToken, "max_age", -1),
        (IDToken, "max_age", nan),
    ],
)
def test_a_wrong_value_is_refused(kind: Any, name: str, value: object) -> None:
    """By a `ValueError` that names the parameter and repeats no value."""
    options = {"client_id": "web"} if kind is IDToken else {}
    with pytest.raises(ValueError, match=f"^{name}: expected ") as caught:
        kind(**(options | {name: value}))
    assert "hunter2" not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (AccessToken, "typ", None),
        (AccessToken, "typ", 5),
        (AccessToken, "typ", b"JWT"),
        (AccessToken, "typ", {"JWT": 1}),
        (AccessToken, "typ", ["JWT", 5]),
        (AccessToken, "claims", [("tenant", 1)]),
        (AccessToken, "claims", {5: 1}),
        (AccessToken, "check", wait),
        (AccessToken, "check", dict),
        (AccessToken, "check", "print"),
        (IDToken, "client_id", None),
        (IDToken, "client_id", ["web"]),
        (IDToken, "nonce", 5),
        (IDToken, "access_token", b"token"),
        (IDToken, "max_age", "300"),
        (IDToken, "max_age", True),
    ],
)
def test_a_wrong_type_is_refused(kind: Any, name: str, value: object) -> None:
    """By a `TypeError` that names the parameter."""
    options = {"client_id": "web"} if kind is IDToken else {}
    with pytest.raises(TypeError, match=f"^{name}: expected "):
        kind(**(options | {name: value}))
