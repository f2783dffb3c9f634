"""All observers of one verifier, as one: events, verifications, and work under way."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from inspect import iscoroutinefunction
from types import TracebackType
from typing import Any

from auth_jwks._cache.announce import GuardedObserver
from auth_jwks._clock import SYSTEM_CLOCK, Clock
from auth_jwks._settings import checked_parts
from auth_jwks.events import Event, Observer, Operation, VerificationResult

__all__ = ["Observers", "checked_observers", "during"]

# A plain function can't be cancelled. If it raises that, it asked a cancelled future.
FAULTS = (Exception, asyncio.CancelledError)

_NOTHING = nullcontext()


class Observers:
    """Passes everything on to each observer, in their order. A fault of one affects no other.

    `are_any` and `is_counting` say whether there are any, and any that counts verifications.
    Without them a call does nothing, so where it must be quick it can be left out.
    """

    def __init__(
        self, observers: Sequence[Observer] = (), source: str = "", clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._guarded = tuple(
            _Guarded(one, source, GuardedObserver(one, clock)) for one in observers
        )
        self._counting = tuple(one for one in self._guarded if one.has("counter"))
        self._timing = tuple(one for one in self._guarded if one.has("during"))
        self.each = tuple(observers)
        self.are_any = bool(self._guarded)
        self.is_counting = bool(self._counting)
        for one in self._counting:
            one.bind()

    def __repr__(self) -> str:
        return f"Observers({len(self._guarded)})"

    def __call__(self, event: Event, /) -> None:
        """Pass an event to each observer."""
        for one in self._guarded:
            one.told(event)

    def count(self, result: VerificationResult) -> None:
        """Pass the result of a verification to the counters. In any thread."""
        for one in self._counting:
            one.count(result)

    def during(self, operation: Operation) -> AbstractContextManager[object]:
        """Return a context manager to enter once, by `with`, around some work, which may await.

        Exceptions pass through it.
        """
        return self._during(operation) if self._timing else _NOTHING

    @contextmanager
    def _during(self, operation: Operation) -> Iterator[None]:
        with ExitStack() as stack:
            for one in self._timing:
                stack.enter_context(_GuardedContext(one, operation))
            yield


class _Guarded:
    """One observer of a source, whose faults do not leave `told`."""

    def __init__(self, observer: Any, source: str, told: GuardedObserver) -> None:
        self.told = told
        self._observer = observer
        self._source = source
        self._counter: Callable[[VerificationResult], object] = _ignore

    def has(self, method: str) -> bool:
        return callable(getattr(self._observer, method, None))

    def bind(self) -> None:
        try:
            self._counter = self._observer.counter(self._source)
        except FAULTS as fault:
            self.told.failed("counter", fault)

    def count(self, result: VerificationResult) -> None:
        try:
            self._counter(result)
        except FAULTS as fault:
            self.told.failed("counter", fault)

    def entered(self, operation: Operation) -> AbstractContextManager[object] | None:
        """Return the observer's context, entered; None if that failed."""
        try:
            context: AbstractContextManager[object] = self._observer.during(operation, self._source)
            context.__enter__()
        except FAULTS as fault:
            self.told.failed("during", fault)
            return None
        return context


class _GuardedContext:
    """The context manager of one observer. Exceptions pass through it, and it raises no other."""

    def __init__(self, observer: _Guarded, operation: Operation) -> None:
        self._observer = observer
        self._operation: Operation = operation
        self._context: AbstractContextManager[object] | None = None

    def __enter__(self) -> None:
        self._context = self._observer.entered(self._operation)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._context is None:
            return
        try:
            self._context.__exit__(kind, error, traceback)
        except FAULTS as fault:
            self._observer.told.failed("during", fault)


def during(observer: Observer | None, operation: Operation) -> AbstractContextManager[object]:
    """Return the context of `Observers.during`, or one that does nothing if there are none."""
    return observer.during(operation) if isinstance(observer, Observers) else _NOTHING


def checked_observers(observer: object) -> tuple[Observer, ...]:
    """Return the observers that a parameter names: none, one, or a sequence. Raises `TypeError`."""
    if observer is None:
        return ()
    if callable(observer) or isinstance(observer, str) or not isinstance(observer, Sequence):
        return (_checked(observer),)
    return tuple(map(_checked, observer))


def _checked(observer: Any) -> Observer:
    if iscoroutinefunction(observer):
        raise TypeError("observer: expected a plain function, as a coroutine would not be awaited")
    expected = "a callable that takes an event, or a sequence of them"
    checked: Observer = checked_parts("observer", observer, expected, "__call__")
    return checked


def _ignore(_result: VerificationResult) -> None:
    """Stand in for a counter that could not be made."""
