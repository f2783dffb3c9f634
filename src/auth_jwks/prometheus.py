"""Metrics for Prometheus. docs/metrics.md has each one, and what to alert on.

They work for one process, and for several with `PROMETHEUS_MULTIPROC_DIR`: no label is ever
removed, and each gauge defines how the values of several processes are combined.
"""

import time
from collections.abc import Callable
from itertools import product
from typing import Literal, get_args
from weakref import WeakKeyDictionary

from auth_jwks.errors import Reason
from auth_jwks.events import (
    BreakerChanged,
    DocumentFault,
    DocumentRejected,
    Event,
    KeysRefreshed,
    LeaseChange,
    LeaseChanged,
    Operation,
    RefreshFailed,
    RefreshFault,
    StaleServed,
    StoreFailed,
    StoreFault,
    UnknownKey,
    VerificationResult,
)

try:
    from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
except ModuleNotFoundError as fault:
    text = "auth_jwks.prometheus needs prometheus_client: install auth-jwks[prometheus]"
    raise ImportError(text, name=fault.name) from fault

__all__ = ["PrometheusObserver"]

# Seconds. A call to a Redis nearby takes less than one of prometheus_client's smallest bucket.
STORE_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
STORE_OPERATIONS = ("poll", "commit", "fail")
RESULTS = (*get_args(get_args(VerificationResult)[0]), *Reason)
# What a scrape makes of the values of several processes.
_Several = Literal["livemax", "livemin", "livesum", "max"]


class PrometheusObserver:
    """Counts and times what verifiers do. Any number of observers may share a registry.

    Labels are the source, the operation, and the result or reason; nothing of a token.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        """Register the metrics, unless another observer already has.

        Raises `TypeError`, or `ValueError` if there are foreign metrics of these names.
        """
        self._metrics = _metrics_of(_checked(registry))

    def __repr__(self) -> str:
        return "PrometheusObserver()"

    def __call__(self, event: Event, /) -> None:
        """Record an event."""
        metrics, source = self._metrics, event.source
        match event:
            case KeysRefreshed():
                metrics.refreshed(event)
            case RefreshFailed():
                metrics.refreshes.labels(source, "provider", event.kind).inc()
                metrics.fetch_last.labels(source, "failed").set(time.time())
            case StaleServed():
                metrics.stale.labels(source).inc()
            case StoreFailed():
                metrics.store_operations.labels(source, event.operation, event.kind).inc()
            case DocumentRejected():
                metrics.rejected.labels(source, event.kind).inc()
            case UnknownKey():
                result = "searched" if event.asked else "not_searched"
                metrics.unknown_keys.labels(source, result).inc()
            case LeaseChanged():
                metrics.lease_changes.labels(source, event.change).inc()
            case BreakerChanged():
                metrics.breaker_open.labels(source).set(event.change == "opened")
            case _:  # a token that was refused is counted with the verifications
                pass

    def counter(self, source: str, /) -> Callable[[VerificationResult], None]:
        """Return a function that counts a verification of that source.

        This starts all counters of the source at 0: otherwise a rate would miss the first event.
        """
        self._metrics.begin(source)
        verifications = self._metrics.verifications
        add = {result: verifications.labels(source, result).inc for result in RESULTS}

        def count(result: VerificationResult) -> None:
            add[result]()

        return count

    def during(self, operation: Operation, source: str, /) -> "_Timed":
        """Return a context manager that measures time, and counts a store's operations."""
        return _Timed(self._metrics, operation, source)


