"""The metrics for Prometheus, as a scrape finds them in a registry of the test's own."""

import gc
import sys
import time
import weakref
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any, get_args

import pytest
from prometheus_client import CollectorRegistry, Counter

from auth_jwks.errors import Reason
from auth_jwks.events import (
    BreakerChanged,
    DocumentRejected,
    Event,
    KeysRefreshed,
    LeaseChanged,
    Operation,
    RefreshFailed,
    RefreshFault,
    StaleServed,
    StoreFailed,
    TokenRefused,
    UnknownKey,
)
from auth_jwks.prometheus import PrometheusObserver

SOURCE = "https://login.example.com/jwks"
NEW = KeysRefreshed(SOURCE, "provider", 2, ("a", "b", "c"), 5.0, version=7, usable_for=900.0)
COUNTED: dict[str, tuple[Event, str, dict[str, str]]] = {
    "from the provider": (NEW, "refreshes_total", {"origin": "provider", "result": "ok"}),
    "from the store": (
        KeysRefreshed(SOURCE, "store", 2, (), 5.0, version=7, usable_for=900.0),
        "refreshes_total", {"origin": "store", "result": "ok"},
    ),
    "failed": (
        RefreshFailed(SOURCE, "timeout", "a reason", 5.0),
        "refreshes_total", {"origin": "provider", "result": "timeout"},
    ),
    "stale": (StaleServed(SOURCE, 1000.0, first=True), "stale_verifications_total", {}),
    "store": (
        StoreFailed(SOURCE, "redis", "poll", "resting", "a reason"),
        "store_operations_total", {"operation": "poll", "result": "resting"},
    ),
    "document": (
        DocumentRejected(SOURCE, "seal", "a reason"),
        "documents_rejected_total", {"reason": "seal"},
    ),
    "searched": (UnknownKey(SOURCE, asked=True), "unknown_keys_total", {"result": "searched"}),
    "not searched": (
        UnknownKey(SOURCE, asked=False), "unknown_keys_total", {"result": "not_searched"},
    ),
    "lease": (LeaseChanged(SOURCE, "granted"), "lease_changes_total", {"result": "granted"}),
}  # fmt: skip

Value = Callable[..., float | None]


@pytest.fixture
def registry() -> CollectorRegistry:
    """Return a registry without any metric."""
    return CollectorRegistry()


@pytest.fixture
def observer(registry: CollectorRegistry) -> PrometheusObserver:
    """Return an observer that has been told of one verifier."""
    observer = PrometheusObserver(registry)
    observer.counter(SOURCE)
    return observer


@pytest.fixture
def value(registry: CollectorRegistry) -> Value:
    """Return what reads a metric of the source."""

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"auth_jwks_{name}", {"source": SOURCE, **labels})

    return value


@pytest.mark.parametrize(("event", "name", "labels"), COUNTED.values(), ids=COUNTED)
def test_an_event_is_counted(
    event: Event, name: str, labels: dict[str, str], observer: PrometheusObserver, value: Value
) -> None:
    """Each by what it was; the counter is there before, at 0, so that the first one shows."""
    assert value(name, **labels) == 0
    observer(event)
    observer(event)
    assert value(name, **labels) == 2


@pytest.mark.usefixtures("observer")
def test_every_kind_of_failure_begins_at_zero(value: Value) -> None:
    """`increase()` finds no first one that comes with its series."""
    for fault in get_args(RefreshFault):
        assert value("refreshes_total", origin="provider", result=fault) == 0


def test_verifications_are_counted_by_result(observer: PrometheusObserver, value: Value) -> None:
    """Good ones, those seen before, and each reason to refuse one. All of them begin at 0."""
    count = observer.counter(SOURCE)
    count("ok")
    count("seen")
    count("seen")
    count(Reason.EXPIRED)
    results: list[str] = ["ok", "seen", *Reason]
    found = {result: value("verifications_total", result=result) for result in results}
    assert found == {**dict.fromkeys(results, 0), "ok": 1, "seen": 2, "expired": 1}


def test_an_event_of_a_refusal_counts_nothing_twice(
    observer: PrometheusObserver, registry: CollectorRegistry
) -> None:
    """The verification was counted."""
    before = [*registry.collect()]
    observer(TokenRefused(SOURCE, Reason.EXPIRED, "a detail"))
    assert [*registry.collect()] == before


def test_the_keys_in_use(observer: PrometheusObserver, value: Value) -> None:
    """Their times are those of the fetch and of the end, by the clock of the scrape."""
    before = time.time()
    observer(NEW)
    after = time.time()
    assert value("key_set_version") == value("key_set_newest_version") == 7
    assert (value("keys"), value("keys_skipped")) == (2, 3)
    assert before <= (value("fetch_last_timestamp_seconds", result="ok") or 0) <= after
    assert before <= (value("key_set_fetched_timestamp_seconds") or 0) + 5 <= after
    assert before <= (value("stale_until_timestamp_seconds") or 0) - 900 <= after


