"""The verifier for threads: Flask, Django, and gunicorn's sync and gthread workers."""

import os
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from math import inf
from os import PathLike
from typing import Any, Self, TypeVar

import jwt

from auth_jwks._background_loop import NoLoopError, Portal, Work, refuse_greenlets, run_at_once
from auth_jwks._cache.assembly import assembled
from auth_jwks._cache.current import CurrentKeys
from auth_jwks._cache.freshness import MIN_RETRY_AFTER
from auth_jwks._cache.key_cache import KeyCache
from auth_jwks._cache.status import Status
from auth_jwks._cache.token_cache import TokenCache
from auth_jwks._clock import SYSTEM_CLOCK, Clock
from auth_jwks._issuers import SyncIssuers
from auth_jwks._jose.keys import Key
from auth_jwks._jose.tokens import MAX_TOKEN, Token
from auth_jwks._provider.made_client import ClientMaker, is_client
from auth_jwks._rules import checked_rules
from auth_jwks._token_checks import TokenChecks
from auth_jwks._verification import Verification
from auth_jwks.errors import KeysUnavailableError
from auth_jwks.events import Observer
from auth_jwks.profiles import Profile
from auth_jwks.stores.base import KeyStore

__all__ = ["SyncIssuers", "SyncJWKS"]

T = TypeVar("T")

NUDGE_INTERVAL = 0.05  # seconds
MAX_SEARCHERS = 2  # threads
SEARCH_WAIT = 0.5  # seconds

refuse_greenlets()

# Imported here, so that the background thread never imports them: a fork during an import leaves
# the child with a half-initialised module.
for _name in (
    "anyio._backends._asyncio",
    "cachetools",
    "certifi",
    "concurrent.futures.thread",
    "cryptography.hazmat.backends.openssl.backend",
    "httpcore",
):
    with suppress(ImportError):
        import_module(_name)


