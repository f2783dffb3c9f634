"""`dataclass` for this package: the same classes as the standard library's, imported sooner.

That one compiles up to six functions for each class when a module is imported. Here `__init__` is
compiled when its class is first called, and nothing else is compiled at all. Type checkers see the
original. Every class has slots, and every field is an argument of `__init__`.
"""

import dataclasses
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any

__all__ = ["dataclass"]

Fields = Sequence[dataclasses.Field[Any]]


def _dataclass(*, slots: bool, kw_only: bool = False, **options: bool) -> Callable[[type], type]:
    """Return a decorator: that of `dataclasses.dataclass` with these options."""
    bare = dataclasses.dataclass(init=False, repr=False, eq=False, slots=slots, kw_only=kw_only)
    told = {"init": True, "repr": True, "eq": True, "frozen": False} | options

    def decorated(given: type) -> type:
        cls: Any = bare(given)
        fields = dataclasses.fields(cls)
        added: dict[str, object] = {"__init__": _Init(cls, fields)} if told["init"] else {}
        if told["repr"]:
            added["__repr__"] = _repr([each.name for each in fields if each.repr])
        if told["eq"]:
            added |= _equality(fields, frozen=told["frozen"])
        if told["frozen"]:
            added |= _FROZEN
        for name, value in added.items():
            if name not in vars(given):
                setattr(cls, name, value)
        for name, value in told.items():
            setattr(cls.__dataclass_params__, name, value)
        made: type = cls
        return made

    return decorated


class _Init:
    """The `__init__` of a class. It is compiled at its first use, and takes its own place then."""

    def __init__(self, cls: Any, fields: Fields) -> None:
        self._cls = cls
        self._fields = fields

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        init = _compiled(self._cls, self._fields)
        self._cls.__init__ = init
        return init.__get__(instance, owner)


class _Absent:
    """Stands for an argument that is not given, where its default is made by a function."""

    def __repr__(self) -> str:
        return "<factory>"


_ABSENT = _Absent()


def _compiled(cls: Any, fields: Fields) -> Any:
    """Return an `__init__`. Values reach the code by name: only names of fields are part of it."""
    known: dict[str, Any] = {"__name__": cls.__module__, "_set": object.__setattr__}
    known["_absent"] = _ABSENT
    # Assigning to a slot is quicker, where it is allowed.
    line = " _set(self, {0!r}, {1})" if cls.__dataclass_params__.frozen else " self.{0} = {1}"
    plain, named, lines = ["self"], ["*"], []
    for each in fields:
        name = value = parameter = each.name
        if each.default is not dataclasses.MISSING:
            known[f"_default_{name}"] = each.default
            parameter = f"{name}=_default_{name}"
        elif each.default_factory is not dataclasses.MISSING:
            known[f"_make_{name}"] = each.default_factory
            parameter = f"{name}=_absent"
            value = f"_make_{name}() if {name} is _absent else {name}"
        (named if each.kw_only else plain).append(parameter)
        lines.append(line.format(name, value))
    if hasattr(cls, "__post_init__"):
        lines.append(" self.__post_init__()")
    parameters = plain + (named if len(named) > 1 else [])
    text = "\n".join([f"def __init__({', '.join(parameters)}):", *(lines or [" pass"])])
    exec(text, known)  # noqa: S102 - as `dataclasses` does it
    init = known.pop("__init__")
    init.__qualname__ = f"{cls.__qualname__}.__init__"
    init.__annotations__ = {each.name: each.type for each in fields} | {"return": None}
    return init


def _repr(names: Sequence[str]) -> Callable[[Any], str]:
    def shown(value: Any) -> str:
        fields = ", ".join(f"{name}={getattr(value, name)!r}" for name in names)
        return f"{type(value).__qualname__}({fields})"

    return shown


def _equality(fields: Fields, *, frozen: bool) -> dict[str, object]:
    """Return `__eq__`, and the `__hash__` that goes with it: none, if the values may change."""
    compared = _values([each.name for each in fields if each.compare])
    hashed = [each.name for each in fields if (each.compare if each.hash is None else each.hash)]

    def equal(value: object, other: object) -> object:
        if type(other) is not type(value):
            return NotImplemented
        return compared(value) == compared(other)

    return {"__eq__": equal, "__hash__": _hash(_values(hashed)) if frozen else None}


def _hash(hashed: Callable[[object], tuple[object, ...]]) -> Callable[[object], int]:
    return lambda value: hash(hashed(value))


def _values(names: Sequence[str]) -> Callable[[object], tuple[object, ...]]:
    """Return a function that returns the values of these fields as a tuple."""
    if len(names) > 1:
        return attrgetter(*names)
    return lambda value: tuple(getattr(value, name) for name in names)


def _no_change(_self: object, name: str, *value: object) -> None:
    what = "assign to" if value else "delete"
    raise dataclasses.FrozenInstanceError(f"cannot {what} field {name!r}")


def _state(self: Any) -> list[object]:
    return [getattr(self, each.name) for each in dataclasses.fields(self)]


def _set_state(self: Any, state: Sequence[object]) -> None:
    for each, value in zip(dataclasses.fields(self), state, strict=True):
        object.__setattr__(self, each.name, value)


_FROZEN = {
    "__setattr__": _no_change,
    "__delattr__": _no_change,
    "__getstate__": _state,
    "__setstate__": _set_state,
}

if TYPE_CHECKING:
    from dataclasses import dataclass
else:
    dataclass = _dataclass