class _Metrics:
    """The metrics of one registry. They are made apart from it, and then registered once."""

    def __init__(self) -> None:
        self.verifications = _counter("verifications", "Verified tokens, by result.", "result")
        self.refreshes = _counter(
            "refreshes", "Key sets adopted and refreshes failed.", "origin", "result"
        )
        self.stale = _counter("stale_verifications", "Tokens verified with stale keys.")
        self.unknown_keys = _counter("unknown_keys", "Tokens that no key fits.", "result")
        self.rejected = _counter(
            "documents_rejected", "Documents in the key store that can't be used.", "reason"
        )
        self.store_operations = _counter(
            "store_operations", "Calls of the key store, by result.", "operation", "result"
        )
        self.lease_changes = _counter(
            "lease_changes", "What became of the refresh lease in this worker.", "result"
        )
        self.refresh_duration = _histogram("refresh", "A refresh, with all its calls.")
        self.fetch_duration = _histogram("fetch", "One document of the provider's.")
        self.store_duration = Histogram(
            "auth_jwks_store_operation_duration_seconds", "One call of the key store.",
            ("source", "operation"), registry=None, buckets=STORE_BUCKETS,
        )  # fmt: skip
        self.fetch_last = _gauge(
            "fetch_last_timestamp_seconds", "When a fetch ended last.", "max", "result"
        )
        self.fetched = _gauge(
            "key_set_fetched_timestamp_seconds", "When the keys in use were fetched.", "livemin"
        )
        self.version = _gauge("key_set_version", "The oldest version in use.", "livemin")
        self.newest = _gauge("key_set_newest_version", "The newest version in use.", "livemax")
        self.stale_until = _gauge(
            "stale_until_timestamp_seconds", "When not even stale keys are used.", "livemin"
        )
        self.keys = _gauge("keys", "Usable keys.", "livemin")
        self.skipped = _gauge("keys_skipped", "Published keys that can't be used.", "livemax")
        self.breaker_open = _gauge(
            "store_breaker_open", "Workers that leave the key store alone.", "livesum"
        )

    def begin(self, source: str) -> None:
        """Let there be a counter of that source for all that may be counted."""
        self.stale.labels(source)
        self.refreshes.labels(source, "store", "ok")
        for result in ("ok", *get_args(RefreshFault)):
            self.refreshes.labels(source, "provider", result)
        for searched in ("searched", "not_searched"):
            self.unknown_keys.labels(source, searched)
        for kind in get_args(DocumentFault):
            self.rejected.labels(source, kind)
        for change in get_args(LeaseChange):
            self.lease_changes.labels(source, change)
        for operation, ended in product(STORE_OPERATIONS, ("ok", *get_args(StoreFault))):
            self.store_operations.labels(source, operation, ended)

    def refreshed(self, event: KeysRefreshed) -> None:
        """Record the keys that are in use now."""
        source, now = event.source, time.time()
        self.refreshes.labels(source, event.origin, "ok").inc()
        if event.origin == "provider":
            self.fetch_last.labels(source, "ok").set(now)
        self.fetched.labels(source).set(now - event.age)
        self.stale_until.labels(source).set(now + event.usable_for)
        self.keys.labels(source).set(event.keys)
        self.skipped.labels(source).set(len(event.skipped))
        if event.version:  # 0 while the store is down: then nobody else can be ahead
            self.version.labels(source).set(event.version)
            self.newest.labels(source).set(event.version)

    def ended(self, operation: Operation, source: str, seconds: float, *, well: bool) -> None:
        """Record how long something took. Of a failed call of a store, an event says why."""
        if operation == "refresh":
            self.refresh_duration.labels(source).observe(seconds)
        elif operation == "fetch":
            self.fetch_duration.labels(source).observe(seconds)
        else:
            self.store_duration.labels(source, operation).observe(seconds)
            if well:
                self.store_operations.labels(source, operation, "ok").inc()


class _Timed:
    """The context of one operation."""

    def __init__(self, metrics: _Metrics, operation: Operation, source: str) -> None:
        self._metrics = metrics
        self._what = operation, source
        self._began = 0.0

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(self, _kind: object, fault: BaseException | None, _at: object) -> None:
        if isinstance(fault, GeneratorExit):  # it died with its event loop, some time ago
            return
        seconds = time.perf_counter() - self._began
        self._metrics.ended(*self._what, seconds, well=fault is None)


_made: WeakKeyDictionary[CollectorRegistry, _Metrics] = WeakKeyDictionary()


def _metrics_of(registry: CollectorRegistry) -> _Metrics:
    """Return the metrics of that registry, the same for all threads that ask at once."""
    new = _Metrics()
    metrics = _made.setdefault(registry, new)  # one step, and no lock that a fork could copy
    if metrics is new:
        for metric in vars(metrics).values():
            registry.register(metric)
    return metrics


def _checked(registry: object) -> CollectorRegistry:
    if not isinstance(registry, CollectorRegistry):
        kind = type(registry).__name__
        raise TypeError(f"registry: expected a CollectorRegistry, got {kind}")
    return registry


def _counter(name: str, text: str, *labels: str) -> Counter:
    return Counter(f"auth_jwks_{name}_total", text, ("source", *labels), registry=None)


def _gauge(name: str, text: str, several: _Several, *labels: str) -> Gauge:
    names = ("source", *labels)
    return Gauge(f"auth_jwks_{name}", text, names, registry=None, multiprocess_mode=several)


def _histogram(name: str, text: str) -> Histogram:
    return Histogram(f"auth_jwks_{name}_duration_seconds", text, ("source",), registry=None)
