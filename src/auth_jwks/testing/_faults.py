"""Faults of a provider, and how long and for which document each lasts."""

import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypedDict

from auth_jwks.testing._answer import Answer

__all__ = ["Document", "Faults", "Scope"]

Document = Literal["discovery", "jwks"]


class Scope(TypedDict, total=False):
    """Where a fault applies and for how long: by default to both documents, until `recover()`."""

    times: int | None
    on: Document | None


@dataclass(slots=True)
class _Fault:
    changes: Mapping[str, Any]
    left: float
    on: Document | None


class Faults:
    """The faults in force, in order; safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[_Fault] = []

    def add(
        self,
        changes: Mapping[str, Any],
        *,
        times: int | None = None,
        on: Document | None = None,
    ) -> None:
        """Change these fields of future answers."""
        if on not in {None, "discovery", "jwks"}:
            message = f"on: expected 'discovery' or 'jwks', got {on!r}"
            raise ValueError(message)
        with self._lock:
            self._faults.append(_Fault(changes, math.inf if times is None else times, on))

    def clear(self) -> None:
        """End them all."""
        with self._lock:
            self._faults.clear()

    def apply(self, answer: Answer, name: Document) -> Answer:
        """Return the answer with the faults in force; it counts as one of their `times`."""
        with self._lock:
            for fault in self._faults:
                if fault.on in {None, name}:
                    fault.left -= 1
                    answer = replace(answer, **fault.changes)
            self._faults = [fault for fault in self._faults if fault.left > 0]
        return answer
