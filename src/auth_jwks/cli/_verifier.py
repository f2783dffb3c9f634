"""The verifier that a command's options describe, which also explains each check."""

from argparse import Namespace
from collections.abc import Callable
from typing import Any, TypeVar

import jwt

from auth_jwks._cache.current import CurrentKeys
from auth_jwks._clock import SYSTEM_CLOCK, Clock, SystemClock
from auth_jwks._verifier import JWKS
from auth_jwks.cli._explanation import Check, explanation
from auth_jwks.cli._faults import UsageError, words_of
from auth_jwks.events import Observer
from auth_jwks.profiles import AccessToken, IDToken, LogoutToken, Profile
from auth_jwks.stores.base import KeyStore

__all__ = ["ExplainingJWKS", "StillClock", "asked_of_tokens", "in_options", "verifier"]

T = TypeVar("T")

# What the parameters of `JWKS` are called here.
OPTIONS = {
    "discovery_url": "--discovery-url", "jwks_uri": "--jwks-uri", "issuer": "--issuer",
    "tenants": "--tenant", "aud": "--aud", "client_id": "--aud", "leeway": "--leeway",
    "integrity_key": "--integrity-key-file", "redis": "STORE", "directory": "STORE",
    "prefix": "--prefix", "algorithm": "--alg",
    "allowed_algorithms": "--alg", "cache_ttl": "--cache-ttl", "max_stale": "--max-stale",
}  # fmt: skip


class StillClock(SystemClock):
    """The machine's clocks, but for the time by which claims are judged: that stands still."""

    def __init__(self, now: float) -> None:
        self.now = now

    def time(self) -> float:
        """Return the one time that verdict and explanation share."""
        return self.now


class ExplainingJWKS(JWKS):
    """`JWKS`, and for each token what every check makes of it."""

    async def explain(
        self, token: str
    ) -> tuple[dict[str, Any] | jwt.InvalidTokenError, list[Check]]:
        """Return the claims or the error of `verify_token`, and every check with its verdict."""
        verdict: dict[str, Any] | jwt.InvalidTokenError
        try:
            verdict = await self.verify_token(token)
        except jwt.InvalidTokenError as error:
            verdict = error
        current = await self._current()
        rules, now = self._checks.rules, self._checks.clock.time()
        return verdict, explanation(token, rules, current, verdict, now)

    async def _current(self) -> CurrentKeys | jwt.InvalidTokenError:
        try:
            return await self._checks.keys.ensure()
        except jwt.InvalidTokenError as error:
            return error


def verifier(
    arguments: Namespace,
    *,
    clock: Clock = SYSTEM_CLOCK,
    store: KeyStore | None = None,
    observer: Observer | None = None,
    **more: Any,
) -> ExplainingJWKS:
    """Return the verifier that the options describe. Raises `UsageError`."""
    return in_options(
        lambda: ExplainingJWKS(
            arguments.discovery_url,
            jwks_uri=arguments.jwks_uri,
            issuer=arguments.issuer or None,
            tenants=arguments.tenant or None,
            clock=clock,
            store=store,
            observer=observer,
            **more,
        )
    )


def asked_of_tokens(arguments: Namespace) -> dict[str, Any]:
    """Return the parameters that are about tokens. Raises `UsageError`."""
    profile = in_options(lambda: _profile(arguments.profile, arguments.aud))
    aud = None if isinstance(profile, IDToken) else arguments.aud or None
    return {
        "aud": aud,
        "allowed_algorithms": arguments.alg or None,
        "leeway": arguments.leeway,
        "profile": profile,
    }


def in_options(make: Callable[[], T]) -> T:
    """Return the verifier. An error about a parameter names its option."""
    try:
        return make()
    except (TypeError, ValueError) as fault:
        text = words_of(fault)
    name, colon, rest = text.partition(":")
    known = [OPTIONS.get(each, each) for each in name.split(", ")]
    raise UsageError(f"{', '.join(known)}{colon}{rest}")


def _profile(name: str | None, audiences: list[str]) -> Profile | None:
    match name:
        case "access":
            return AccessToken()
        case "id":
            if len(audiences) != 1:
                raise ValueError("client_id: expected exactly one for --profile id, the client's")
            return IDToken(client_id=audiences[0])
        case "logout":
            return LogoutToken()
        case _:
            return None
