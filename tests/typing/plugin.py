"""Tests as users write them with the pytest plugin: read by the type checkers, never executed."""

# pyright: strict

from collections.abc import AsyncGenerator, Callable, Iterator
from typing import assert_type

import pytest
from django.test import Client, override_settings
from fastapi import FastAPI
from fastapi.testclient import TestClient

from auth_jwks import JWKS, FileKeyStore, RedisKeyStore
from auth_jwks.fastapi import JWTBearer, TokenRefusedError
from auth_jwks.sync import SyncJWKS
from auth_jwks.testing import FakeClock, FakeIssuer, SigningKey

app = FastAPI()
bearer = JWTBearer(JWKS(issuer="https://idp.test", aud="api"))


@pytest.fixture
async def jwks(jwks_issuer: FakeIssuer) -> AsyncGenerator[JWKS]:
    """Make a verifier for a test on an event loop."""
    async with (
        RedisKeyStore("redis://localhost") as store,
        JWKS(issuer=jwks_issuer.issuer, aud="api", store=store, clock=FakeClock()) as jwks,
    ):
        yield jwks


@pytest.fixture
def threads(jwks_issuer: FakeIssuer) -> Iterator[SyncJWKS]:
    """Make one for threads."""
    with SyncJWKS(issuer=jwks_issuer.issuer, store=FileKeyStore("keys")) as jwks:
        yield jwks


@pytest.fixture
def client(jwks_issuer: FakeIssuer) -> Iterator[TestClient]:
    """Replace the provider of an application."""
    app.dependency_overrides[bearer] = JWTBearer(JWKS(issuer=jwks_issuer.issuer, aud="api"))
    with TestClient(app) as client:
        yield client


async def test_a_token(jwks: JWKS, jwks_issuer: FakeIssuer, jwks_token: Callable[..., str]) -> None:
    """Break what there is to break."""
    assert_type(jwks_token({"aud": "api"}, role="admin", exp=None), str)
    assert_type(jwks_issuer.forge(aud="api"), str)
    assert_type(jwks_issuer.rotate(SigningKey.generate("ES256"), keep=False), SigningKey)
    jwks_issuer.outage(times=1, on="jwks")
    await jwks.verify_token(jwks_token(aud="api"))


def test_django(jwks_issuer: FakeIssuer) -> None:
    """Let Django's client ask."""
    with override_settings(AUTH_JWKS={"VERIFIER": {"issuer": jwks_issuer.issuer}}):
        assert_type(Client().get("/").status_code, int)


def refused(error: TokenRefusedError) -> int:
    """Handle a refusal."""
    return assert_type(error.status_code, int)
