"""The public API as users write it: read by the type checker, never executed."""

# pyright: strict

import asyncio
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, assert_never, assert_type

import httpx
import httpx2
import jwt

from auth_jwks import (
    JWKS,
    IssuerMismatchError,
    Issuers,
    KeyStore,
    KeysUnavailableError,
    MemoryKeyStore,
    Status,
    UnknownKeyError,
)
from auth_jwks.events import (
    BreakerChanged,
    DocumentRejected,
    Event,
    KeysRefreshed,
    LeaseChanged,
    Observer,
    RefreshFailed,
    StaleServed,
    StoreFailed,
    TokenRefused,
    UnknownKey,
)
from auth_jwks.profiles import AccessToken, IDToken, LogoutToken, Profile
from auth_jwks.stores import Answer, Busy, Lease, LeaseRequest, StoreUnavailable, Unchanged
from auth_jwks.sync import SyncIssuers, SyncJWKS
from auth_jwks.testing import FakeClock, FakeIssuer, SigningKey

JWKS("https://idp.test/.well-known/openid-configuration", issuer="https://idp.test")
JWKS("https://idp.test", "api", {"RS256"}, 900, 30.0, 5.0, 3, False)  # noqa: FBT003
JWKS("https://idp.test", ["api", "web"], ("RS256", "EdDSA"), leeway=0, fix_local_url=False)
JWKS(
    jwks_uri="https://idp.test/jwks",
    aud=frozenset(("api",)),
    max_stale=0,
    token_cache_size=0,
    required_claims=["scope"],
    max_token_length=32_768,
    numeric_sub=True,
    store=MemoryKeyStore(maxsize=16),
    http_client=httpx.AsyncClient(),
    observer=print,
)
JWKS(discovery_url=None, jwks_uri="https://idp.test/jwks", http_client=httpx2.AsyncClient())

JWKS("https://idp.test", profile=AccessToken())
JWKS(jwks={"keys": []}, issuer="https://idp.test")
JWKS(jwks_file=Path("/var/run/keys.json"), aud="api")
JWKS("https://idp.test", http_client=httpx.AsyncClient)
JWKS("https://idp.test", http_client=lambda: httpx2.AsyncClient(verify=False))
SyncJWKS("https://idp.test", http_client=partial(httpx.AsyncClient, http2=True))

SyncJWKS("https://idp.test", http_client=httpx.AsyncClient())  # type: ignore[arg-type]
JWKS("https://idp.test", http_client=httpx.Client)  # type: ignore[arg-type]
JWKS(jwks=[])  # type: ignore[arg-type]
JWKS(jwks_file=b"/var/run/keys.json")  # type: ignore[arg-type]
JWKS(issuer="https://idp.test/realms/x", aud="api")
JWKS(issuer=["https://idp.test", "idp.test"])
JWKS(issuer=("https://idp.test/{tenantid}/v2.0",), tenants={"72f988bf"})
JWKS(issuer="https://idp.test/{tenantid}/v2.0", tenants=lambda tid: tid == "72f988bf")
assert_type(JWKS("https://idp.test").issuers, tuple[str, ...])

JWKS(issuer={"https://idp.test"})  # type: ignore[arg-type]
JWKS(issuer="https://idp.test/{tenantid}", tenants=5)  # type: ignore[arg-type]
JWKS(5)  # type: ignore[arg-type]
JWKS("https://idp.test", aud=5)  # type: ignore[arg-type]
JWKS("https://idp.test", profile=AccessToken)  # type: ignore[arg-type]
JWKS("https://idp.test", store=object())  # type: ignore[arg-type]
JWKS("https://idp.test", http_client=httpx.Client())  # type: ignore[arg-type]
JWKS("https://idp.test", "api", {"RS256"}, 900, 30.0, 5.0, 3, True, "jwks")  # type: ignore[call-arg] # noqa: FBT003


def allow(claims: dict[str, Any]) -> None:
    """Allow whoever has a name."""
    if "name" not in claims:
        raise jwt.InvalidTokenError("no name")


def predicate(claims: dict[str, Any]) -> bool:
    """Answer a question, which no check may."""
    return "name" in claims


profiles: list[Profile] = [
    AccessToken(typ=["JWT", None], claims={"tenant": "blue"}, check=allow),
    IDToken(client_id="web", nonce="n", access_token="t", max_age=300),
    LogoutToken(),
]
AccessToken("JWT")  # type: ignore[call-arg]
AccessToken(check=predicate)  # type: ignore[arg-type]
IDToken()  # type: ignore[call-arg]


