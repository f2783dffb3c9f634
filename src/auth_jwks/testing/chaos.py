"""`ChaosStore`: a store with faults on demand."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from math import inf
from typing import Any, Literal, TypeVar, get_args

from auth_jwks._clock import SYSTEM_CLOCK, Clock
from auth_jwks.stores._names import store_name
from auth_jwks.stores.base import Answer, KeyStore, Lease, LeaseRequest, StoreUnavailable

__all__ = ["ChaosStore"]

Operation = Literal["poll", "commit", "fail"]
Kind = Literal["refuse", "lose", "slow", "hang"]
T = TypeVar("T")


@dataclass(slots=True)
class _Fault:
    kind: Kind
    error: Exception
    seconds: float
    left: float
    on: Operation | None


class ChaosStore:
    """Passes every call on to another store, unless a fault is in force.

    Faults last until `recover()` or for `times` calls, and apply to one operation (`"poll"`,
    `"commit"`, `"fail"`) or to all. They add up: after `slow()` and `refuse()` a call waits and
    then fails. `calls` names the calls so far, in order.
    """

    def __init__(self, store: KeyStore, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self.calls: list[Operation] = []
        self._store = store
        self._clock = clock
        self._faults: list[_Fault] = []
        self._released = asyncio.Event()

    def __repr__(self) -> str:
        return f"ChaosStore({self._store!r}, faults={len(self._faults)})"

    @property
    def name(self) -> str:
        """The name of the other store, or of its class."""
        return store_name(self._store)

    def refuse(
        self,
        error: Exception | None = None,
        *,
        times: int | None = None,
        on: Operation | None = None,
    ) -> None:
        """Raise an error, by default `StoreUnavailable`, without calling the store."""
        self._add("refuse", error, times=times, on=on)

    def lose(
        self,
        error: Exception | None = None,
        *,
        times: int | None = None,
        on: Operation | None = None,
    ) -> None:
        """Call the store, then raise the error: the reply was lost."""
        self._add("lose", error, times=times, on=on)

    def slow(
        self, seconds: float, *, times: int | None = None, on: Operation | None = None
    ) -> None:
        """Wait on the clock before each call."""
        self._add("slow", seconds=seconds, times=times, on=on)

    def hang(self, *, times: int | None = None, on: Operation | None = None) -> None:
        """Hold calls until `release()`."""
        self._add("hang", times=times, on=on)

    def release(self) -> None:
        """Let the held calls continue."""
        self._released.set()
        self._released = asyncio.Event()

    def recover(self) -> None:
        """End all faults, and release the held calls."""
        self._faults.clear()
        self.release()

    async def poll(self, key: str, *, known: int, lease: LeaseRequest | None) -> Answer:
        """Poll the store, as far as the faults allow."""
        return await self._pass_on("poll", lambda: self._store.poll(key, known=known, lease=lease))

    async def commit(
        self, lease: Lease, payload: bytes, *, ttl: float, window: float
    ) -> int | None:
        """Commit to the store, as far as the faults allow."""
        return await self._pass_on(
            "commit", lambda: self._store.commit(lease, payload, ttl=ttl, window=window)
        )

    async def fail(self, lease: Lease, *, retry_after: float, mismatch: bool = False) -> None:
        """Report a failure to the store, as far as the faults allow."""
        await self._pass_on(
            "fail", lambda: self._store.fail(lease, retry_after=retry_after, mismatch=mismatch)
        )

    async def aclose(self) -> None:
        """Close the store."""
        await self._store.aclose()

    def _add(
        self,
        kind: Kind,
        error: Exception | None = None,
        *,
        seconds: float = 0.0,
        times: int | None = None,
        on: Operation | None = None,
    ) -> None:
        if on is not None and on not in get_args(Operation):
            message = f"on: expected one of {', '.join(get_args(Operation))}, got {on!r}"
            raise ValueError(message)
        left = inf if times is None else times
        error = error or StoreUnavailable("unreachable")
        self._faults.append(_Fault(kind, error, seconds, left, on))

    def _faults_for(self, operation: Operation) -> list[_Fault]:
        """Return the faults that apply to this call, which counts as one of their `times`."""
        faults = [fault for fault in self._faults if fault.on in {None, operation}]
        for fault in faults:
            fault.left -= 1
        self._faults = [fault for fault in self._faults if fault.left > 0]
        return faults

    async def _pass_on(self, operation: Operation, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        self.calls.append(operation)
        faults = self._faults_for(operation)
        for fault in faults:
            await self._apply(fault)
        result = await call()
        for fault in faults:
            if fault.kind == "lose":
                raise fault.error
        return result

    async def _apply(self, fault: _Fault) -> None:
        if fault.kind == "refuse":
            raise fault.error
        if fault.kind == "slow":
            await self._clock.sleep(fault.seconds)
        if fault.kind == "hang":
            await self._released.wait()
