"""Tells an observer when work begins and ends, if it wants to know that."""

from contextlib import AbstractContextManager, nullcontext

from auth_jwks.events import Observer, Operation

__all__ = ["during"]


def during(
    observer: Observer | None, operation: Operation, source: str
) -> AbstractContextManager[object]:
    """Return what the observer wants entered while the operation runs."""
    enter = getattr(observer, "during", None)
    context: AbstractContextManager[object] = enter(operation, source) if enter else nullcontext()
    return context
