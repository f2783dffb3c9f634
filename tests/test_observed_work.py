"""What observers see of the work of a verifier: when it begins and ends, and in what order."""

import gc
import weakref
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import httpx
import jwt
import pytest
from opentelemetry.trace import StatusCode
from prometheus_client import CollectorRegistry

from auth_jwks import JWKS, KeysUnavailableError, MemoryKeyStore
from auth_jwks.events import Event, Operation
from auth_jwks.prometheus import PrometheusObserver
from auth_jwks.sync import SyncJWKS
from auth_jwks.testing import ChaosStore, FakeClock, FakeIssuer
from tests.collected import Collected

WITHIN: ContextVar[tuple[str, ...]] = ContextVar("WITHIN", default=())


class Watch:
    """An observer that writes down what runs, and within what."""

    def __init__(self) -> None:
        self.began: list[tuple[str, ...]] = []
        self.raised: list[str] = []
        self.sources: set[str] = set()

    def __call__(self, event: Event, /) -> None:
        """Write down within what an event is told."""
        self.began.append((*WITHIN.get(), type(event).__name__))

    @contextmanager
    def during(self, operation: Operation, source: str, /) -> Iterator[None]:
        """Write down an operation."""
        here = (*WITHIN.get(), operation)
        self.began.append(here)
        self.sources.add(source)
        token = WITHIN.set(here)
        try:
            yield
        except Exception as fault:
            self.raised.append(f"{operation}: {type(fault).__name__}")
            raise
        finally:
            WITHIN.reset(token)
            self.began.append((*here, "ended"))


def told(watch: Watch) -> list[str]:
    """Return what was written down, as lines."""
    return [" > ".join(each) for each in watch.began]


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock that stands still."""
    return FakeClock()


@pytest.fixture
def issuer(clock: FakeClock) -> FakeIssuer:
    """Return a provider."""
    return FakeIssuer(algorithm="ES256", clock=clock)


@pytest.fixture
async def client(issuer: FakeIssuer) -> AsyncIterator[httpx.AsyncClient]:
    """Return a client that reaches the provider without a socket."""
    async with httpx.AsyncClient(transport=issuer.transport()) as client:
        yield client


def verifier(issuer: FakeIssuer, client: httpx.AsyncClient, clock: FakeClock, **more: Any) -> JWKS:
    """Return a verifier of the provider's tokens."""
    return JWKS(
        issuer.discovery_url, "api", issuer=issuer.issuer, retries=0, http_client=client,
        clock=clock, **more,
    )  # fmt: skip


async def test_a_refresh_contains_all_its_work(
    issuer: FakeIssuer, client: httpx.AsyncClient, clock: FakeClock
) -> None:
    """The call that asks for the lease, one fetch for each document, and the one that shares."""
    watch = Watch()
    async with verifier(issuer, client, clock, observer=watch) as jwks:
        await jwks.refresh()
    lines = [line for line in told(watch) if "Lease" not in line]
    assert lines == [
        "refresh",
        "refresh > poll",
        "refresh > poll > ended",
        "refresh > fetch",
        "refresh > fetch > ended",
        "refresh > fetch",
        "refresh > fetch > ended",
        "refresh > commit",
        "refresh > commit > ended",
        "refresh > KeysRefreshed",
        "refresh > ended",
    ]
    assert watch.sources == {issuer.discovery_url}
    assert watch.raised == []


async def test_what_fails_passes_through(
    issuer: FakeIssuer, client: httpx.AsyncClient, clock: FakeClock
) -> None:
    """A fetch and a call of the store raise within their context; the refresh does not."""
    watch, store = Watch(), ChaosStore(MemoryKeyStore())
    store.refuse()
    issuer.outage(503)
    async with verifier(issuer, client, clock, observer=watch, store=store) as jwks:
        with pytest.raises(KeysUnavailableError):
            await jwks.refresh()
    assert watch.raised == [
        "poll: StoreUnavailable", "poll: StoreUnavailable", "fetch: FetchError",
    ]  # fmt: skip
    assert "refresh > RefreshFailed" in told(watch)
    assert "refresh > fail" not in told(watch), "the worker's own gate is no store"


async def test_a_failure_is_shared_while_it_is_watched(
    issuer: FakeIssuer, client: httpx.AsyncClient, clock: FakeClock
) -> None:
    """That too is a call of the store."""
    watch = Watch()
    issuer.outage(503)
    async with verifier(issuer, client, clock, observer=watch) as jwks:
        with pytest.raises(KeysUnavailableError):
            await jwks.refresh()
    assert watch.raised == ["fetch: FetchError"]
    assert "refresh > fail" in told(watch)


