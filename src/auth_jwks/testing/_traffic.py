"""The requests that arrived at a provider: recorded, held, awaited. Safe between threads."""

import asyncio
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass

__all__ = ["Request", "Traffic"]


@dataclass(frozen=True, slots=True)
class Request:
    """A request that reached the provider. The names of `headers` are in lower case.

    `status` is the status of the answer, sent on release if the request is held; `None` if the
    request is refused.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    status: int | None


class Traffic:
    """The requests since the last `reset`, and those that are held."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: list[Request] = []
        self._awaited: list[tuple[int, Future[bool]]] = []
        self._held: list[Future[bool]] = []

    @property
    def requests(self) -> tuple[Request, ...]:
        """Every request, in order of arrival."""
        with self._lock:
            return tuple(self._requests)

    def record(self, request: Request, *, held: bool) -> Future[bool] | None:
        """Record a request. Return for a held one a future of whether it is to be answered."""
        gate: Future[bool] | None = Future() if held else None
        with self._lock:
            self._requests.append(request)
            self._held += [gate] if gate else []
            complete = [future for count, future in self._awaited if count <= len(self._requests)]
            self._awaited = [entry for entry in self._awaited if entry[1] not in complete]
        for future in complete:
            _resolve(future, value=True)
        return gate

    def release(self, *, answered: bool) -> None:
        """Answer or drop every held request."""
        with self._lock:
            gates, self._held = self._held, []
        for gate in gates:
            _resolve(gate, value=answered)

    def reset(self) -> None:
        """Forget the requests so far."""
        with self._lock:
            self._requests.clear()

    async def arrived(self, count: int, within: float) -> None:
        """Return once `count` requests have arrived; `TimeoutError` after `within` real seconds."""
        future: Future[bool] = Future()
        with self._lock:
            if len(self._requests) >= count:
                return
            self._awaited.append((count, future))
        try:
            async with asyncio.timeout(within):
                await asyncio.wrap_future(future)
        except TimeoutError:
            message = f"{len(self.requests)} of {count} requests arrived within {within} seconds"
            raise TimeoutError(message) from None


def _resolve(future: Future[bool], *, value: bool) -> None:
    if future.set_running_or_notify_cancel():
        future.set_result(value)
