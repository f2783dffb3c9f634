"""Why a refresh is made, and when that is met."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_jwks._cache.current import CurrentKeys
from auth_jwks._cache.freshness import Lifetime
from auth_jwks._cache.purpose import FindKey, Look, Purpose, Renew, Replace
from auth_jwks._jose.keys import parse_key_set
from auth_jwks.testing import SigningKey
from tests.cache.worker import FIRST, SECOND, STRANGER, token_of

NONE = CurrentKeys()


def fetched(at: float, *keys: SigningKey) -> CurrentKeys:
    """Return the keys of a set that was fetched then, and is due ten seconds later."""
    raw = json.dumps({"keys": [key.jwk() for key in keys or (FIRST,)]}).encode()
    return CurrentKeys(parse_key_set(raw, frozenset(("ES256",))), Lifetime(at, at + 10, at + 20))


BEFORE = fetched(100)


@pytest.mark.parametrize(
    ("purpose", "cause"),
    [
        (Renew(), "age"),
        (FindKey(token_of("second"), BEFORE, 105), "unknown_kid"),
        (Replace(BEFORE, 105), "forced"),
        (Look(), None),
    ],
)
def test_purpose_knows_its_cause(purpose: Purpose, cause: str | None) -> None:
    """The one that the store is told; a look asks for no lease."""
    assert purpose.cause == cause


def test_renewal_is_met_while_the_set_is_young() -> None:
    """Before its refresh point; without a set never."""
    assert Renew().is_met(BEFORE, 109.75)
    assert not Renew().is_met(BEFORE, 110)
    assert not Renew().is_met(NONE, 0)


def test_search_is_met_by_the_key_or_by_a_newer_set_without_it() -> None:
    """A set that was fetched before the search began proves nothing."""
    search = FindKey(token_of("second"), BEFORE, 105)
    assert not search.is_met(BEFORE, 106)
    assert search.is_met(fetched(50, FIRST, SECOND), 106)
    assert not search.is_met(fetched(104.75), 106)
    assert search.is_met(fetched(105), 106)


@pytest.mark.parametrize("kid", [None, "first"])
def test_search_is_met_by_the_key_that_signed_and_not_by_its_name(kid: str | None) -> None:
    """Without a `kid`, and where another key has got it, only the signature tells."""
    search = FindKey(token_of(kid, SECOND), BEFORE, 105)
    assert not search.is_met(BEFORE, 106)
    assert not search.is_met(fetched(104.75, FIRST), 106)
    assert not search.is_met(fetched(104.75, replace(STRANGER, kid="first")), 106)
    assert search.is_met(fetched(50, replace(SECOND, kid="first")), 106)
    assert search.is_met(fetched(105, FIRST), 106)


@given(
    at=st.floats(0, 200),
    signing=st.sampled_from([FIRST, SECOND, STRANGER]),
    published=st.lists(st.sampled_from([FIRST, SECOND, STRANGER]), min_size=1, unique_by=id),
    named=st.booleans(),
)
def test_search_ends_with_the_key_or_with_a_set_that_was_fetched_since(
    at: float, signing: SigningKey, published: list[SigningKey], *, named: bool
) -> None:
    """Whatever the token names and the set holds: neither less nor more than that."""
    token = token_of(signing.kid if named else None, signing)
    current = fetched(at, *published)
    assert FindKey(token, NONE, 100).is_met(current, 0) is (at >= 100 or signing in published)
    assert not FindKey(token, current, 100).is_met(current, 0)


def test_replacement_is_met_by_another_set_fetched_since() -> None:
    """The set at hand never meets it, even if it was fetched in that very moment."""
    assert not Replace(BEFORE, 100).is_met(BEFORE, 106)
    assert not Replace(BEFORE, 105).is_met(fetched(104.75), 106)
    assert Replace(BEFORE, 105).is_met(fetched(105), 106)


def test_look_is_met_by_whatever_is_found() -> None:
    """It is one look, not a wait."""
    assert Look().is_met(BEFORE, 106)
