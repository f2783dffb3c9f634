"""The workers that verify, and a journal of the library's events."""

import time
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import asdict
from typing import Any

from auth_jwks import JWKS
from auth_jwks.events import Event, KeysRefreshed, Observer, RefreshFailed, StaleServed, UnknownKey

__all__ = ["Journal", "Worker", "measured"]

# Seconds and outcome of each verification in the current request.
measured: ContextVar[list[tuple[float, str]]] = ContextVar("measured")


class Journal:
    """The latest events, newest first. A repeated event caused by tokens is only counted."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.entries: deque[dict[str, Any]] = deque(maxlen=60)
        self._now = now

    def add(self, who: str, event: Event) -> None:
        """Record an event of the library."""
        told = asdict(event)
        told.pop("source")
        age = told.pop("age", None)
        entry = {"who": who, "name": type(event).__name__, "told": told}
        last = self.entries[0] if self.entries else {}
        again = isinstance(event, StaleServed | UnknownKey) and entry.items() <= last.items()
        times = last["times"] + 1 if again else 1
        if times > 1:
            self.entries.popleft()
        self.entries.appendleft({**entry, "age": age, "at": self._now(), "times": times})


class Worker:
    """One verifier that can be restarted. Its verifications are timed."""

    def __init__(self, name: str, make: Callable[[Observer], JWKS], journal: Journal) -> None:
        self.name = name
        self._make = make
        self._journal = journal
        self._start()

    async def verify_token(self, token: str, /) -> dict[str, Any]:
        """Return the claims, or raise `jwt.InvalidTokenError`; record how long that took."""
        began, refreshes, outcome = time.perf_counter(), self._refreshes, "verified"
        try:
            return await self.jwks.verify_token(token)
        except Exception as error:
            outcome = type(error).__name__
            raise
        finally:
            seconds = time.perf_counter() - began
            refreshed = self._refreshes > refreshes or self.jwks.status().refreshing
            measured.get([]).append((seconds, outcome + ", during a refresh" * refreshed))

    async def restart(self) -> None:
        """Forget every key and token, as a new process would."""
        await self.jwks.close()
        self._start()

    def view(self) -> dict[str, Any]:
        """Return the state of its keys, and where they came from."""
        return {**asdict(self.jwks.status()), "name": self.name, "origin": self._origin}

    def _start(self) -> None:
        self._origin: str | None = None
        self._refreshes = 0
        self.jwks = self._make(self._observe)

    def _observe(self, event: Event) -> None:
        if isinstance(event, KeysRefreshed):
            self._origin = event.origin
        if isinstance(event, KeysRefreshed | RefreshFailed):
            self._refreshes += 1
        self._journal.add(self.name, event)
