"""`dataclass` of the standard library, which makes the methods of a class when it is first used.

The original compiles six functions for each class at import, in half a millisecond.
"""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

__all__ = ["dataclass"]

METHODS = (
    "__repr__", "__eq__", "__hash__", "__setattr__", "__delattr__", "__getstate__", "__setstate__",
    "__init__",
)  # fmt: skip
OWN = ("__doc__", "__post_init__")  # that the making of the others depends on


def _dataclass(*, kw_only: bool = False, **options: Any) -> Callable[[type], type]:
    """Return a decorator: that of `dataclasses.dataclass`, for classes with slots."""
    bare = dataclasses.dataclass(init=False, repr=False, eq=False, slots=True, kw_only=kw_only)

    def decorated(given: type) -> type:
        cls: Any = bare(given)

        def complete() -> None:
            fields: list[Any] = [(each.name, each.type, each) for each in dataclasses.fields(cls)]
            own = {name: vars(given)[name] for name in OWN if name in vars(given)}
            made = dataclasses.make_dataclass(cls.__qualname__, fields, namespace=own, **options)
            found = {**vars(made), **vars(given)}
            for name in METHODS:
                if name in found:
                    setattr(cls, name, found[name])

        def first(self: Any, *values: object, **named: object) -> None:
            complete()
            self.__init__(*values, **named)

        def restored(self: Any, state: object) -> None:
            complete()
            self.__setstate__(state)

        cls.__init__, cls.__setstate__ = first, restored
        cls.__dataclass_params__.frozen = options.get("frozen", False)  # read by subclasses
        done: type = cls
        return done

    return decorated


if TYPE_CHECKING:
    from dataclasses import dataclass
else:
    dataclass = _dataclass
