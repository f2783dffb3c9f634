"""`JWKS`, the verifier for asyncio, and the verification that it shares with `SyncJWKS`."""

import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Self

from auth_jwks._cache.assembly import assembled
from auth_jwks._cache.current import CurrentKeys
from auth_jwks._cache.key_access import KeyAccess
from auth_jwks._cache.status import Status
from auth_jwks._cache.token_cache import SeenToken, TokenCache, cache_key
from auth_jwks._clock import SYSTEM_CLOCK, Clock
from auth_jwks._jose.issuer import IssuerNames
from auth_jwks._jose.keys import Key, checked_algorithms
from auth_jwks._jose.tenants import Tenants
from auth_jwks._jose.tokens import Expected, Token, compact, parse_token, read_claims, signer
from auth_jwks._provider.client import HTTPClient
from auth_jwks._settings import (
    checked_audience,
    checked_flag,
    checked_issuer,
    checked_number,
    checked_strings,
    checked_tenants,
)
from auth_jwks.events import Observer
from auth_jwks.stores.base import KeyStore

__all__ = ["JWKS", "Verification", "checked_rules"]

logger = logging.getLogger("auth_jwks")

DEFAULT_ALGORITHMS = ("RS256", "ES256")


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules that every token of a verifier must meet; `leeway` is in seconds.

    `issuer` has no names if that of the discovery document is trusted.
    """

    allowed: frozenset[str]
    issuer: IssuerNames
    tenants: Tenants | None
    audience: frozenset[str] | None
    leeway: float
    required: tuple[str, ...]


def checked_rules(
    allowed_algorithms: Collection[str] | None,
    issuer: str | Sequence[str] | None,
    tenants: Collection[str] | Callable[[str], bool] | None,
    aud: str | Iterable[str] | None,
    leeway: float,
    required_claims: Collection[str],
) -> Rules:
    """Check the parameters of `JWKS` that are about tokens. `exp` is always required."""
    algorithms = DEFAULT_ALGORITHMS if allowed_algorithms is None else allowed_algorithms
    names = checked_issuer(issuer)
    return Rules(
        checked_algorithms(checked_strings("allowed_algorithms", algorithms)),
        names,
        checked_tenants(tenants, names),
        None if aud is None else checked_audience("aud", aud),
        checked_number("leeway", leeway),
        tuple(dict.fromkeys(("exp", *checked_strings("required_claims", required_claims)))),
    )


class Verification:
    """Verifies tokens with the keys from `keys`, and remembers the tokens in `seen`.

    If `keys` never awaits, as in threads, neither do these coroutines.
    """

    def __init__(self, keys: KeyAccess, seen: TokenCache, rules: Rules, clock: Clock) -> None:
        self._keys = keys
        self._seen = seen
        self._rules = rules
        self._clock = clock
        self._closed = False
        if rules.audience is None:
            text = "aud: not given, so tokens for any audience are accepted from %s; pass aud="
            logger.warning(text, keys.status().source)

    @property
    def issuers(self) -> tuple[str, ...]:
        """The configured names of the issuer, templates included; empty if there are none."""
        return self._rules.issuer.names

    async def verify_token(
        self, token: str, audience: str | Iterable[str] | None = None, *, verify_iss: bool = True
    ) -> dict[str, Any]:
        """Return the claims of a valid token. The caller may change the dict.

        `audience` replaces `aud` for this call; `verify_iss=False` leaves `iss` unchecked, but not
        `tid` if there are `tenants`. What a function of `tenants` raises is raised here.

        Raises `jwt.InvalidTokenError`: PyJWT's classes if the token is at fault,
        `UnknownKeyError` if no published key fits it, `KeysUnavailableError` or
        `IssuerMismatchError` if there are no keys to verify it with.
        """
        if self._closed:
            raise RuntimeError("the verifier is closed")
        if verify_iss is not True:
            checked_flag("verify_iss", verify_iss)
        rules = self._rules
        wanted = rules.audience if audience is None else _checked_audience(audience)
        seen_as = cache_key(token, wanted, verify_iss)
        seen = self._seen.get(seen_as)
        now = self._clock.time()
        current = None if seen is None else self._keys.ready(now)
        if seen is not None and current is not None:
            claims = seen.claims(current, now, rules.leeway)
            if claims is not None:
                return claims if rules.tenants is None else rules.tenants.asked(claims)
        bare = compact(token)
        if bare is not token:
            # Remembered without its scheme: else there would be an entry for each spelling.
            return await Verification.verify_token(self, bare, audience, verify_iss=verify_iss)
        parsed = parse_token(token, rules.allowed)
        current = self._keys.ready(now)
        candidates = current.key_set.select(parsed.kid, parsed.alg) if current else ()
        if current is None or not candidates:
            # A token that its own claims rule out is worth no request, and no wait.
            check = partial(self._judge, parsed, current, wanted, verify_iss=verify_iss)
            if current is None:
                check()
                current = await self._keys.ensure()
                candidates = current.key_set.select(parsed.kid, parsed.alg)
            if not candidates:
                current, candidates = await self._keys.find(parsed.kid, parsed.alg, check)
        key = signer(parsed, candidates)
        claims = self._judge(parsed, current, wanted, key, verify_iss=verify_iss)
        token_seen = SeenToken(
            parsed.kid, key.alg, key.thumbprint, current.issuer, current.generation, parsed.payload
        )
        self._seen.put(seen_as, token_seen)
        return claims

    def _judge(
        self,
        parsed: Token,
        current: CurrentKeys | None,
        audience: frozenset[str] | None,
        key: Key | None = None,
        *,
        verify_iss: bool,
    ) -> dict[str, Any]:
        """Return the claims if they are acceptable. They are true if `key` has signed them."""
        rules = self._rules
        # Before the provider has confirmed the issuer, it may be the configured one that is wrong.
        issuer = None
        if current is not None and verify_iss:
            issuer = rules.issuer if rules.issuer.names else _exactly(current.issuer)
        expected = _cached_expected(rules.leeway, rules.required, issuer, audience)
        claims = read_claims(parsed.payload, expected, self._clock.time())
        if current is not None and rules.tenants is not None:
            rules.tenants.check(claims)
            if key is not None:
                rules.tenants.confirm(claims, key.issuer)
        return claims

    async def refresh(self, *, force: bool = False) -> None:
        """Make sure that the keys are fresh, as a warm-up; `force` fetches them after this call.

        Raises `KeysUnavailableError` or `IssuerMismatchError`.
        """
        self._refuse_if_closed()
        await self._keys.refresh(force=checked_flag("force", force))

    def status(self) -> Status:
        """Return the state of the keys, without I/O."""
        return self._keys.status()

    async def close(self) -> None:
        """Close everything this verifier opened; a second call does nothing.

        Entered again, as in `async with`, it works again.
        """
        self._closed = True
        await self._keys.aclose()

    aclose = close

    async def __aenter__(self) -> Self:
        # Some servers and test clients run the lifespan of an application more than once.
        if self._closed:
            self._keys.reopen()
            self._closed = False
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        status = self._keys.status()
        state = "closed" if self._closed else f"keys={len(status.kids)}"
        return f"JWKS({status.source!r}, issuer={status.issuer!r}, {state})"

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise RuntimeError("the verifier is closed")


class JWKS(Verification):
    """Verifies the JWTs of one provider with its published keys, fetched, cached and shared.

    Give it the `issuer`, and if its keys can't be found by that a `discovery_url` (OpenID Connect
    Discovery) or a `jwks_uri` (RFC 7517), which wins.
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
        fix_local_url: bool = True,  # noqa: FBT001, FBT002 - positional in 0.4.0
        *,
        jwks_uri: str | None = None,
        issuer: str | Sequence[str] | None = None,
        tenants: Collection[str] | Callable[[str], bool] | None = None,
        store: KeyStore | None = None,
        max_stale: float = 86_400,
        token_cache_size: int = 1024,
        required_claims: Collection[str] = ("exp", "iat", "sub"),
        http_client: HTTPClient | None = None,
        observer: Observer | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Check the configuration. Nothing is fetched before it is needed.

        A key set is fresh for `cache_ttl` seconds, and is used for `max_stale` more while it can't
        be refreshed. `leeway` seconds are granted on `exp`, `nbf` and `iat`. A refresh has
        `timeout` seconds for each document, with up to `retries` further attempts within them.
        `issuer` must be the value of `iss` and of the discovery document's `issuer`; of several
        names of one issuer each may name any. Without `discovery_url` and `jwks_uri` the first that
        is a URL leads to discovery (OpenID Connect Discovery §4, RFC 8414 §3.1). A name with
        `{tenantid}` as a path segment is a template of Entra ID's: then `tenants`, a collection of
        ids or a quick function that returns a bool, says whose tokens are let in. The token's
        `aud` must contain one of `aud`. The last `token_cache_size` tokens skip the signature check
        when they come again. `close` does not close a `store` or an `http_client`.

        Raises `ValueError` or `TypeError`, which name the parameter and what was expected.
        """
        rules = checked_rules(allowed_algorithms, issuer, tenants, aud, leeway, required_claims)
        seen = TokenCache(token_cache_size)
        keys = assembled(
            discovery_url=discovery_url, jwks_uri=jwks_uri, issuer=rules.issuer,
            fix_local_url=fix_local_url, timeout=timeout, retries=retries, http_client=http_client,
            store=store, cache_ttl=cache_ttl, max_stale=max_stale, allowed=rules.allowed,
            observer=observer, clock=clock,
        )  # fmt: skip
        super().__init__(keys, seen, rules, clock)


def _checked_audience(audience: object) -> frozenset[str]:
    if type(audience) is str:
        return _cached_audience(audience)
    return checked_audience("audience", audience)


@lru_cache(maxsize=256)
def _cached_audience(audience: str) -> frozenset[str]:
    return checked_audience("audience", audience)


@lru_cache(maxsize=256)
def _exactly(issuer: str | None) -> IssuerNames | None:
    """Return the issuer of a discovery document, of which no template is trusted."""
    return None if issuer is None else IssuerNames((issuer,))


_cached_expected = lru_cache(maxsize=256)(Expected)
