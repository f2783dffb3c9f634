"""`Issuers` and `SyncIssuers`: one verifier for the tokens of several issuers."""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack
from operator import attrgetter
from typing import Any, Generic, Protocol, Self, TypeVar

import jwt

from auth_jwks._background_loop import refuse_background_thread, run_at_once
from auth_jwks._cache.status import Status
from auth_jwks._cache.tally import Tally
from auth_jwks._cache.token_cache import cache_key
from auth_jwks._jose.routes import Claimant, Routes
from auth_jwks._settings import checked_flag
from auth_jwks._verifier import JWKS
from auth_jwks.profiles._kinds import Profile

__all__ = ["Issuers", "SyncIssuers"]

# What `TokenChecks.begin` takes and returns.
Begin = Callable[..., dict[str, Any] | Coroutine[Any, Any, dict[str, Any]]]

# Of a `JWKS` or a `SyncJWKS`. They are no names of theirs for others.
_tally_of: Callable[[object], Tally] = attrgetter("_tally")
_begin_of: Callable[[object], Begin] = attrgetter("_begin")
_original_of = attrgetter("_original")  # the class's `verify_token`


class Member(Claimant, Protocol):
    """What `JWKS` and `SyncJWKS` have in common."""

    def status(self) -> Status:
        """Return the state of the keys."""
        ...


class Threaded(Member, Protocol):
    """A `SyncJWKS`, whose module imports this one."""

    def verify_token(
        self,
        token: str,
        audience: str | Iterable[str] | None = None,
        *,
        verify_iss: bool = True,
        profile: Profile | None = None,
    ) -> dict[str, Any]:
        """Return the claims of a valid token."""
        ...

    def refresh(self, *, force: bool = False) -> None:
        """Make sure that the keys are fresh."""
        ...

    def close(self) -> None:
        """Close what the verifier opened."""
        ...

    def __enter__(self) -> Self: ...


MemberT = TypeVar("MemberT", bound=Member)


class Several(Generic[MemberT]):
    """The verifiers of several issuers, and the choice among them for a token."""

    def __init__(self, kind: type, verifiers: tuple[MemberT, ...]) -> None:
        for verifier in verifiers:
            if not isinstance(verifier, kind):
                wrong = type(verifier).__name__
                raise TypeError(f"verifiers: expected each to be a {kind.__name__}, got a {wrong}")
        self._verifiers = verifiers
        self._routes = Routes(verifiers)
        self._original = _original_of(kind)
        self._tally = Tally.beside(map(_tally_of, verifiers), "several issuers")
        self._closed = False

    @property
    def issuers(self) -> tuple[str, ...]:
        """The issuers whose tokens are verified, in the order of their verifiers."""
        return tuple(name for verifier in self._verifiers for name in verifier.issuers)

    @property
    def max_token_length(self) -> int:
        """How many characters a token may have: the most that a verifier allows."""
        return self._routes.longest

    @property
    def refused(self) -> Mapping[str, int]:
        """How many tokens were rejected before any verifier was asked, by `Reason`.

        Most of these have an issuer that no verifier has. `status` has what each verifier rejected.
        """
        counts = self._tally.counts()
        return {reason: count for reason, count in counts.items() if reason not in {"ok", "seen"}}

    def status(self) -> tuple[Status, ...]:
        """Return the state of the keys of each verifier, in their order, without I/O."""
        return tuple(verifier.status() for verifier in self._verifiers)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self._verifiers))})"

    def _find(self, token: str) -> MemberT:
        """Return the verifier for a token. Raises `jwt.InvalidTokenError`, and reports it."""
        try:
            return self._routes.find(token)
        except jwt.InvalidTokenError as error:
            self._tally.refused(error)
            # Without the frames within, which hold parts of the token.
            raise error.with_traceback(None) from error.__cause__

    def _refused_later(self, error: jwt.InvalidTokenError) -> None:
        """Tell of a verified token that is refused all the same. Whose it was is not known here."""
        self._tally.refused(error)

    def _refuse_misuse(self, *, verify_iss: object = True) -> None:
        if self._closed:
            raise RuntimeError("the verifier is closed")
        if not checked_flag("verify_iss", verify_iss):
            raise ValueError("verify_iss: expected True, as the issuer chooses the keys")


