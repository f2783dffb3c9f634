"""`dataclass` of the standard library, which makes what a class needs when it is first used.

The original compiles six functions for each class at import, in half a millisecond.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

__all__ = ["dataclass"]

ATTRIBUTES = ("__dataclass_fields__", "__dataclass_params__", "__match_args__")
METHODS = (
    "__repr__", "__eq__", "__hash__", "__setattr__", "__delattr__", "__replace__", "__getstate__",
    "__setstate__", "__init__",
)  # fmt: skip


class _Late:
    """An attribute of a class that is made, with all others, when it is asked for."""

    def __init__(self, name: str, complete: Callable[[], None]) -> None:
        self._name = name
        self._complete = complete

    def __get__(self, _instance: object, owner: type) -> object:
        self._complete()
        return getattr(owner, self._name)


def _dataclass(*, slots: bool, **options: bool) -> Callable[[type], type]:
    """Return a decorator: that of `dataclasses.dataclass`. Every annotation is one of a field."""

    def decorated(given: type) -> type:
        make = partial(type, given.__name__, given.__bases__)
        space = {"__qualname__": given.__qualname__, **vars(given)}
        for each in ("__dict__", "__weakref__"):
            space.pop(each, None)
        fields = tuple(given.__annotations__)
        own = {name: value for name, value in space.items() if name not in fields}
        cls: Any = make(own | {"__slots__": fields})

        def complete() -> None:
            # The original changes the class that it is given, and two threads may come here.
            made = vars(dataclasses.dataclass(slots=slots, **options)(make({**space})))
            for each in (*ATTRIBUTES, *METHODS):
                if each in made:
                    setattr(cls, each, made[each])
            cls.__signature__ = None  # so `inspect` looks at the constructor

        def first(self: Any, *values: object, **named: object) -> None:
            complete()
            cls.__init__(self, *values, **named)  # that of a subclass may have come here

        def restored(self: Any, state: object) -> None:
            complete()
            cls.__setstate__(self, state)

        cls.__init__, cls.__setstate__ = first, restored
        for each in (*ATTRIBUTES, "__signature__"):
            setattr(cls, each, _Late(each, complete))
        decorated_class: type = cls
        return decorated_class

    return decorated


if TYPE_CHECKING:
    from dataclasses import dataclass
else:
    dataclass = _dataclass
