"""The event loop of a command, which lasts as long as one piece of work."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["finished"]

T = TypeVar("T")


def finished(work: Coroutine[Any, Any, T]) -> T:
    """Return the result of work, once it has ended."""
    return asyncio.run(work)
