"""`CurrentKeys`: which set replaces which."""

from auth_jwks._cache.current import CurrentKeys
from auth_jwks._cache.freshness import Lifetime


def fetched(at: float) -> CurrentKeys:
    """Return a set that was fetched then."""
    return CurrentKeys(life=Lifetime(at, at + 10, at + 20, at + 30))


def test_another_set_replaces_it_if_it_was_fetched_since() -> None:
    """At that time or later; one that was fetched before may lack what the refresh was for."""
    before = fetched(100)
    assert fetched(105).replaces(before, since=105)
    assert fetched(106).replaces(before, since=105)
    assert not fetched(104.75).replaces(before, since=105)


def test_a_set_does_not_replace_itself() -> None:
    """However young it is; an equal one that was fetched since does."""
    before = fetched(100)
    assert not before.replaces(before, since=90)
    assert fetched(100).replaces(before, since=90)


def test_the_default_is_no_set() -> None:
    """It has no keys and no issuer, is past all service, and replaces nothing."""
    none = CurrentKeys()
    assert (none.key_set.keys, none.document, none.issuer) == ((), None, None)
    assert none.life.dies < 0
    assert not none.replaces(fetched(100), since=0)
