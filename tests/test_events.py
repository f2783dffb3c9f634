"""The events themselves: values that an observer may keep, compare and count."""

import dataclasses
from typing import get_args

import pytest

from auth_jwks import events
from auth_jwks.events import Event, RefreshFailed, RefreshFault, UnknownKey

KINDS: tuple[type, ...] = get_args(Event)


def test_the_union_has_every_event() -> None:
    """Whoever matches on `Event` misses none that the module exports."""
    exported = [getattr(events, name) for name in events.__all__]
    assert {each for each in exported if dataclasses.is_dataclass(each)} == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_every_event_names_its_source_first(kind: type) -> None:
    """One observer may be told of several verifiers."""
    assert dataclasses.fields(kind)[0].name == "source"


def test_an_event_is_a_value() -> None:
    """It compares, can be counted, and stays what it was."""
    event = UnknownKey("https://issuer.test/jwks", asked=True)
    assert event == UnknownKey("https://issuer.test/jwks", asked=True)
    assert len({event, UnknownKey(event.source, asked=True), UnknownKey("b", asked=True)}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.asked = False  # type: ignore[misc]


@pytest.mark.parametrize("kind", get_args(RefreshFault))
def test_a_mismatch_is_one_kind_of_failure(kind: RefreshFault) -> None:
    """That of a provider that names another issuer, and no other."""
    failed = RefreshFailed("https://issuer.test/jwks", kind, "a reason", 5.0)
    assert failed.mismatch is (kind == "issuer_mismatch")
