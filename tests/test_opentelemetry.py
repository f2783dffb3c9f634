"""Metrics and spans for OpenTelemetry, as the SDK collects them in memory."""

import gc
import re
import sys
import time
import weakref
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

from auth_jwks._provider.client import FetchError
from auth_jwks.errors import Reason
from auth_jwks.events import (
    BreakerChanged,
    DocumentRejected,
    Event,
    KeysRefreshed,
    LeaseChanged,
    Operation,
    RefreshFailed,
    StaleServed,
    StoreFailed,
    TokenRefused,
    UnknownKey,
    VerificationResult,
)
from auth_jwks.opentelemetry import OpenTelemetryObserver
from tests.collected import Collected

PAGE = Path(__file__).parents[1].joinpath("docs", "metrics.md").read_text("utf-8")
SOURCE = "https://login.example.com/jwks"
NEW = KeysRefreshed(SOURCE, "provider", 2, ("a", "b", "c"), 5.0, version=7, usable_for=900.0)
FAILED = RefreshFailed(SOURCE, "timeout", "a reason", 5.0)
STORED = KeysRefreshed(SOURCE, "store", 2, (), 5.0, version=0, usable_for=900.0)
COUNTED: dict[str, tuple[Event, str, dict[str, str]]] = {
    "from the provider": (NEW, "refreshes", {"auth_jwks.origin": "provider"}),
    "from the store": (STORED, "refreshes", {"auth_jwks.origin": "store"}),
    "failed": (
        FAILED, "refreshes", {"auth_jwks.origin": "provider", "error.type": "timeout"},
    ),
    "stale": (StaleServed(SOURCE, 1000.0, first=True), "stale_verifications", {}),
    "store": (
        StoreFailed(SOURCE, "redis", "poll", "resting", "a reason"),
        "store.failures", {"auth_jwks.operation": "poll", "error.type": "resting"},
    ),
    "document": (
        DocumentRejected(SOURCE, "seal", "a reason"), "documents_rejected", {"error.type": "seal"},
    ),
    "searched": (UnknownKey(SOURCE, asked=True), "unknown_keys", {"auth_jwks.result": "searched"}),
    "not searched": (
        UnknownKey(SOURCE, asked=False), "unknown_keys", {"auth_jwks.result": "not_searched"},
    ),
    "lease": (LeaseChanged(SOURCE, "lost"), "lease_changes", {"auth_jwks.result": "lost"}),
}  # fmt: skip


@pytest.fixture
def collected() -> Iterator[Collected]:
    """Return an SDK, which ends with the test."""
    collected = Collected(SOURCE)
    yield collected
    collected.meter_provider.shutdown()
    collected.tracer_provider.shutdown()


@pytest.mark.parametrize(("event", "name", "attributes"), COUNTED.values(), ids=COUNTED)
def test_an_event_is_counted(
    event: Event, name: str, attributes: dict[str, str], collected: Collected
) -> None:
    """Each by what it was; what failed has an `error.type`."""
    observer = collected.observer()
    observer(event)
    observer(event)
    [(found, point)] = collected.points(name).items()
    assert (found, point.value) == (frozenset(attributes.items()), 2)


def test_verifications_are_counted_by_result(collected: Collected) -> None:
    """A refusal is an error, by its reason."""
    count = collected.observer().counter(SOURCE)
    results: tuple[VerificationResult, ...] = ("ok", "seen", "seen", Reason.EXPIRED)
    for result in results:
        count(result)
    metric = collected.metrics["auth_jwks.verifications"]
    assert (metric.unit, metric.data.is_monotonic) == ("{verification}", True)
    assert {key: point.value for key, point in collected.points("verifications").items()} == {
        frozenset({("auth_jwks.result", "ok")}): 1,
        frozenset({("auth_jwks.result", "seen")}): 2,
        frozenset({("auth_jwks.result", "refused"), ("error.type", "expired")}): 1,
    }


def test_an_event_of_a_refusal_counts_nothing_twice(collected: Collected) -> None:
    """The verification was counted."""
    collected.observer()(TokenRefused(SOURCE, Reason.EXPIRED, "a detail"))
    assert collected.metrics == {}


