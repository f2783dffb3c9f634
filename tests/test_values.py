"""The package's `dataclass`: its classes are those of the standard library."""

import copy
import dataclasses
import inspect
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError, field
from typing import Any, ClassVar

import pytest

from auth_jwks import _values

OPTIONS: list[dict[str, bool]] = [
    {"frozen": True},
    {"frozen": True, "eq": False},
    {"frozen": True, "repr": False},
    {"frozen": True, "kw_only": True},
    {},
    {"eq": False},
]


def sample(make: Callable[..., Any], **options: bool) -> Any:
    """Return a class that a `dataclass` has made."""

    class Sample:
        """A sample."""

        kind: ClassVar[str] = "sample"

        name: str
        size: float = 1.0
        tags: list[str] = field(default_factory=list, hash=False)
        secret: str = field(default="", repr=False)
        generation: object = field(default=None, compare=False)

        def __post_init__(self) -> None:
            if self.size < 0:
                raise ValueError("size: expected at least 0")

    return make(**options, slots=True)(Sample)


def both(**options: bool) -> tuple[Any, Any]:
    """Return the same class as the standard library makes it, and as the package does."""
    return sample(dataclasses.dataclass, **options), sample(_values.dataclass, **options)


@_values.dataclass(frozen=True, slots=True)
class Pair:
    """Two values."""

    left: object
    right: object = 0


@_values.dataclass(frozen=True, slots=True)
class Single:
    """One value."""

    value: object


@_values.dataclass(frozen=True, slots=True)
class Nothing:
    """No value."""


@_values.dataclass(frozen=True, slots=True, init=False)
class Own:
    """Methods of its own."""

    value: int

    def __init__(self, value: str) -> None:
        object.__setattr__(self, "value", int(value))

    def __repr__(self) -> str:
        return "its own"


@pytest.mark.parametrize("options", OPTIONS)
def test_classes_are_those_of_the_standard_library(options: dict[str, bool]) -> None:
    """Their signature, fields, slots and options, and what instances show and compare."""
    theirs, ours = both(**options)
    assert str(inspect.signature(ours)) == str(inspect.signature(theirs))
    assert inspect.get_annotations(ours.__init__) == inspect.get_annotations(theirs.__init__)
    for name in ("__name__", "__qualname__", "__doc__", "__slots__", "__match_args__", "kind"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert ours.__init__.__qualname__ == theirs.__init__.__qualname__
    assert repr(ours.__dataclass_params__) == repr(theirs.__dataclass_params__)
    assert list(map(repr, dataclasses.fields(ours))) == list(map(repr, dataclasses.fields(theirs)))
    assert (ours.__hash__ is None) is (theirs.__hash__ is None)
    given: dict[str, Any] = {"name": "a", "size": 2.0, "secret": "s"}
    for cls in (ours, theirs):
        one, twin = cls(**given), cls(**given, generation=1)
        assert (one == twin) is options.get("eq", True)
        assert one != cls(**given | {"size": 3.0})
        assert one != given
        assert dataclasses.asdict(one) == given | {"tags": [], "generation": None}
        assert dataclasses.replace(one, size=4.0).size == 4.0
        assert one.tags is not twin.tags
        assert "secret" not in repr(one)
    if options.get("repr", True):
        assert repr(ours(**given)) == repr(theirs(**given))


def test_wrong_arguments_get_pythons_own_words() -> None:
    """Those of the standard library too, each time that they are given."""
    theirs, ours = both(frozen=True)
    wrong: list[tuple[Any, ...]] = [(), ("a", 1.0, [], "", None, 7), ("a", -1.0)]
    for arguments in wrong:
        with pytest.raises((TypeError, ValueError)) as expected:
            theirs(*arguments)
        for _ in range(2):
            with pytest.raises(expected.type) as caught:
                ours(*arguments)
            assert str(caught.value) == str(expected.value)


def test_a_frozen_value_keeps_its_fields() -> None:
    """Neither a field nor anything else is set or deleted."""
    pair = Pair(1)
    with pytest.raises(FrozenInstanceError, match=r"^cannot assign to field 'left'$"):
        pair.left = 2  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError, match=r"^cannot delete field 'right'$"):
        delattr(pair, Pair.__match_args__[1])
    with pytest.raises(FrozenInstanceError):
        pair.other = 2  # type: ignore[attr-defined]
    assert pair == Pair(1, 0)


@pytest.mark.parametrize("value", [Pair("a", (1, 2)), Single(None), Nothing()])
def test_values_are_copied_and_pickled(value: object) -> None:
    """The copy is equal, and has the same hash."""
    for twin in (copy.copy(value), copy.deepcopy(value), pickle.loads(pickle.dumps(value))):  # noqa: S301
        assert twin == value
        assert hash(twin) == hash(value)
        assert repr(twin) == repr(value)


def test_equality_is_that_of_the_fields() -> None:
    """Of one field, of none, and of a value that is not equal to itself."""
    nan = float("nan")
    assert Single(nan) == Single(nan)
    assert Single(1) != Single(2)
    other: object = Nothing()
    assert Single(1) != other
    assert Nothing() == Nothing()
    assert len({Pair(1, 2), Pair(1, 2), Pair(2, 1)}) == 2
    with pytest.raises(TypeError, match="unhashable type: 'list'"):
        hash(Single([]))


def test_a_class_keeps_its_own_methods() -> None:
    """Nothing that it defines is replaced."""
    assert Own("7").value == 7
    assert repr(Own("7")) == "its own"
    assert Own("7") == Own("7")


def test_patterns_match_by_position() -> None:
    """As with the standard library's classes."""
    match Pair(1, 2):
        case Pair(left, right):
            assert (left, right) == (1, 2)
        case _:
            pytest.fail("no match")
