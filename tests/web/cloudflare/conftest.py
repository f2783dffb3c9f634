"""A team, the host that publishes its keys, and a verifier that reaches that host."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

from auth_jwks.cloudflare import CloudFlareTokenValidation
from auth_jwks.testing import FakeIssuer, SigningKey
from tests.web.cloudflare.access_edge import Edge, edge_of
from tests.web.cloudflare.calls import ISSUER, access


@pytest.fixture(scope="session")
def key() -> SigningKey:
    """Return a key that is quick to make."""
    return SigningKey.generate("ES256")


@pytest.fixture
def team(key: SigningKey) -> FakeIssuer:
    """Return who signs the team's tokens."""
    return FakeIssuer(issuer=ISSUER, keys=[key])


@pytest.fixture(scope="session")
def ca() -> trustme.CA:
    """Return the only authority that is trusted."""
    return trustme.CA()


@pytest.fixture(autouse=True)
def _trust(ca: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "ca.pem")
    ca.cert_pem.write_to_path(path)
    monkeypatch.setenv("SSL_CERT_FILE", path)


@pytest.fixture
async def edge(
    team: FakeIssuer, ca: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Edge]:
    """Return the team's host, where the environment's proxy leads."""
    async with edge_of(team, ca) as edge:
        monkeypatch.setenv("https_proxy", edge.proxy)
        yield edge


@pytest.fixture
async def cfa(edge: Edge) -> AsyncIterator[CloudFlareTokenValidation]:
    """Return such a verifier, which reaches the host."""
    assert edge.port
    async with access() as cfa:
        yield cfa