async def test_spans_of_a_refresh(
    issuer: FakeIssuer, client: httpx.AsyncClient, clock: FakeClock
) -> None:
    """It is a trace of its own, whatever request began it; the calls are below it."""
    collected = Collected(issuer.discovery_url)
    tracer = collected.tracer_provider.get_tracer("an application's")
    async with verifier(issuer, client, clock, observer=collected.observer()) as jwks:
        with tracer.start_as_current_span("a request"):
            await jwks.verify_token(issuer.sign(aud="api"))
    spans = collected.spans
    assert spans.keys() == {"a request", "jwks.refresh", "jwks.poll", "jwks.fetch", "jwks.commit"}
    refresh = spans["jwks.refresh"]
    assert dict(refresh.attributes or {}) == {
        "auth_jwks.source": issuer.discovery_url, "auth_jwks.origin": "provider",
    }  # fmt: skip
    assert refresh.parent is None
    for name in ("jwks.poll", "jwks.fetch", "jwks.commit"):
        assert spans[name].parent == refresh.context
    assert collected.points("refresh.duration")
    assert collected.points("fetch.duration").popitem()[1].count == 2


async def test_spans_of_a_refresh_that_fails(
    issuer: FakeIssuer, client: httpx.AsyncClient, clock: FakeClock
) -> None:
    """It and its fetch have the same kind of error, and the store is told of the failure."""
    collected = Collected(issuer.discovery_url)
    issuer.outage(503)
    async with verifier(issuer, client, clock, observer=collected.observer()) as jwks:
        with pytest.raises(KeysUnavailableError):
            await jwks.refresh()
    spans = collected.spans
    for name in ("jwks.refresh", "jwks.fetch"):
        assert dict(spans[name].attributes or {})["error.type"] == "status"
        assert spans[name].status.status_code is StatusCode.ERROR
    assert spans["jwks.fail"].status.status_code is StatusCode.UNSET


async def test_both_at_once(
    issuer: FakeIssuer, client: httpx.AsyncClient, clock: FakeClock
) -> None:
    """Several observers count the same, of each verification and each refusal."""
    collected, registry = Collected(issuer.discovery_url), CollectorRegistry()
    both = (PrometheusObserver(registry), collected.observer())
    async with verifier(issuer, client, clock, observer=both) as jwks:
        token = issuer.sign(aud="api")
        await jwks.verify_token(token)
        await jwks.verify_token(token)
        with pytest.raises(jwt.InvalidAudienceError):
            await jwks.verify_token(issuer.sign(aud="other"))
    labels = {"source": issuer.discovery_url}
    for result in ("ok", "seen", "audience"):
        found = registry.get_sample_value(
            "auth_jwks_verifications_total", {**labels, "result": result}
        )
        assert found == 1
    assert collected.value("verifications", auth_jwks__result="seen") == 1
    refused = {"auth_jwks__result": "refused", "error__type": "audience"}
    assert collected.value("verifications", **refused) == 1


def test_threads_lose_no_count() -> None:
    """Eight threads verify by one `SyncJWKS`; every call is counted, of both kinds of observer."""
    registry = CollectorRegistry()
    with FakeIssuer(algorithm="ES256") as issuer:
        collected = Collected(issuer.discovery_url)
        both = (PrometheusObserver(registry), collected.observer())
        jwks = SyncJWKS(issuer.discovery_url, "api", issuer=issuer.issuer, observer=both)
        token = issuer.sign(aud="api")
        jwks.verify_token(token)
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda _: jwks.verify_token(token), range(2000)))
        jwks.close()
    labels = {"source": issuer.discovery_url}
    seen = {**labels, "result": "seen"}
    assert registry.get_sample_value("auth_jwks_verifications_total", seen) == 2000
    assert registry.get_sample_value("auth_jwks_refresh_duration_seconds_count", labels) == 1
    assert collected.value("verifications", auth_jwks__result="seen") == 2000
    assert collected.spans["jwks.fetch"].parent == collected.spans["jwks.refresh"].context


async def test_a_closed_verifier_goes_and_its_counts_stay(
    issuer: FakeIssuer, client: httpx.AsyncClient, clock: FakeClock
) -> None:
    """An observer holds none of the verifiers that it was given to."""
    collected, registry = Collected(issuer.discovery_url), CollectorRegistry()
    both = (PrometheusObserver(registry), collected.observer())
    async with verifier(issuer, client, clock, observer=both) as jwks:
        await jwks.verify_token(issuer.sign(aud="api"))
    gone = weakref.ref(jwks)
    del jwks
    gc.collect()
    assert gone() is None
    labels = {"source": issuer.discovery_url, "result": "ok"}
    assert registry.get_sample_value("auth_jwks_verifications_total", labels) == 1
    assert collected.value("verifications", auth_jwks__result="ok") == 1
