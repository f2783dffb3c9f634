"""`RedisKeyStore`: the workers of a fleet share one fetch through Redis or Valkey."""

import logging
import os
import random
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import quote, urlsplit

from auth_jwks._clock import SYSTEM_CLOCK, Clock
from auth_jwks._provider.urls import redacted
from auth_jwks._settings import checked_number, checked_parts, checked_text
from auth_jwks.stores._breaker import Breaker, CallFailedError
from auth_jwks.stores._sealed import BrokenSealError, Sealer, checked_keys
from auth_jwks.stores.base import (
    MAX_CALL,
    Answer,
    Busy,
    Cooling,
    Granted,
    Lease,
    LeaseRequest,
    Newer,
    StoreUnavailable,
    Unchanged,
)
from auth_jwks.stores.gate import MICRO, microseconds

if TYPE_CHECKING:
    from auth_jwks.stores._driver import Client, Driver

__all__ = ["RedisKeyStore"]

logger = logging.getLogger("auth_jwks")

# Format of the script's hash and string. Workers with another format use keys of their own.
FORMAT = 2
MAX_CONNECT = 1.5  # less than a worker waits for a store
CENTURY = 36_525 * 86_400.0
REASONS: dict[bytes, Literal["budget", "failed", "mismatch"]] = {
    b"budget": "budget", b"failed": "failed", b"mismatch": "mismatch"
}  # fmt: skip
NO_LEASE = LeaseRequest("", 0.0, "age")