def test_the_keys_in_use(collected: Collected) -> None:
    """Their times are those of the fetch and of the end; units are UCUM's."""
    observer, before = collected.observer(), time.time()
    observer(NEW)
    after = time.time()
    assert collected.value("key_set.version") == 7
    assert (collected.value("key_set.keys"), collected.value("key_set.skipped")) == (2, 3)
    assert before <= collected.value("fetch.last_time", auth_jwks__result="ok") <= after
    assert before <= collected.value("key_set.fetched_time") + 5 <= after
    assert before <= collected.value("key_set.stale_until_time") - 900 <= after
    units = {name: metric.unit for name, metric in collected.metrics.items()}
    assert units["auth_jwks.key_set.fetched_time"] == "s"
    assert units["auth_jwks.key_set.keys"] == "{key}"


def test_keys_from_the_store_are_no_fetch(collected: Collected) -> None:
    """Another worker has made it; without a store's version there is none to compare."""
    collected.observer()(STORED)
    assert "auth_jwks.fetch.last_time" not in collected.metrics
    assert "auth_jwks.key_set.version" not in collected.metrics


def test_a_failed_fetch_has_its_time(collected: Collected) -> None:
    """It tells how old the news is."""
    observer, before = collected.observer(), time.time()
    observer(FAILED)
    last = collected.value("fetch.last_time", auth_jwks__result="failed")
    assert before <= last <= time.time()


def test_a_breaker_is_open_or_not(collected: Collected) -> None:
    """As this worker sees it."""
    observer = collected.observer()
    observer(BreakerChanged(SOURCE, "redis", "opened"))
    assert collected.value("store.breaker_open") == 1
    observer(BreakerChanged(SOURCE, "redis", "closed"))
    assert collected.value("store.breaker_open") == 0


def durations(collected: Collected, name: str) -> dict[frozenset[tuple[str, Any]], int]:
    """Return how often each kind of call was timed, in plausible seconds."""
    points = collected.points(name)
    assert collected.metrics[f"auth_jwks.{name}"].unit == "s"
    assert all(0 < point.sum < 60 for point in points.values())
    assert all(point.explicit_bounds[-1] == 10 for point in points.values())
    return {key: point.count for key, point in points.items()}


@pytest.mark.parametrize(
    ("operation", "name", "attributes"),
    [
        ("refresh", "refresh.duration", ()),
        ("fetch", "fetch.duration", ()),
        ("poll", "store.operation.duration", [("auth_jwks.operation", "poll")]),
    ],
)
def test_durations(operation: Operation, name: str, attributes: Any, collected: Collected) -> None:
    """Each operation is timed, and has a span, whose error is the class of what was raised."""
    observer = collected.observer()
    with observer.during(operation, SOURCE):
        pass
    assert collected.spans[f"jwks.{operation}"].status.status_code is StatusCode.UNSET
    with pytest.raises(OSError, match=r"^it failed$"), observer.during(operation, SOURCE):
        raise OSError("it failed")
    span = collected.spans[f"jwks.{operation}"]
    assert span.kind is SpanKind.INTERNAL
    assert dict(span.attributes or {}) == {"auth_jwks.source": SOURCE, "error.type": "OSError"}
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, None)
    assert span.events == (), "no message of the fault, and no place"
    assert durations(collected, name) == {
        frozenset(attributes): 1,
        frozenset({*attributes, ("error.type", "OSError")}): 1,
    }


def test_a_failed_fetch_is_told_by_its_kind(collected: Collected) -> None:
    """It is the same as in the event."""
    observer = collected.observer()
    with pytest.raises(FetchError), observer.during("fetch", SOURCE):
        raise FetchError("timeout", "a reason")
    assert dict(collected.spans["jwks.fetch"].attributes or {})["error.type"] == "timeout"


@pytest.mark.parametrize(
    ("event", "attribute", "value", "status"),
    [
        (NEW, "auth_jwks.origin", "provider", StatusCode.UNSET),
        (STORED, "auth_jwks.origin", "store", StatusCode.UNSET),
        (FAILED, "error.type", "timeout", StatusCode.ERROR),
    ],
)
def test_a_refresh_says_how_it_ended(
    event: Event, attribute: str, value: str, status: StatusCode, collected: Collected
) -> None:
    """Its span gets the origin of the keys, or why there are none, whoever's span is current."""
    observer, other = collected.observer(), Collected(SOURCE).observer()
    with observer.during("refresh", SOURCE), other.during("refresh", SOURCE):
        observer(event)
    span = collected.spans["jwks.refresh"]
    assert dict(span.attributes or {}) == {"auth_jwks.source": SOURCE, attribute: value}
    assert span.status.status_code is status


