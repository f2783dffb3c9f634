"""What the tests of the pages run on: every provider's hosts, by TLS, through a proxy."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import trustme

from tests.issuers import shapes
from tests.issuers.sites import Site
from tests.provider_pages.expected import PAGES
from tests.tunnel import Tunnel

HOSTS = sorted({httpx.URL(url).host for page in PAGES.values() for url in page.documents})
POD = "the pod's own token"


@pytest.fixture(scope="session")
def ca() -> trustme.CA:
    """Return an authority that nobody trusts by default."""
    return trustme.CA()


@pytest.fixture(scope="session")
def ca_file(ca: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where its certificate is."""
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    ca.cert_pem.write_to_path(path)
    return path


@pytest.fixture(scope="session")
def server_context(ca: trustme.CA) -> ssl.SSLContext:
    """Return the TLS of all hosts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(*HOSTS).configure_cert(context)
    return context


@pytest.fixture
async def internet(
    server_context: ssl.SSLContext, ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Site]:
    """Return all hosts, which the environment leads to."""
    with Site(ssl_context=server_context) as site:
        site.bearers = {"kubernetes.default.svc": POD}
        tunnel = Tunnel(lambda to: ("127.0.0.1", site.port(secure=to[1] == 443)))
        async with await asyncio.start_server(tunnel.serve, "127.0.0.1", 0) as server:
            proxy = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            for name in ("HTTP_PROXY", "HTTPS_PROXY"):
                monkeypatch.delenv(name, raising=False)
                monkeypatch.setenv(name.lower(), proxy)
            for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy", "SSL_CERT_DIR"):
                monkeypatch.delenv(name, raising=False)
            monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
            yield site


@pytest.fixture
def files(ca_file: Path, tmp_path: Path) -> dict[str, str]:
    """Return where the files are that recipes read."""
    paths = {name: tmp_path / name for name in ("TOKEN_FILE", "BUNDLE")}
    paths["TOKEN_FILE"].write_text(f"{POD}\n")
    paths["BUNDLE"].write_text(json.dumps(shapes.BUNDLE))
    return {name: str(path) for name, path in (paths | {"CA_FILE": ca_file}).items()}
