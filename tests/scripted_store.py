"""A key store that plays a script: for what a real one does once in a blue moon."""

import asyncio
from collections.abc import Callable
from typing import NoReturn, TypeVar

from auth_jwks.stores import Answer, Granted, Lease, LeaseRequest, Unchanged

__all__ = ["ScriptedStore", "Silence", "Step", "granted"]

T = TypeVar("T")

Step = Answer | Exception | Callable[[str, LeaseRequest | None], Answer]


class Silence(Exception):  # noqa: N818 - played like one, and no error
    """A call that is never answered."""


def granted(fence: int = 1, failures: int = 0) -> Step:
    """Grant a lease to whoever asks for one."""

    def answer(key: str, request: LeaseRequest | None) -> Answer:
        if request is None:
            return Unchanged()
        return Granted(Lease(key, request.holder, fence, request.ttl, 0.0, failures))

    return answer


class ScriptedStore:
    """Plays its polls, commits and fails in order, the last of each for ever.

    An exception is raised; `polls`, `commits` and `fails` record what was asked.
    """

    def __init__(
        self,
        *polls: Step,
        commits: tuple[int | Exception | None, ...] = (1,),
        fails: tuple[Exception | None, ...] = (None,),
    ) -> None:
        self._polls, self._commits, self._fails = list(polls), list(commits), list(fails)
        self.polls: list[tuple[int, LeaseRequest | None]] = []
        self.commits: list[tuple[Lease, bytes, float, float]] = []
        self.fails: list[tuple[Lease, float, bool]] = []

    def __repr__(self) -> str:
        return f"ScriptedStore(polls={len(self.polls)}, commits={len(self.commits)})"

    @property
    def leases(self) -> list[LeaseRequest]:
        """The leases that were asked for."""
        return [lease for _, lease in self.polls if lease is not None]

    def play(self, *polls: Step) -> None:
        """Go on with another script of polls."""
        self._polls = list(polls)

    async def poll(self, key: str, *, known: int, lease: LeaseRequest | None) -> Answer:
        """Answer by the script."""
        self.polls.append((known, lease))
        step = _next(self._polls)
        if isinstance(step, Exception):
            await _fault(step)
        return step(key, lease) if callable(step) else step

    async def commit(
        self, lease: Lease, payload: bytes, *, ttl: float, window: float
    ) -> int | None:
        """Note what was fetched."""
        self.commits.append((lease, payload, ttl, window))
        version = _next(self._commits)
        if isinstance(version, Exception):
            await _fault(version)
        return version

    async def fail(self, lease: Lease, *, retry_after: float, mismatch: bool = False) -> None:
        """Note for how long nobody should ask, and whether the issuer is why."""
        self.fails.append((lease, retry_after, mismatch))
        fault = _next(self._fails)
        if fault is not None:
            await _fault(fault)

    async def aclose(self) -> None:
        """Nothing was opened."""


def _next(script: list[T]) -> T:
    return script.pop(0) if len(script) > 1 else script[0]


async def _fault(fault: Exception) -> NoReturn:
    if isinstance(fault, Silence):
        await asyncio.Event().wait()
    raise fault
