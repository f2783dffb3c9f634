"""Stores that verifiers of threads share, and with asyncio."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from auth_jwks import JWKS, FileKeyStore, KeyStore, MemoryKeyStore, RedisKeyStore
from auth_jwks.sync import SyncJWKS
from auth_jwks.testing import FakeIssuer


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("redis", marks=pytest.mark.full),
        pytest.param("file", marks=pytest.mark.posix),
        "memory",
    ],
)
def test_verifiers_of_a_process_share_a_store(
    request: pytest.FixtureRequest, provider: FakeIssuer, tmp_path: Path, kind: str
) -> None:
    """Of threads, and but for the store in memory of asyncio as well: one fetch for all."""
    store: KeyStore = MemoryKeyStore()
    if kind == "redis":
        store = RedisKeyStore(request.getfixturevalue("redis_url"), integrity_key="k" * 32)
    elif kind == "file":
        store = FileKeyStore(tmp_path / "keys")
    issuer = provider
    options: dict[str, Any] = {"issuer": issuer.issuer, "store": store}
    with (
        SyncJWKS(issuer.discovery_url, **options) as first,
        SyncJWKS(issuer.discovery_url, **options) as second,
        ThreadPoolExecutor(2) as pool,
    ):
        token = issuer.sign()
        for each in (first, second):
            pool.submit(each.verify_token, token)
    assert first.status().kids == second.status().kids == ("first",)
    assert (issuer.discovery_requests, issuer.jwks_requests) == (1, 1)
    if kind != "memory":
        assert asyncio.run(_verified(issuer, store))["sub"] == "alice"
        assert (issuer.discovery_requests, issuer.jwks_requests) == (1, 1)


async def _verified(issuer: FakeIssuer, store: KeyStore) -> dict[str, Any]:
    """Verify a token with asyncio, and once more beside a thread that refreshes."""
    async with JWKS(issuer.discovery_url, issuer=issuer.issuer, store=store) as jwks:
        claims = await jwks.verify_token(issuer.sign())
        with SyncJWKS(issuer.discovery_url, issuer=issuer.issuer, store=store) as other:
            both = asyncio.to_thread(other.verify_token, issuer.sign()), jwks.refresh()
            await asyncio.gather(*both)
        await store.aclose()
        return claims
