"""Verifies tokens of Cloudflare Access, which identify a person or a service token."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import jwt

from auth_jwks._asgi.late import told
from auth_jwks._cache.status import Status
from auth_jwks._clock import SYSTEM_CLOCK, Clock
from auth_jwks._jose.tokens import compact
from auth_jwks._provider.client import HTTPClient
from auth_jwks._provider.made_client import ClientMaker
from auth_jwks._settings import checked_client, checked_strings
from auth_jwks._verifier import JWKS
from auth_jwks.cloudflare._identity import Identity, IdentitySource
from auth_jwks.errors import IdentityUnavailableError
from auth_jwks.events import Observer
from auth_jwks.stores.base import KeyStore

__all__ = ["CloudFlareTokenValidation", "ServiceToken", "User"]

# A DNS label (RFC 1123 §2.1), so that no team name can lead to another host.
TEAM_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class User:
    """A person. The repr shows only `sub`, so that the rest does not end up in a log.

    `exists_identity`: Cloudflare keeps a profile, which `get_identity` fetches.
    """

    sub: str
    email: str = field(repr=False)
    country: str | None = field(default=None, repr=False)
    exists_identity: bool = field(default=False, repr=False)


@dataclass(frozen=True, slots=True)
class ServiceToken:
    """A machine. `common_name` is the client id of its service token."""

    common_name: str


class CloudFlareTokenValidation:
    """Verifies the application tokens of one Cloudflare Access team.

    Their issuer is `https://<team>.cloudflareaccess.com`, which publishes the keys.
    """

    def __init__(
        self,
        *,
        aud: str | Iterable[str],
        team: str,
        allowed_algorithms: Collection[str] | None = None,
        cache_ttl: float = 900,
        leeway: float = 30.0,
        retries: int = 3,
        timeout: float = 5.0,
        store: KeyStore | None = None,
        max_stale: float = 86_400,
        token_cache_size: int = 1024,
        http_client: HTTPClient | ClientMaker | None = None,
        observer: Observer | Sequence[Observer] | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Check the configuration. Nothing is fetched before it is needed.

        `aud` is the audience tag of the application, or several of them. It is required, because
        a token for any application of the team would be accepted otherwise. `timeout` limits a
        refresh of the keys and a call of `get_identity`, in seconds. The rest is as in `JWKS`.

        Raises `ValueError` or `TypeError`, which name the parameter and what was expected.
        """
        self._issuer = f"https://{_checked_team(team)}.cloudflareaccess.com"
        client = checked_client(http_client)
        self._jwks = JWKS(
            jwks_uri=self.cert_url,
            issuer=self._issuer,
            aud=_checked_aud(aud),
            allowed_algorithms=allowed_algorithms,
            cache_ttl=cache_ttl,
            leeway=leeway,
            retries=retries,
            timeout=timeout,
            store=store,
            max_stale=max_stale,
            token_cache_size=token_cache_size,
            http_client=client,
            observer=observer,
            clock=clock,
        )
        self._identities = IdentitySource(
            self.identity_url, timeout=timeout, http_client=client, clock=clock
        )

    def __repr__(self) -> str:
        return f"CloudFlareTokenValidation({self._jwks!r})"

    @property
    def issuer(self) -> str:
        """The required `iss` of tokens: the team's domain as a URL."""
        return self._issuer

    @property
    def cert_url(self) -> str:
        """The URL of the keys."""
        return f"{self._issuer}/cdn-cgi/access/certs"

    @property
    def identity_url(self) -> str:
        """The URL that `get_identity` fetches."""
        return f"{self._issuer}/cdn-cgi/access/get-identity"

    async def verify_token(self, token: str) -> dict[str, Any]:
        """Return the claims of a valid token, of a person or of a machine.

        Raises as `JWKS.verify_token`: `jwt.InvalidTokenError`, among them `KeysUnavailableError`
        if there are no keys to verify it with.
        """
        return await self._jwks.verify_token(token)

    async def verify_user(self, token: str) -> User:
        """Return the person that a valid token identifies.

        Raises as `verify_token`. A machine's token raises `jwt.MissingRequiredClaimError`.
        """
        claims = await self._jwks.verify_token(token)
        email, sub = self._required_text(claims, "email"), self._required_text(claims, "sub")
        country = claims.get("country")
        return User(
            sub,
            email,
            country if isinstance(country, str) else None,
            bool(claims.get("identity_nonce")),
        )

    async def verify_email(self, token: str) -> str:
        """Return the email address of the person; raises as `verify_user`."""
        return (await self.verify_user(token)).email

    async def verify_service_token(self, token: str) -> ServiceToken:
        """Return the machine that a valid token identifies.

        Raises as `verify_token`. A person's token raises `jwt.MissingRequiredClaimError`.
        """
        claims = await self._jwks.verify_token(token)
        # Only a machine has an empty `sub`; a person with a certificate has a `common_name` too.
        if claims["sub"] or "email" in claims:
            raise told(self._jwks, jwt.MissingRequiredClaimError("common_name"))
        return ServiceToken(self._required_text(claims, "common_name"))

    async def get_identity(self, token: str) -> Identity:
        """Return Cloudflare's profile of the user. The token is verified before it is sent.

        Raises as `verify_token`; also `jwt.InvalidTokenError` if Cloudflare has ended the session,
        and `IdentityUnavailableError` if it returned no profile.
        """
        await self._jwks.verify_token(token)
        try:
            return await self._identities.identity(compact(token))
        except IdentityUnavailableError:
            raise
        except jwt.InvalidTokenError as error:
            raise told(self._jwks, error) from None

    def _required_text(self, claims: Mapping[str, Any], name: str) -> str:
        value = claims.get(name)
        if not isinstance(value, str) or not value:
            raise told(self._jwks, jwt.MissingRequiredClaimError(name))
        return value

    async def refresh(self, *, force: bool = False) -> None:
        """Make sure that the keys are fresh, as a warm-up; `force` fetches them after this call.

        Raises `KeysUnavailableError`.
        """
        await self._jwks.refresh(force=force)

    def status(self) -> Status:
        """Return the state of the keys, without I/O."""
        return self._jwks.status()

    async def close(self) -> None:
        """Close everything that this verifier opened; a second call does nothing.

        Entered again, as in `async with`, it works again.
        """
        await self._jwks.close()

    aclose = close

    async def __aenter__(self) -> Self:
        await self._jwks.__aenter__()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.close()


def _checked_team(team: object) -> str:
    if not isinstance(team, str):
        raise TypeError(f"team: expected a string, got {type(team).__name__}")
    if not TEAM_NAME.fullmatch(team):
        raise ValueError("team: expected a name of ASCII letters, digits and inner hyphens")
    return team


def _checked_aud(aud: object) -> tuple[str, ...]:
    if aud is None:
        raise TypeError("aud: expected the audience tag of the application")
    tags = checked_strings("aud", (aud,) if isinstance(aud, str) else aud)
    if not tags:
        raise ValueError("aud: expected at least one audience tag")
    return tags