def test_spans_of_a_refresh_lie_below_it(collected: Collected) -> None:
    """The context is current within, so that the spans of others are below ours."""
    observer, tracer = collected.observer(), collected.tracer_provider.get_tracer("a client's")
    with observer.during("refresh", SOURCE):
        with observer.during("fetch", SOURCE), tracer.start_as_current_span("GET"):
            pass
        with observer.during("commit", SOURCE):
            pass
    assert trace.get_current_span() is trace.INVALID_SPAN
    parents = {span.name: span.parent and span.parent.span_id for span in collected.spans.values()}
    ids = {name: span.context.span_id for name, span in collected.spans.items() if span.context}
    assert parents == {
        "jwks.refresh": None,
        "jwks.fetch": ids["jwks.refresh"],
        "GET": ids["jwks.fetch"],
        "jwks.commit": ids["jwks.refresh"],
    }


def test_work_that_dies_with_its_loop(
    collected: Collected, caplog: pytest.LogCaptureFixture
) -> None:
    """Its context is gone, and with it what was current there. The span ends, quietly."""
    observer = collected.observer()

    def work() -> Generator[None]:
        with observer.during("refresh", SOURCE):
            yield

    running = work()
    copy_context().run(next, running)
    running.close()
    assert "jwks.refresh" in collected.spans
    assert "auth_jwks.refresh.duration" not in collected.metrics
    assert caplog.records == []


def test_observers_of_one_provider_share_its_counts(collected: Collected) -> None:
    """Each verifier may have one of its own, and some may share one."""
    observer = collected.observer()
    observer.counter(SOURCE)("ok")
    observer.counter(SOURCE)("ok")
    collected.observer().counter(SOURCE)("ok")
    assert collected.value("verifications", auth_jwks__result="ok") == 3


def test_no_count_of_any_thread_is_lost(collected: Collected) -> None:
    """Though no lock is taken."""
    observer = collected.observer()

    def counting(_number: int) -> None:
        count = observer.counter(SOURCE)
        for _ in range(20_000):
            count("seen")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(counting, range(8)))
    assert collected.value("verifications", auth_jwks__result="seen") == 160_000


def test_a_provider_that_nobody_holds_goes() -> None:
    """The observers of other providers hold it no longer than it lives."""
    other = Collected(SOURCE)
    other.observer().counter(SOURCE)("ok")
    gone = weakref.ref(other.meter_provider)
    del other
    gc.collect()
    assert gone() is None


def test_the_page_has_every_instrument(collected: Collected) -> None:
    """With its unit and its attributes."""
    observer = collected.observer()
    for event in (each for each, _, _ in COUNTED.values()):
        observer(event)
    observer(BreakerChanged(SOURCE, "redis", "opened"))
    results: tuple[VerificationResult, ...] = ("ok", Reason.EXPIRED)
    for result in results:
        observer.counter(SOURCE)(result)
    operations: tuple[Operation, ...] = ("refresh", "fetch", "poll")
    for operation in operations:
        with suppress(OSError), observer.during(operation, SOURCE):
            raise OSError
    listed = re.findall(
        r"^\| `(auth_jwks\.[\w.]+)` \| [\w ]+ \| `(.*?)` \| (.*)", PAGE, re.MULTILINE
    )
    assert {name: (unit, {*re.findall(r"\w+\.[\w.]+", them)}) for name, unit, them in listed} == {
        name: (metric.unit, {key for point in metric.data.data_points for key in point.attributes})
        for name, metric in collected.metrics.items()
    }


def test_without_an_sdk_nothing_happens() -> None:
    """The API package alone does nothing, and breaks nothing."""
    observer = OpenTelemetryObserver()
    count: Callable[[Any], None] = OpenTelemetryObserver().counter(SOURCE)
    count("ok")
    for event, _, _ in COUNTED.values():
        observer(event)
    with observer.during("refresh", SOURCE):
        assert not trace.get_current_span().is_recording()
    assert repr(observer) == "OpenTelemetryObserver()"


@pytest.mark.parametrize("name", ["tracer_provider", "meter_provider"])
def test_misuse(name: str) -> None:
    """What is no provider is refused by the parameter's name."""
    wrong: dict[str, Any] = {name: object()}
    with pytest.raises(TypeError, match=f"^{name}: expected a \\w+Provider, or None, got object$"):
        OpenTelemetryObserver(**wrong)


def test_without_the_api_the_import_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever lacks it is told what to install."""
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    monkeypatch.delitem(sys.modules, "auth_jwks.opentelemetry")
    with pytest.raises(ImportError, match=r"install auth-jwks\[opentelemetry\]$") as caught:
        import_module("auth_jwks.opentelemetry")
    assert caught.value.name == "opentelemetry"