class SyncJWKS:
    """Verifies tokens as `JWKS` does, in any thread and without an event loop.

    Tokens are checked in the calling thread. Refreshes run on one background event loop, which
    all verifiers of a process share. It is started when it is first needed, so a fork is safe at
    any moment. A call waits for it only if it finds no usable keys, or none that fits its token.
    """

    def __init__(
        self,
        discovery_url: str | None = None,
        aud: str | Iterable[str] | None = None,
        allowed_algorithms: Collection[str] | None = None,
        cache_ttl: float = 900,
        leeway: float = 30.0,
        timeout: float = 5.0,
        retries: int = 3,
        fix_local_url: bool = True,  # noqa: FBT001, FBT002 - as in JWKS
        *,
        jwks_uri: str | None = None,
        jwks: Mapping[str, Any] | None = None,
        jwks_file: str | PathLike[str] | None = None,
        issuer: str | Sequence[str] | None = None,
        tenants: Collection[str] | Callable[[str], bool] | None = None,
        store: KeyStore | None = None,
        max_stale: float = 86_400,
        token_cache_size: int = 1024,
        required_claims: Collection[str] = ("exp", "iat", "sub"),
        max_token_length: int = MAX_TOKEN,
        numeric_sub: bool = False,
        profile: Profile | None = None,
        http_client: ClientMaker | None = None,
        observer: Observer | Sequence[Observer] | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Check the configuration, which is that of `JWKS`.

        `http_client` must be a function that makes a client, because a client works only in its own
        event loop. It is called in the background thread, and so is the `observer`. In the caller's
        thread the observer receives each `TokenRefused`, each `UnknownKey` for which no refresh was
        made, and the verifications that it counts. A function of `tenants` is called in the
        caller's thread too.

        Raises `ValueError` or `TypeError`, which name the parameter and what was expected.
        """
        if is_client(http_client):
            raise TypeError(
                "http_client: expected a function that makes one, as a client belongs to one event "
                "loop"
            )
        rules = checked_rules(
            allowed_algorithms, aud, leeway, required_claims, profile, issuer=issuer,
            tenants=tenants, max_token_length=max_token_length, numeric_sub=numeric_sub,
        )  # fmt: skip
        seen = TokenCache(token_cache_size)
        cache, tally = assembled(
            discovery_url=discovery_url, jwks_uri=jwks_uri, jwks=jwks, jwks_file=jwks_file,
            issuer=rules.issuer, fix_local_url=fix_local_url, timeout=timeout, retries=retries,
            http_client=http_client, store=store, cache_ttl=cache_ttl, max_stale=max_stale,
            allowed=rules.allowed, observer=observer, clock=clock,
        )  # fmt: skip
        self._tally = tally
        keys = _ThreadedKeys(cache, store, clock)
        checks = TokenChecks(keys, seen, rules, tally, clock)
        self._verification, self._begin = Verification(checks), checks.begin

    @property
    def issuers(self) -> tuple[str, ...]:
        """The configured names of the issuer, templates included; empty if there are none."""
        return self._verification.issuers

    @property
    def max_token_length(self) -> int:
        """How many characters a token may have."""
        return self._verification.max_token_length

    def verify_token(
        self,
        token: str,
        audience: str | Iterable[str] | None = None,
        *,
        verify_iss: bool = True,
        profile: Profile | None = None,
    ) -> dict[str, Any]:
        """Return the claims of a valid token, or raise, as `JWKS.verify_token` does."""
        found = self._begin(token, audience, profile, verify_iss=verify_iss)
        return found if isinstance(found, dict) else run_at_once(found)

    _original = verify_token  # should another stand in for it

    def refresh(self, *, force: bool = False) -> None:
        """Make sure that the keys are fresh, as `JWKS.refresh` does, and wait for it."""
        run_at_once(self._verification.refresh(force=force))

    def _refused_later(self, error: jwt.InvalidTokenError) -> None:
        self._tally.refused(error)

    def status(self) -> Status:
        """Return the state of the keys, without I/O."""
        return self._verification.status()

    def close(self) -> None:
        """Close everything that this verifier opened; a second call does nothing.

        Threads that are waiting for keys get a `RuntimeError`. Entered again, as in `with`, it
        works again.
        """
        run_at_once(self._verification.close())

    def __enter__(self) -> Self:
        run_at_once(self._verification.__aenter__())
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Sync{self._verification!r}"


class _Searchers:
    """The threads that wait for a search. Few may wait to its end: strangers could block all.

    That is real time, whatever the clock, because threads are blocked.
    """

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._patient = 0
        self._began = -inf

    def of_this_process(self) -> "_Searchers":
        """Return these, or new ones after a fork: the threads that are counted are gone."""
        return self if self._pid == os.getpid() else _Searchers()

    @contextmanager
    def joined(self) -> Iterator[float | None]:
        """Yield for how many seconds this thread may wait, None for as long as it takes."""
        now = time.monotonic()
        with self._lock:
            is_patient = self._patient < MAX_SEARCHERS
            if is_patient:
                self._patient += 1
                self._began = now
        if not is_patient:
            yield max(0.0, self._began + SEARCH_WAIT - now)
            return
        try:
            yield None
        finally:
            with self._lock:
                self._patient -= 1


class _ThreadedKeys:
    """Gives other threads access to a key cache that runs on the background loop."""

    def __init__(self, cache: KeyCache, store: KeyStore | None, clock: Clock) -> None:
        self._cache = cache
        self.raise_if_hopeless = cache.raise_if_hopeless
        self._store = store
        self._clock = clock
        self._portal = Portal()
        self._nudge_at = 0.0
        self._search_at = 0.0
        self._searchers = _Searchers()

    def ready(self, wall: float) -> CurrentKeys | None:
        """Return the keys if this call need not wait. If they are due, the loop is nudged."""
        if (current := self._cache.steady(wall)) is not None:
            return current
        now = self._clock.monotonic()
        current, is_due = self._cache.peek(now, wall)
        if is_due and now >= self._nudge_at:
            self._nudge_at = now + NUDGE_INTERVAL
            with suppress(NoLoopError):
                self._portal.nudge(lambda: self._cache.ready(self._clock.time()))
        return current

    async def ensure(self) -> CurrentKeys:
        """Return usable keys."""
        return self._blocking(self._cache.ensure)

    async def find(
        self, token: Token, tried: CurrentKeys, check: Callable[[], object]
    ) -> tuple[CurrentKeys, Key]:
        """Return the key that signed the token, and its set, though no key of `tried` did."""
        searchers = self._searchers = self._searchers.of_this_process()
        with searchers.joined() as seconds:
            if seconds != 0:
                with suppress(TimeoutError):
                    return self._blocking(lambda: self._cache.find(token, tried, check), seconds)
        check()
        message = "the signing keys are unavailable: a search for new ones is under way"
        raise KeysUnavailableError(message, retry_after=MIN_RETRY_AFTER)

    def search(self, token: Token, tried: CurrentKeys, check: Callable[[], object]) -> bool:
        """Let the loop search for that key, if it may, at most once per `NUDGE_INTERVAL`."""
        now = self._clock.monotonic()
        if now >= self._search_at and self._cache.may_search(tried, now):
            self._search_at = now + NUDGE_INTERVAL
            with suppress(NoLoopError):
                self._portal.nudge(lambda: self._cache.search(token, tried, check))
        return True

    async def refresh(self, *, force: bool) -> None:
        """Make sure that the keys are fresh."""
        self._blocking(lambda: self._cache.refresh(force=force))

    def status(self) -> Status:
        """Return the state, without I/O."""
        return self._cache.status()

    async def aclose(self) -> None:
        """Cancel what is running. Refreshes raise `RuntimeError` until `reopen`."""
        self._portal.close(self._close_cache)

    def reopen(self) -> None:
        """Allow refreshes again after `aclose`."""
        self._cache.reopen()
        self._portal.reopen()

    async def _close_cache(self) -> None:
        await self._cache.aclose()
        store = self._store
        redis = sys.modules.get("auth_jwks.stores.redis")  # not imported: there is no such store
        if store is not None and redis is not None and isinstance(store, redis.RedisKeyStore):
            # The store stays open, but only this loop can close its connections of this loop.
            await store.aclose()

    def _blocking(self, work: Work[T], seconds: float | None = None) -> T:
        try:
            return self._portal.run(work, seconds)
        except NoLoopError as fault:
            reason = str(fault)
        raise KeysUnavailableError(f"the signing keys are unavailable: {reason}")
