"""Value classes are those of the standard library, whose methods are made at the first use."""

import copy
import dataclasses
import inspect
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError, field
from typing import Any

import pytest

from auth_jwks import _values, stores
from auth_jwks._cache.outcome import Done
from auth_jwks.events import StaleServed

own: Any = getattr(_values, "dataclass")  # noqa: B009 - for type checkers it is the original


def declared(decorator: Any) -> Any:
    """Return a class with all that the package's classes have."""

    @decorator(slots=True, frozen=True)
    class Value:
        """What it is."""

        name: str
        number: float = 1.0
        secret: str | None = field(default=None, repr=False, kw_only=True)
        counts: dict[str, int] = field(default_factory=dict, hash=False)

        def __post_init__(self) -> None:
            if not self.name:
                raise ValueError("name: expected one")

        @property
        def double(self) -> float:
            return self.number * 2

    return Value


def subclass(base: Any) -> Any:
    """Return a class whose methods take other arguments, and call those of the base."""

    class Sub(base):  # type: ignore[misc]
        __slots__ = ()

        def __init__(self, name: str) -> None:
            super().__init__(name, 3.0, secret="s")

        def __setstate__(self, state: Any) -> None:
            super().__setstate__(state)

    return Sub


def outcome(act: Any) -> object:
    """Return what it returns, or the error, in words."""
    try:
        return act()
    except (TypeError, ValueError, AttributeError) as fault:
        return f"{type(fault).__name__}: {fault}"


ACTS: dict[str, Any] = {
    "repr": lambda cls: repr(cls("a", secret="s")),
    "positions": lambda cls: dataclasses.astuple(cls("a", 2.0, {"x": 1}, secret="s")),
    "defaults": lambda cls: dataclasses.asdict(cls("a")),
    "own defaults": lambda cls: cls("a").counts is cls("a").counts,
    "equal": lambda cls: (cls("a") == cls("a"), cls("a") == cls("b"), cls("a") == "a"),
    "hash": lambda cls: hash(cls("a", counts={"x": 1})) == hash(cls("a")),
    "another type": lambda cls: cls("a") != declared(own)("a"),
    "too few": lambda cls: cls(),
    "too many": lambda cls: cls("a", 1.0, {}, None),
    "unknown": lambda cls: cls("a", other=1),
    "checked": lambda cls: cls(""),
    "assigned": lambda cls: setattr(cls("a"), "name", "b"),
    "deleted": lambda cls: delattr(cls("a"), "name"),
    "replaced": lambda cls: dataclasses.astuple(dataclasses.replace(cls("a"), number=3.0)),
    "replaced by one that is checked": lambda cls: dataclasses.replace(cls("a"), name=""),
    "copied": lambda cls: copy.copy(cls("a")) == copy.deepcopy(cls("a")) == cls("a"),
    "property": lambda cls: cls("a").double,
    "slots": lambda cls: (cls.__slots__, hasattr(cls("a"), "__dict__")),
    "matched": lambda cls: cls.__match_args__,
    "documentation": lambda cls: cls.__doc__,
    "fields": lambda cls: [repr(each) for each in dataclasses.fields(cls)],
    "is one": dataclasses.is_dataclass,
    "signature": lambda cls: str(inspect.signature(cls)),
    "constructor of a subclass": lambda cls: subclass(cls)("a").double,
    "copy of a subclass": lambda cls: copy.copy(subclass(cls)("a")).name,
}


@pytest.mark.parametrize("act", ACTS)
def test_it_behaves_as_the_original(act: str) -> None:
    """At the first use of a class, whatever that is, and at the second one."""
    ours, theirs = declared(own), declared(dataclasses.dataclass)
    expected = outcome(lambda: ACTS[act](theirs))
    assert outcome(lambda: ACTS[act](ours)) == expected
    assert outcome(lambda: ACTS[act](ours)) == expected


def test_what_a_class_defines_stays() -> None:
    """Its own constructor, equality and representation, if it is told so or not."""

    @own(frozen=True, slots=True, init=False, eq=False)
    class Value:
        name: str

        def __init__(self) -> None:
            object.__setattr__(self, "name", "set")

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Value)

        def __hash__(self) -> int:
            return 1

        def __repr__(self) -> str:
            return "own"

    first = Value()
    assert (first.name, repr(first), first == Value(), hash(first)) == ("set", "own", True, 1)
    with pytest.raises(FrozenInstanceError):
        first.name = "other"


def test_a_subclass_may_be_made_before_any_instance() -> None:
    """By the original, which refuses to mix frozen classes with others."""
    base = declared(own)
    made = dataclasses.make_dataclass("Sub", [("more", int, 0)], bases=(base,), frozen=True)
    assert (made("a", more=2).more, made("a").double, isinstance(made("a"), base)) == (2, 2.0, True)


def test_a_subclass_may_be_restored_before_any_instance() -> None:
    """Its own method gets the state once, and calls that of the base."""
    first = subclass(declared(own))
    restored = first.__new__(first)
    restored.__setstate__(["a", 1.0, None, {}])
    assert restored.name == "a"


def test_a_signature_is_that_of_the_class_itself() -> None:
    """Not that of the base, which was made late."""
    made = subclass(declared(own))
    assert str(inspect.signature(made)) == "(name: str) -> None"


def test_a_frozen_class_is_so_at_once_in_threads() -> None:
    """Several of them make the first instance."""
    for _ in range(20):
        cls = declared(own)
        complete = cls.__init__  # as a thread holds it while another one comes
        with ThreadPoolExecutor(4) as pool:
            made = [*pool.map(cls, "aaaa")]
        complete(last := cls("b"), "a")
        assert {*made} == {last}


def test_a_class_without_fields_has_one_value() -> None:
    """Written by hand or not."""
    assert len({Done(), Done()}) == len({stores.Unchanged(), stores.Unchanged()}) == 1
    assert Done() != stores.Unchanged()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_process_without_an_instance_reads_a_pickle(protocol: int) -> None:
    """There the first instance is made without a constructor."""
    values = StaleServed("s", 2.0, first=True), stores.Granted(stores.Lease("k", "h", 1, 2, 3, 4))
    raw = pickle.dumps(values, protocol)
    program = (
        f"import pickle; one, two = pickle.loads({raw!r})\n"
        "assert repr(one) == \"StaleServed(source='s', age=2.0, first=True)\", one\n"
        "assert (two.lease.ttl, hash(one) == hash(one), one == one, one == two) == "
        "(2, True, True, False)\n"
        "try: one.age = 1\n"
        "except AttributeError: print('frozen')\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=60
    )
    assert (ran.stdout, ran.stderr) == ("frozen\n", "")
