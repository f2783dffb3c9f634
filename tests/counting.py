"""Counts what our own code does for something: no machine's noise changes a number of calls."""

import os
import sys
from collections import Counter
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any, TypeVar

__all__ = ["at_once", "frames", "system_calls"]

T = TypeVar("T")


def frames(act: Callable[[], object], package: str = "auth_jwks") -> Counter[str]:
    """Return how often each Python function of a package is entered, in this thread.

    Those of dependencies are left out, as their number differs from release to release.
    """

    def name(frame: FrameType, event: str, _argument: object) -> str:
        module = str(frame.f_globals.get("__name__"))
        is_ours = event == "call" and f"{module}.".startswith(f"{package}.")
        return f"{module}.{frame.f_code.co_qualname}" if is_ours else ""

    return _counted(act, name)


def system_calls(act: Callable[[], object]) -> Counter[str]:
    """Return how often each function of the operating system's module is called."""

    def name(_frame: FrameType, event: str, argument: Any) -> str:
        is_system = event == "c_call" and argument.__module__ == os.name
        return str(argument.__name__) if is_system else ""

    return _counted(act, name)


def _counted(act: Callable[[], object], name: Callable[[FrameType, str, Any], str]) -> Counter[str]:
    """Count the calls that have a name."""
    counts: Counter[str] = Counter()

    def note(frame: FrameType, event: str, argument: object) -> None:
        if called := name(frame, event, argument):
            counts[called] += 1

    sys.setprofile(note)
    try:
        act()
    finally:
        sys.setprofile(None)
    return counts


def at_once(call: Coroutine[Any, Any, T]) -> T:
    """Return what a coroutine returns that suspends nowhere."""
    try:
        call.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    call.close()
    raise AssertionError("it waits")
