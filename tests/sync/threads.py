"""Threads that begin at once, are counted and waited for; and what makes verifiers."""

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import jwt

from auth_jwks.sync import SyncJWKS
from auth_jwks.testing import SigningKey

KEY, OTHER = SigningKey.generate("ES256", "first"), SigningKey.generate("ES256", "second")

Make = Callable[..., SyncJWKS]


def threads() -> int:
    """Return how many background threads there are."""
    return sum(thread.name == "auth_jwks" for thread in threading.enumerate())


def let_end() -> None:
    """Wait for those that are ending: of a test before, or that nobody waited for."""
    for thread in threading.enumerate():
        if thread.name == "auth_jwks":
            thread.join(60)
    assert threads() == 0


def until(holds: Callable[[], object]) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "it never does"
        time.sleep(0.002)


def outcome(verify: Callable[[], object]) -> tuple[str, str]:
    """Return the class and the words of what was raised, or the claims."""
    try:
        claims = verify()
    except (jwt.InvalidTokenError, TypeError, ValueError) as fault:
        return type(fault).__name__, str(fault)
    return "dict", json.dumps(claims)


def all_at_once(number: int, work: Callable[[], object]) -> list["Future[object]"]:
    """Let so many threads begin the same work at one time, and return how it ended."""
    barrier = threading.Barrier(number)

    def begin() -> object:
        barrier.wait(60)
        return work()

    with ThreadPoolExecutor(number) as pool:
        return [pool.submit(begin) for _ in range(number)]