class RedisKeyStore:
    """Key sets in Redis ≥ 6.2 or Valkey, standalone or behind Sentinel or Cluster.

    `redis` is a URL (`redis://`, `rediss://`, `unix://`) or a client of `redis.asyncio` or
    `valkey.asyncio`, which stays open when the store is closed. `integrity_key`, one or several of
    at least 32 bytes, seals the stored documents: the first key seals, any of them opens.
    `timeout` limits a call, `connect_timeout` a call that has to connect. Both are in seconds.

    Raises `ValueError` or `TypeError`, which name the parameter, and `ImportError` without the
    extra `auth-jwks[redis]`.
    """

    def __init__(
        self,
        redis: "str | Client",
        *,
        prefix: str = "auth-jwks",
        integrity_key: str | bytes | Sequence[str | bytes] | None = None,
        timeout: float = 0.25,
        connect_timeout: float = 1.0,
        clock: Clock = SYSTEM_CLOCK,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._prefix = _checked_prefix(prefix)
        self._sealer: Sealer | None = None
        if integrity_key is not None:
            self._sealer = Sealer(checked_keys("integrity_key", integrity_key))
        self._clock = checked_parts("clock", clock, "a Clock", "monotonic", "time", "sleep")
        self._uniform = uniform
        self._breaker = Breaker()
        self._pid = os.getpid()
        self._denied = False
        self._name, self._driver = _connected(
            redis,
            timeout=checked_number("timeout", timeout, above=0, most=MAX_CALL),
            connect_timeout=_checked_connect_timeout(connect_timeout, timeout),
        )
        if self._sealer is None:
            text = "integrity_key not given: anyone who can write to %s can forge accepted keys"
            logger.warning(text, self._name)

    async def poll(self, key: str, *, known: int, lease: LeaseRequest | None) -> Answer:
        """Return the document if newer than `known`, else a lease, else why there is none."""
        started = self._clock.monotonic()
        asked = lease or NO_LEASE
        reply = await self._run(
            key, "poll", str(known), asked.holder, _micro(asked.ttl), asked.cause
        )
        try:
            return self._answer(key, reply, asked, started)
        except (TypeError, ValueError):
            raise StoreUnavailable("unexpected reply") from None

    async def commit(
        self, lease: Lease, payload: bytes, *, ttl: float, window: float
    ) -> int | None:
        """Store the document and return its version, or None if the lease was superseded."""
        took, ttl = self._clock.monotonic() - lease.started, min(CENTURY, ttl)
        if self._sealer is not None:
            began = self._clock.time() - took
            payload = self._sealer.seal(
                payload, name=lease.key, version=lease.fence,
                fetched_at=began, expires_at=began + ttl,
            )  # fmt: skip
        reply = await self._run(
            lease.key, "commit", lease.holder, str(lease.fence),
            _micro(took), _micro(ttl), _micro(window), payload,
        )  # fmt: skip
        return lease.fence if reply[:1] == [b"stored"] else None

    async def fail(self, lease: Lease, *, retry_after: float, mismatch: bool = False) -> None:
        """Turn the lease into a cool-down, if it is still live."""
        await self._run(
            lease.key, "fail", lease.holder, str(lease.fence), _micro(retry_after), f"{mismatch:d}"
        )

    @property
    def name(self) -> str:
        """The URL without credentials and options, or the class of the client."""
        return self._name

    async def aclose(self) -> None:
        """Close the store's own connections of this event loop, but no client that was passed."""
        await self._driver.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        sealed = self._sealer is not None
        return f"RedisKeyStore({self._name!r}, prefix={self._prefix!r}, sealed={sealed})"

    def _answer(self, key: str, reply: list[Any], asked: LeaseRequest, started: float) -> Answer:
        match reply:
            case [b"newer", version, age, left, bytes() as payload]:
                return self._opened(key, int(version), payload, int(age), int(left))
            case [b"unchanged"]:
                return Unchanged()
            case [b"granted", fence, failures] if asked is not NO_LEASE:
                lease = Lease(key, asked.holder, int(fence), asked.ttl, started, int(failures))
                return Granted(lease)
            case [b"busy", left]:
                return Busy(int(left) / MICRO)
            case [b"cooling", left, reason] if reason in REASONS:
                return Cooling(int(left) / MICRO, REASONS[reason])
            case _:
                raise ValueError(reply[:1])

    def _opened(self, key: str, version: int, payload: bytes, age: int, left: int) -> Newer:
        seconds, ttl_left = age / MICRO, left / MICRO
        if self._sealer is None:
            return Newer(version, payload, seconds, ttl_left)
        now = self._clock.time()
        try:
            opened = self._sealer.opened(payload, name=key, version=version, now=now)
        except BrokenSealError as fault:
            return Newer(version, b"", seconds, ttl_left, fault=str(fault))
        # The age from Redis is not sealed, so it must not make a document younger than it is.
        return Newer(version, opened.document, max(seconds, opened.age), ttl_left)

    async def _run(self, key: str, *args: str | bytes) -> list[Any]:
        """Run the script within the breaker's limits."""
        name = f"{self._prefix}:{FORMAT}:{{{quote(key, safe=':')}}}"
        self._check_breaker()
        async with self._driver.turn() as run:
            # The call ahead may have failed during the wait, and this one must not try again.
            self._check_breaker()
            self._breaker = before = self._breaker.during_call()
            try:
                reply = await run(name, f"{name}:gate", *args)
            except CallFailedError as fault:
                raise self._after_fault(fault, before) from None
            except BaseException:
                if before.probing:
                    self._breaker = self._breaker.after_cancellation()
                raise
        self._breaker, self._denied = self._breaker.after_answer(), False
        return reply

    def _check_breaker(self) -> None:
        now = self._clock.monotonic()
        if self._pid != os.getpid():
            # A call under way in the parent process is not this process's probe.
            self._pid, self._breaker = os.getpid(), self._breaker.after_cancellation()
        if not self._breaker.admits(now):
            left = self._breaker.left(now)
            reason = f"circuit breaker open, next attempt in {left:.1f} s"
            raise StoreUnavailable(reason, resting=True)

    def _after_fault(self, fault: CallFailedError, before: Breaker) -> StoreUnavailable:
        """Update the breaker after a fault. A refused write does not count: reads still work."""
        now = self._clock.monotonic()
        if self._breaker != before:
            # A concurrent call has updated the breaker already.
            return StoreUnavailable(fault.reason, opened=self._breaker.is_open)
        match fault.kind:
            case "unwritable":
                self._breaker = self._breaker.after_answer()
            case "denied":
                if not self._denied:
                    logger.error("%s: %s; check user, password and ACL", self._name, fault.reason)
                self._denied = True
                self._breaker = self._breaker.after_denial(now)
            case _:
                slow = fault.kind == "slow"
                self._breaker = self._breaker.after_fault(now, self._uniform, slow=slow)
        return StoreUnavailable(fault.reason, opened=self._breaker.is_open)


@cache
def script() -> str:
    """Return the script of the gate, which is read from the package when it is first needed."""
    # Also found in a zip file. `importlib.resources` would take longer to import than all of this.
    loader: Any = __spec__.loader
    content: bytes = loader.get_data(str(Path(__file__).with_name("gate.lua")))
    return content.decode()


def _micro(seconds: float) -> str:
    return str(microseconds(seconds))


def _checked_prefix(prefix: object) -> str:
    text = checked_text("prefix", prefix)
    if text is None or "{" in text or "}" in text:
        raise ValueError("prefix: expected a string without braces, which select a cluster's slot")
    return text


def _checked_connect_timeout(connect_timeout: float, timeout: float) -> float:
    number = checked_number("connect_timeout", connect_timeout)
    if not timeout <= number <= MAX_CONNECT:
        expected = f"between timeout ({timeout:g} s) and {MAX_CONNECT:g} s"
        raise ValueError(f"connect_timeout: expected a number {expected}")
    return number


def _connected(
    redis: "str | Client", *, timeout: float, connect_timeout: float
) -> "tuple[str, Driver]":
    """Return a name without credentials, and the driver. Nothing is sent yet."""
    if isinstance(redis, str):
        name = _checked_url(redis)
    else:
        expected = "a URL, or a client of redis.asyncio or valkey.asyncio"
        name = type(checked_parts("redis", redis, expected, "execute_command", "aclose")).__name__
    # Not at the first call: redis-py knows which options a URL may have, and importing it takes a
    # good part of the time that a call has.
    try:
        from auth_jwks.stores._driver import Driver  # noqa: PLC0415 - redis-py is an extra
    except ImportError as fault:
        text = "RedisKeyStore needs redis-py: install auth-jwks[redis]"
        raise ImportError(text, name="redis") from fault
    gate = script()
    try:
        return name, Driver(redis, gate, timeout=timeout, connect_timeout=connect_timeout)
    except Exception as fault:  # noqa: BLE001 - redis-py raises many kinds, undocumented
        # The messages of these two name the option and quote no value.
        quotable = isinstance(fault, (TypeError, ValueError))
        reason = str(fault) if quotable else type(fault).__name__
        raise ValueError(f"redis: invalid option in the URL: {reason}") from None


def _checked_url(url: str) -> str:
    """Return the URL without user, password and options."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("redis: the URL is malformed") from None
    if parts.scheme == "unix" and parts.path:
        return redacted(url)
    if parts.scheme not in {"redis", "rediss"} or not parts.hostname or port == 0:
        expected = "redis://host:port/db, rediss://host:port/db or unix:///path"
        raise ValueError(f"redis: expected a URL of the form {expected}")
    if parts.path.strip("/") and not parts.path.strip("/").isdecimal():
        raise ValueError("redis: expected a database number as the path of the URL")
    return redacted(url)
