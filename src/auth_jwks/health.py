"""Readiness: whether a verifier could verify a token now. For the probes of a load balancer."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from inspect import iscoroutinefunction
from threading import Thread
from typing import Any, Protocol

from auth_jwks._cache.status import Status

__all__ = ["Readiness", "Verifier", "readiness"]

_refreshes: set[asyncio.Task[None]] = set()  # a loop holds its tasks by weak references only


class Verifier(Protocol):
    """What `JWKS`, `SyncJWKS`, `Issuers`, `SyncIssuers` and `CloudFlareTokenValidation` share."""

    def status(self) -> Status | tuple[Status, ...]:
        """Return the state of the keys, without I/O."""
        ...

    def refresh(self) -> Coroutine[Any, Any, None] | None:
        """Make sure that the keys are fresh."""
        ...


@dataclass(frozen=True, slots=True)
class Readiness:
    """The answer to a probe. `ok`: a token could be verified now, with the keys in memory.

    `body` is for `json.dumps`: `ready`, and of each source its `source`, `ready`, `age` and
    `usable_for` in seconds, and `failure`, the kind of the last failure. It holds no secret.
    """

    ok: bool
    body: dict[str, Any]

    @property
    def status(self) -> int:
        """The status of the answer: 200, or 503 (RFC 9110 §15.6.4)."""
        return 200 if self.ok else 503


def readiness(verifier: Verifier) -> Readiness:
    """Return whether a token could be verified now, with the keys in memory. Never waits.

    Of several issuers one is enough, because each is verified without the others. If a verifier has
    no usable keys, a refresh starts in the background, as the first token would start it: so a
    worker that gets no tokens until it is ready becomes ready through its probes. An asynchronous
    one can do so in an event loop only, so call this from an `async def`.
    """
    found = verifier.status()
    states = found if isinstance(found, tuple) else (found,)
    if any(_wants_refresh(state) for state in states):
        _refresh_in_background(verifier)
    ok = any(state.ready for state in states)
    return Readiness(ok, {"ready": ok, "sources": [_shown(state) for state in states]})


def _wants_refresh(state: Status) -> bool:
    return not (state.ready or state.refreshing or state.retry_after)


def _shown(state: Status) -> dict[str, Any]:
    told = state.as_dict()
    shown = {name: told[name] for name in ("source", "ready", "age", "usable_for")}
    return {**shown, "failure": state.failure_kind}


def _refresh_in_background(verifier: Verifier) -> None:
    if not iscoroutinefunction(verifier.refresh):
        # Its own background loop does the work; this thread only waits for it.
        Thread(target=_refreshed, args=(verifier,), name="auth-jwks-ready", daemon=True).start()
        return
    with suppress(RuntimeError):  # there is no event loop in this thread
        task = asyncio.get_running_loop().create_task(_refreshed_in_loop(verifier.refresh()))
        _refreshes.add(task)
        task.add_done_callback(_refreshes.discard)


def _refreshed(verifier: Verifier) -> None:
    # A failure is logged and reported where it happens; a closed verifier raises.
    with suppress(Exception):
        verifier.refresh()


async def _refreshed_in_loop(refresh: Coroutine[Any, Any, None]) -> None:
    with suppress(Exception):
        await refresh