class Issuers(Several[JWKS]):
    """Verifies the tokens of several issuers, each with the `JWKS` that has this `issuer`.

    The claim `iss` of a token chooses the verifier, which checks it again. The keys and the
    remembered tokens of one issuer never count for another.
    """

    def __init__(self, *verifiers: JWKS) -> None:
        """Check that each verifier has an `issuer`, and that no two have the same.

        Raises `ValueError` or `TypeError`, which name the parameter and what was expected.
        """
        super().__init__(JWKS, verifiers)

    async def verify_token(
        self,
        token: str,
        audience: str | Iterable[str] | None = None,
        *,
        verify_iss: bool = True,
        profile: Profile | None = None,
    ) -> dict[str, Any]:
        """Return the claims of a valid token, or raise, as `JWKS.verify_token` does.

        A token of any other issuer raises `jwt.InvalidIssuerError`, and causes no request.
        `audience` and `profile` replace those of the chosen verifier. `verify_iss=False` is a
        `ValueError`, because only a checked `iss` may choose a key.
        """
        if self._closed or verify_iss is not True:
            self._refuse_misuse(verify_iss=verify_iss)
        digest = cache_key(token, (), self._routes.longest)
        known = self._routes.recall(digest)
        verifier = known or self._find(token)
        # A subclass may do more, and so may what stands in for the method in a test.
        if getattr(verifier.verify_token, "__func__", None) is self._original:
            found = _begin_of(verifier)(token, audience, profile, verify_iss=True, digest=digest)
            claims = found if isinstance(found, dict) else await found
        else:
            claims = await verifier.verify_token(token, audience, profile=profile)
        if known is None:
            self._routes.remember(digest, verifier)
        return claims

    async def refresh(self, *, force: bool = False) -> None:
        """Make sure that all keys are fresh, as `JWKS.refresh` does, at the same time.

        If one fails, the others are refreshed all the same. Then the first failure, in the order of
        the verifiers, is raised.
        """
        self._refuse_misuse()
        checked_flag("force", force)
        refreshes = [verifier.refresh(force=force) for verifier in self._verifiers]
        for failure in await asyncio.gather(*refreshes, return_exceptions=True):
            if failure is not None:
                raise failure

    async def close(self) -> None:
        """Close all verifiers; a second call does nothing.

        Entered again, as in `async with`, they work again.
        """
        self._closed = True
        async with AsyncExitStack() as closing:
            for verifier in self._verifiers:
                closing.push_async_callback(verifier.close)

    aclose = close

    async def __aenter__(self) -> Self:
        for verifier in self._verifiers:
            await verifier.__aenter__()
        self._closed = False
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.close()


class SyncIssuers(Several[Threaded]):
    """Verifies tokens as `Issuers` does, in any thread. Each verifier is a `SyncJWKS`."""

    def __init__(self, *verifiers: Threaded) -> None:
        """Check that each verifier has an `issuer`, and that no two have the same.

        Raises `ValueError` or `TypeError`, which name the parameter and what was expected.
        """
        super().__init__(sys.modules["auth_jwks.sync"].SyncJWKS, verifiers)

    def verify_token(
        self,
        token: str,
        audience: str | Iterable[str] | None = None,
        *,
        verify_iss: bool = True,
        profile: Profile | None = None,
    ) -> dict[str, Any]:
        """Return the claims of a valid token, or raise, as `Issuers.verify_token` does."""
        if self._closed or verify_iss is not True:
            self._refuse_misuse(verify_iss=verify_iss)
        digest = cache_key(token, (), self._routes.longest)
        known = self._routes.recall(digest)
        verifier = known or self._find(token)
        # A subclass may do more, and so may what stands in for the method in a test.
        if getattr(verifier.verify_token, "__func__", None) is self._original:
            found = _begin_of(verifier)(token, audience, profile, verify_iss=True, digest=digest)
            claims = found if isinstance(found, dict) else run_at_once(found)
        else:
            claims = verifier.verify_token(token, audience, profile=profile)
        if known is None:
            self._routes.remember(digest, verifier)
        return claims

    def refresh(self, *, force: bool = False) -> None:
        """Make sure that all keys are fresh, as `Issuers.refresh` does, and wait for it."""
        self._refuse_misuse()
        checked_flag("force", force)
        refuse_background_thread()
        with ThreadPoolExecutor(len(self._verifiers)) as pool:
            refreshes = [pool.submit(each.refresh, force=force) for each in self._verifiers]
        for refresh in refreshes:
            refresh.result()

    def close(self) -> None:
        """Close all verifiers; a second call does nothing. Entered again, they work again."""
        self._closed = True
        with ExitStack() as closing:
            for verifier in self._verifiers:
                closing.callback(verifier.close)

    def __enter__(self) -> Self:
        for verifier in self._verifiers:
            verifier.__enter__()
        self._closed = False
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()
