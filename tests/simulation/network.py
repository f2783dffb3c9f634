"""The network between one worker and the rest: it takes time, and breaks."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from math import inf, isfinite
from typing import Literal, TypeVar

from tests.simulation.keyring import Keyring
from tests.simulation.machine import Process
from tests.simulation.provider import Answer, Provider, UnreachableError, portal

__all__ = ["Exchange", "HTTPCache", "ReadTimeoutError", "Way", "Web", "exchange"]

T = TypeVar("T")
State = Literal["up", "unreachable", "no_route", "other_issuer"]


class ReadTimeoutError(Exception):
    """No answer in time."""


async def exchange(
    process: Process, out: float, back: float | Callable[[], float], act: Callable[[], T]
) -> T:
    """Have something done elsewhere, and get its result, both after a while, or never.

    How long the way `back` takes may be asked for when it has been done.
    """
    loop, scheduler = asyncio.get_running_loop(), process.scheduler
    arrival: asyncio.Future[T] = loop.create_future()

    def deliver(settle: Callable[[], None]) -> None:
        if not loop.is_closed() and not process.is_dead:
            loop.call_soon_threadsafe(lambda: None if arrival.done() else settle())

    def arrive() -> None:
        settle: Callable[[], None]
        try:
            result = act()
        except Exception as fault:  # noqa: BLE001 - it is raised where it belongs
            failure = fault
            settle = lambda: arrival.set_exception(failure)  # noqa: E731
        else:
            settle = lambda: arrival.set_result(result)  # noqa: E731
        if isfinite(seconds := back() if callable(back) else back):
            scheduler.at(scheduler.now + seconds, lambda: deliver(settle))

    if isfinite(out):
        scheduler.at(scheduler.now + out, arrive)
    return await arrival


@dataclass(slots=True)
class Way:
    """How a worker reaches the provider at the moment."""

    latency: float
    state: State = "up"
    extra: float = 0.0


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request that reached the provider."""

    at: float
    who: str
    url: str
    status: int


@dataclass(slots=True)
class HTTPCache:
    """A shared HTTP cache: gives what it holds for as long as it is fresh, unless told not to."""

    held: dict[str, tuple[float, Answer]] = field(default_factory=dict)

    def get(self, url: str, headers: Mapping[str, str], now: float) -> Answer | None:
        """Return a fresh copy."""
        if url not in self.held or "no-cache" in headers.get("cache-control", ""):
            return None
        stored, answer = self.held[url]
        _, _, life = answer.headers.get("cache-control", "").partition("max-age=")
        if not life or now - stored >= float(life):
            return None
        aged = {**answer.headers, "age": f"{now - stored:.0f}"}
        if headers.get("if-none-match") == answer.headers.get("etag", ""):
            return Answer(304, aged, b"")
        return replace(answer, headers=aged)

    def put(self, url: str, answer: Answer, now: float) -> None:
        """Keep a good answer."""
        if answer.status == 200:
            self.held[url] = now, answer


class Web:
    """One worker's HTTP client: what `http_client=` takes.

    What is `armed` happens when it sends its next request.
    `fetched` is when the provider, or the cache, gave what was received last.
    """

    def __init__(
        self, name: str, process: Process, provider: Provider, way: Way, ring: Keyring,
        log: list[Exchange], cache: HTTPCache | None, armed: list[Callable[[], None]],
    ) -> None:  # fmt: skip
        self.headers = {"user-agent": "simulation"}
        self.fetched = -inf
        self._name = name
        self._process = process
        self._provider = provider
        self._way = way
        self._ring = ring
        self._log = log
        self._cache = cache
        self._armed = armed

    def __repr__(self) -> str:
        return f"Web({self._name!r}, {self._way})"

    @asynccontextmanager
    async def stream(
        self, method: str, url: str, *, headers: Mapping[str, str], timeout: float,  # noqa: ASYNC109
        follow_redirects: bool,
    ) -> AsyncIterator["Response"]:  # fmt: skip
        """Send a request."""
        assert (method, follow_redirects) == ("GET", False)
        sent = {name.lower(): value for name, value in headers.items()}
        try:
            async with asyncio.timeout(timeout):
                answer = await self._sent(url, sent)
        except TimeoutError:
            raise ReadTimeoutError from None
        yield Response(answer, self._process, timeout)

    async def aclose(self) -> None:
        """Do nothing: it holds nothing."""

    async def _sent(self, url: str, headers: Mapping[str, str]) -> Answer:
        if self._armed:
            now = self._process.scheduler.now
            self._process.scheduler.at(now + self._way.latency / 2, self._armed.pop())
        way = self._way
        out = inf if way.state == "no_route" else way.latency + way.extra
        back = inf if self._provider.outage == -2 else way.latency + way.extra
        return await exchange(self._process, out, back, lambda: self._arrived(url, headers))

    def _arrived(self, url: str, headers: Mapping[str, str]) -> Answer:
        now = self._process.scheduler.now
        if self._way.state == "unreachable":
            raise UnreachableError("connection refused")
        if self._way.state == "other_issuer":
            return portal(url, self._ring)
        copy = self._cache.get(url, headers, now) if self._cache is not None else None
        if copy is not None:
            self.fetched = now
            return copy
        try:
            answer = self._provider.answer(url, headers.get("if-none-match"), now)
        except UnreachableError:
            self._log.append(Exchange(now, self._name, url, 0))
            raise
        self._log.append(Exchange(now, self._name, url, answer.status))
        self.fetched = now
        if self._cache is not None:
            self._cache.put(url, answer, now)
        return answer


@dataclass(slots=True)
class Response:
    """An answer whose head is there, and whose body arrives in the loop's next turns."""

    answer: Answer
    process: Process
    timeout: float
    is_stream_consumed: bool = False

    @property
    def status_code(self) -> int:
        """The status."""
        return self.answer.status

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, in lower case."""
        return self.answer.headers

    @property
    def content(self) -> bytes:
        """The body."""
        return self.answer.body

    async def aiter_raw(self) -> AsyncIterator[bytes]:
        """Read the body."""
        yield await exchange(self.process, 0.0, 0.0, lambda: self.answer.body)