def test_keys_from_the_store_are_no_fetch(observer: PrometheusObserver, value: Value) -> None:
    """Another worker has made it."""
    observer(COUNTED["from the store"][0])
    assert value("fetch_last_timestamp_seconds", result="ok") is None
    assert value("key_set_version") == 7


def test_keys_that_no_store_has_keep_the_version(
    observer: PrometheusObserver, value: Value
) -> None:
    """While the store is down no other worker can be ahead."""
    observer(NEW)
    observer(KeysRefreshed(SOURCE, "provider", 1, (), 0.0, version=0, usable_for=900.0))
    assert value("key_set_version") == 7


def test_a_failed_fetch_has_its_time(observer: PrometheusObserver, value: Value) -> None:
    """It tells how old the news is."""
    before = time.time()
    observer(RefreshFailed(SOURCE, "timeout", "a reason", 5.0))
    assert before <= (value("fetch_last_timestamp_seconds", result="failed") or 0) <= time.time()


def test_a_breaker_is_open_or_not(observer: PrometheusObserver, value: Value) -> None:
    """Of several workers the sum is shown."""
    observer(BreakerChanged(SOURCE, "redis", "opened"))
    assert value("store_breaker_open") == 1
    observer(BreakerChanged(SOURCE, "redis", "closed"))
    assert value("store_breaker_open") == 0


@pytest.mark.parametrize(
    ("operation", "name", "labels"),
    [
        ("refresh", "refresh_duration_seconds", {}),
        ("fetch", "fetch_duration_seconds", {}),
        ("poll", "store_operation_duration_seconds", {"operation": "poll"}),
    ],
)
def test_durations(
    operation: Operation,
    name: str,
    labels: dict[str, str],
    observer: PrometheusObserver,
    value: Value,
) -> None:
    """Each operation is timed, however it ends."""
    with observer.during(operation, SOURCE):
        pass
    with pytest.raises(OSError, match=r"^it failed$"), observer.during(operation, SOURCE):
        raise OSError("it failed")
    assert value(f"{name}_count", **labels) == 2
    assert 0 < (value(f"{name}_sum", **labels) or 0) < 60


def test_work_that_dies_with_its_loop(observer: PrometheusObserver, value: Value) -> None:
    """It has no end, and so no duration."""

    def work() -> Generator[None]:
        with observer.during("refresh", SOURCE):
            yield

    running = work()
    next(running)
    running.close()
    assert not value("refresh_duration_seconds_count")


def test_a_call_of_the_store_that_fails_is_told_by_an_event(
    observer: PrometheusObserver, value: Value
) -> None:
    """The event knows why; only a success is counted by its end."""
    with observer.during("commit", SOURCE):
        pass
    with pytest.raises(OSError, match=r"^it failed$"), observer.during("commit", SOURCE):
        raise OSError("it failed")
    assert value("store_operations_total", operation="commit", result="ok") == 1


def test_observers_of_one_registry_share_its_metrics(
    observer: PrometheusObserver, registry: CollectorRegistry, value: Value
) -> None:
    """Each verifier may have one of its own, and some may share one."""
    observer.counter(SOURCE)("ok")
    PrometheusObserver(registry).counter(SOURCE)("ok")
    assert value("verifications_total", result="ok") == 2


def test_observers_made_in_threads(registry: CollectorRegistry) -> None:
    """One of them registers, however many begin at once; no count is lost."""

    def made_and_counting(_number: int) -> None:
        count = PrometheusObserver(registry).counter(SOURCE)
        for _ in range(1000):
            count("seen")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(made_and_counting, range(8)))
    labels = {"source": SOURCE, "result": "seen"}
    assert registry.get_sample_value("auth_jwks_verifications_total", labels) == 8000


def test_registries_have_metrics_of_their_own(observer: PrometheusObserver, value: Value) -> None:
    """Nothing is counted in another one, and one that nobody holds goes."""
    other = CollectorRegistry()
    PrometheusObserver(other).counter(SOURCE)("ok")
    assert value("verifications_total", result="ok") == 0
    gone = weakref.ref(other)
    del other
    gc.collect()
    assert gone() is None
    assert repr(observer) == "PrometheusObserver()"


def test_names_that_are_taken(registry: CollectorRegistry) -> None:
    """A foreign metric of our name is not counted into."""
    Counter("auth_jwks_verifications_total", "Somebody else's.", registry=registry)
    with pytest.raises(ValueError, match="auth_jwks_verifications"):
        PrometheusObserver(registry)


def test_misuse() -> None:
    """What is no registry is refused by the parameter's name."""
    registry: Any = object()
    with pytest.raises(TypeError, match=r"^registry: expected a CollectorRegistry, got object$"):
        PrometheusObserver(registry)


def test_without_prometheus_client_the_import_names_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever lacks it is told what to install."""
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    monkeypatch.delitem(sys.modules, "auth_jwks.prometheus")
    with pytest.raises(ImportError, match=r"install auth-jwks\[prometheus\]$") as caught:
        import_module("auth_jwks.prometheus")
    assert caught.value.name == "prometheus_client"
