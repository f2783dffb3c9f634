"""The parts behind a verifier: what is refused, what is warned of, and what they share."""

import logging
from typing import Any

import httpx
import pytest

from auth_jwks import JWKS
from auth_jwks._cache.assembly import assembled
from auth_jwks._cache.key_cache import KeyCache
from auth_jwks._jose.issuer import IssuerNames
from auth_jwks.events import Event, KeysRefreshed
from auth_jwks.stores import MemoryKeyStore
from auth_jwks.sync import SyncJWKS
from auth_jwks.testing import FakeClock, FakeIssuer

URL, ISSUER = "https://idp.test/.well-known/openid-configuration", "https://idp.test"


def test_a_synchronous_client_is_refused() -> None:
    """`httpx.Client` looks much like the one that is expected."""
    with httpx.Client(transport=httpx.MockTransport(_never)) as client:
        options: dict[str, Any] = {"discovery_url": URL, "http_client": client}
        with pytest.raises(TypeError, match=r"^http_client: .+ an httpx\.AsyncClient, got Client$"):
            JWKS(**options)


@pytest.mark.parametrize(
    "options",
    [{"discovery_url": URL}, {"jwks_uri": URL}, {"discovery_url": URL, "jwks_uri": URL}],
)
def test_a_missing_issuer_is_one_warning(
    options: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """At construction, naming the parameter; with `issuer` there is none."""
    with caplog.at_level(logging.WARNING):
        JWKS(**options, aud="api", issuer=ISSUER)
        assert caplog.messages == []
        JWKS(**options, aud="api")
    [record] = caplog.records
    assert (record.name, record.levelno) == ("auth_jwks", logging.WARNING)
    assert record.getMessage().startswith("issuer: ")


@pytest.mark.parametrize("verifier", [JWKS, SyncJWKS])
def test_a_missing_audience_is_one_warning(verifier: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A token for any other service of the issuer would do."""
    verifier(URL, issuer=ISSUER)
    [record] = caplog.records
    assert (record.name, record.levelno) == ("auth_jwks", logging.WARNING)
    assert record.getMessage().startswith("aud: ")
    assert URL in record.getMessage()


@pytest.mark.parametrize(
    ("options", "parameter"),
    [
        ({"discovery_url": "http://idp.example.com/a?hunter2"}, "discovery_url"),
        ({"jwks_uri": "http://idp.example.com/a?hunter2"}, "jwks_uri"),
        ({"discovery_url": URL, "jwks_uri": "http://8.8.8.8/jwks"}, "jwks_uri"),
        ({"discovery_url": "http://idp.example.com/a", "jwks_uri": "https://idp.example.com"}, ""),
        ({"discovery_url": "https://idp.example.com/a"}, ""),
        ({"discovery_url": "http://keycloak:8080/a"}, ""),
        ({"discovery_url": "http://127.0.0.1/a"}, ""),
        ({"jwks_uri": "http://[::1]/a"}, ""),
        ({"jwks_uri": "http://10.1.2.3/a"}, ""),
    ],
)
def test_plain_http_to_a_public_host_is_one_warning(
    options: dict[str, Any], parameter: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever is on the way can replace the keys; a local host is nobody's way."""
    JWKS(**options, aud="api", issuer=ISSUER)
    assert [message.partition(":")[0] for message in caplog.messages] == [parameter] * bool(
        parameter
    )
    assert "hunter2" not in caplog.text


def cache_of(issuer: FakeIssuer, client: httpx.AsyncClient, **options: Any) -> KeyCache:
    """Return the assembled cache of a verifier with these options."""
    defaults: dict[str, Any] = {
        "discovery_url": issuer.discovery_url,
        "jwks_uri": None,
        "jwks": None,
        "jwks_file": None,
        "issuer": IssuerNames((issuer.issuer,)),
        "fix_local_url": True,
        "timeout": 5.0,
        "retries": 0,
        "http_client": client,
        "store": None,
        "cache_ttl": 900.0,
        "max_stale": 86_400.0,
        "allowed": frozenset(("ES256",)),
        "observer": None,
    }
    return assembled(**(defaults | options))[0]


async def test_the_parts_share_what_they_are_given(clock: FakeClock, issuer: FakeIssuer) -> None:
    """One clock, one policy, one observer."""
    events: list[Event] = []
    async with httpx.AsyncClient(transport=issuer.transport()) as client:
        cache = cache_of(
            issuer, client, cache_ttl=100, max_stale=50, observer=events.append, clock=clock
        )
        current = await cache.ensure()
        clock.advance(10)
        status = cache.status()
        await cache.aclose()
    assert [key.kid for key in current.key_set.keys] == ["first"]
    assert (status.age, status.expires_in, status.usable_for) == (10, 90, 140)
    assert events == [KeysRefreshed(issuer.discovery_url, "provider", 1, (), 0.0)]


@pytest.mark.parametrize(("shared", "fetches"), [(True, 1), (False, 2)])
async def test_without_a_store_each_has_its_own(
    clock: FakeClock, issuer: FakeIssuer, *, shared: bool, fetches: int
) -> None:
    """One that is handed in is used by all that get it."""
    store = MemoryKeyStore(timer=clock.monotonic) if shared else None
    async with httpx.AsyncClient(transport=issuer.transport()) as client:
        for _ in range(2):
            cache = cache_of(issuer, client, store=store, clock=clock)
            await cache.ensure()
            await cache.aclose()
    assert issuer.jwks_requests == fetches


def _never(_request: httpx.Request) -> httpx.Response:
    raise AssertionError