Issuers()
Issuers(JWKS("https://idp.test"), JWKS(jwks_uri="https://idp.test/jwks"))
Issuers(SyncJWKS("https://idp.test"))  # type: ignore[arg-type]
Issuers([JWKS("https://idp.test")])  # type: ignore[arg-type]
Issuers(Issuers())  # type: ignore[arg-type]
SyncIssuers(SyncJWKS("https://idp.test"), SyncJWKS("https://idp.test"))
SyncIssuers(JWKS("https://idp.test"))  # type: ignore[arg-type]


async def verify_any(issuers: Issuers, threads: SyncIssuers, token: str) -> None:
    """Verify a token of any issuer in every way there is."""
    async with issuers as same:
        assert_type(same, Issuers)
        await same.refresh(force=True)
        assert_type(await same.verify_token(token, "api", verify_iss=True), dict[str, Any])
        assert_type(same.status(), tuple[Status, ...])
        assert_type(same.issuers, tuple[str, ...])
    with threads as also:
        assert_type(also, SyncIssuers)
        assert_type(also.verify_token(token, ["api", "web"]), dict[str, Any])
        assert_type(also.status(), tuple[Status, ...])


async def verify(jwks: JWKS, token: str) -> Mapping[str, Any]:
    """Verify a token in every way there is."""
    async with jwks as same:
        assert_type(same, JWKS)
        assert_type(await same.refresh(), None)
        await same.refresh(force=True)
        assert_type(await same.verify_token(token), dict[str, Any])
        await same.verify_token(token, "api")
        await same.verify_token(token, audience=["api", "web"], verify_iss=False)
        await same.verify_token(token, profile=profiles[0])
    await jwks.close()
    await jwks.aclose()
    return await jwks.verify_token(token)


async def answer(jwks: JWKS, token: str) -> int:
    """Tell whose fault it was."""
    try:
        await jwks.verify_token(token)
    except KeysUnavailableError as error:
        assert_type(error.retry_after, float)
        return 503
    except IssuerMismatchError:
        return 503
    except UnknownKeyError:
        return 401
    except jwt.InvalidTokenError:
        return 401
    return 200


def raise_it() -> None:
    """Raise as a double of a verifier would."""
    raise KeysUnavailableError("away", retry_after=5) from None


def describe(status: Status) -> str:
    """Show an operator the state."""
    assert_type(status.kids, tuple[str | None, ...])
    assert_type(status.age, float | None)
    assert_type(status.failure, str | None)
    return f"{status.source} {status.fresh} {status.retry_after:.0f} {status.version:d}"


def count(event: Event) -> str:
    """Name every event there is."""
    match event:
        case KeysRefreshed(origin=origin):
            return origin
        case RefreshFailed(reason=reason) | DocumentRejected(reason=reason):
            return reason
        case TokenRefused(reason=reason):
            return reason
        case LeaseChanged(change=change) | BreakerChanged(change=change):
            return change
        case StoreFailed(operation=operation):
            return operation
        case StaleServed(first=first) | UnknownKey(asked=first):
            return str(first)
        case _:
            assert_never(event)


observer: Observer = count  # type: ignore[assignment]


class NullKeyStore:
    """A store of a user's own, which no class of ours is behind."""

    async def poll(self, key: str, *, known: int, lease: LeaseRequest | None) -> Answer:
        """Tell that there is nothing."""
        if lease is not None and lease.cause == "forced":
            raise StoreUnavailable(key)
        return Busy(1.0) if known else Unchanged()

    async def commit(
        self, lease: Lease, payload: bytes, *, ttl: float, window: float
    ) -> int | None:
        """Keep nothing."""
        return lease.fence if payload and ttl > window else None

    async def fail(self, lease: Lease, *, retry_after: float, mismatch: bool = False) -> None:
        """Remember nothing."""

    async def aclose(self) -> None:
        """Close nothing."""


store: KeyStore = NullKeyStore()
JWKS("https://idp.test", store=NullKeyStore())


async def test() -> None:
    """Test a service of one's own."""
    clock = FakeClock()
    with FakeIssuer(keys=[SigningKey.generate("ES256")], clock=clock) as issuer:
        jwks = JWKS(issuer.discovery_url, issuer=issuer.issuer, clock=clock)
        assert_type(issuer.sign(scope="read"), str)
        await asyncio.gather(jwks.verify_token(issuer.sign()), issuer.arrived(1))
