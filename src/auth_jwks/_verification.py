"""The verification of a token, which all verifiers share."""

import logging
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Self

import jwt

from auth_jwks._cache.status import Status
from auth_jwks._settings import checked_flag
from auth_jwks._token_checks import TokenChecks
from auth_jwks.profiles._kinds import Profile

__all__ = ["Verification"]

logger = logging.getLogger("auth_jwks")


class Verification:
    """Verifies tokens by these `checks`.

    If the keys of these never await, as in threads, neither do these coroutines.
    """

    def __init__(self, checks: TokenChecks) -> None:
        self._checks = checks
        self._begin = checks.begin
        self._tally = tally = checks.tally
        rules = checks.rules
        if rules.audience is None:
            text = (
                "aud: not given, so tokens for any audience are accepted from %s; pass aud=, or for"
                " tokens that have none a profile that holds them to a client"
            )
            logger.warning(text, tally.source)

    @property
    def issuers(self) -> tuple[str, ...]:
        """The configured names of the issuer, templates included; empty if there are none."""
        return self._checks.rules.issuer.names

    @property
    def max_token_length(self) -> int:
        """How many characters a token may have."""
        return self._checks.rules.longest

    async def verify_token(
        self,
        token: str,
        audience: str | Iterable[str] | None = None,
        *,
        verify_iss: bool = True,
        profile: Profile | None = None,
    ) -> dict[str, Any]:
        """Return the claims of a valid token. The caller may change the dict.

        `audience` replaces `aud` for this call, `profile` that of the verifier;
        `verify_iss=False` leaves `iss` unchecked, but not `tid` if there are `tenants`.

        Raises `jwt.InvalidTokenError`: PyJWT's classes if the token is at fault, `UnknownKeyError`
        if no published key fits it, `KeysUnavailableError` or `IssuerMismatchError` if there are no
        keys to verify it with. Any other exception of a profile's `check` propagates.
        """
        found = self._begin(token, audience, profile, verify_iss=verify_iss)
        return found if isinstance(found, dict) else await found

    _original = verify_token  # should another stand in for it

    async def refresh(self, *, force: bool = False) -> None:
        """Make sure that the keys are fresh, as a warm-up; `force` fetches them after this call.

        Raises `KeysUnavailableError` or `IssuerMismatchError`.
        """
        self._refuse_if_closed()
        await self._checks.keys.refresh(force=checked_flag("force", force))

    def status(self) -> Status:
        """Return the state of the keys, and the results of verifications, without I/O."""
        status = replace(self._checks.keys.status(), verifications=self._tally.counts())
        return replace(status, ready=False) if self._checks.closed else status

    async def close(self) -> None:
        """Close everything that this verifier opened; a second call does nothing.

        Entered again, as in `async with`, it works again.
        """
        self._checks.closed = True
        await self._checks.keys.aclose()

    aclose = close

    async def __aenter__(self) -> Self:
        # Some servers and test clients run the lifespan of an application more than once.
        if self._checks.closed:
            self._checks.keys.reopen()
            self._checks.closed = False
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        status = self._checks.keys.status()
        state = "closed" if self._checks.closed else f"keys={len(status.kids)}"
        return f"JWKS({status.source!r}, issuer={status.issuer!r}, {state})"

    def _refused_later(self, error: jwt.InvalidTokenError) -> None:
        """Count and report the reason for which a web integration rejects a verified token."""
        self._tally.refused(error)

    def _refuse_if_closed(self) -> None:
        if self._checks.closed:
            raise RuntimeError("the verifier is closed")
