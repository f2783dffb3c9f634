"""Metrics and spans for OpenTelemetry. Without an SDK they cost little and have no effect.

docs/metrics.md has each one. Spans are INTERNAL: what an instrumentation of httpx or of Redis adds
comes below them, as CLIENT.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, get_args
from weakref import WeakKeyDictionary

from auth_jwks._provider.client import FetchError
from auth_jwks._version import __version__
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
    UnknownKey,
    VerificationResult,
)

try:
    from opentelemetry import context, metrics, trace
    from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider, Observation
    from opentelemetry.trace import Status, StatusCode, TracerProvider
except ModuleNotFoundError as fault:
    text = "auth_jwks.opentelemetry needs opentelemetry-api: install auth-jwks[opentelemetry]"
    raise ImportError(text, name=fault.name) from fault

__all__ = ["OpenTelemetryObserver"]

NAME = "auth_jwks"
SOURCE, ORIGIN, OPERATION = "auth_jwks.source", "auth_jwks.origin", "auth_jwks.operation"
RESULT, ERROR = "auth_jwks.result", "error.type"
# Seconds, of a duration; the SDK's own are for milliseconds. A store nearby needs the first ones.
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
GAUGES = {
    "fetch.last_time": ("s", "When a fetch ended last."),
    "key_set.fetched_time": ("s", "When the keys in use were fetched."),
    "key_set.stale_until_time": ("s", "When not even stale keys are used."),
    "key_set.version": ("1", "The version in use."),
    "key_set.keys": ("{key}", "Usable keys."),
    "key_set.skipped": ("{key}", "Published keys that can't be used."),
    "store.breaker_open": ("1", "1 while this worker leaves the key store alone."),
}
RESULTS = (*get_args(get_args(VerificationResult)[0]), *Reason)


class OpenTelemetryObserver:
    """Counts, times and traces what verifiers do. There may be any number of observers.

    Attributes are the source, the operation, and the result or reason; nothing of a token.
    """

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
    ) -> None:
        """Use these providers, or the global ones, which may also be set later.

        Raises `TypeError`.
        """
        _check("tracer_provider", tracer_provider, TracerProvider)
        _check("meter_provider", meter_provider, MeterProvider)
        meter = metrics.get_meter(NAME, __version__, meter_provider)
        self._tracer = trace.get_tracer(NAME, __version__, tracer_provider)
        self._instruments = _Instruments(meter)
        self._numbers = _numbers_of(meter_provider, meter)
        self._refresh = context.create_key("auth_jwks.refresh")

    def __repr__(self) -> str:
        return "OpenTelemetryObserver()"

    def __call__(self, event: Event, /) -> None:
        """Record an event, and how the refresh ended in whose span this is."""
        add, named = self._instruments, {SOURCE: event.source}
        match event:
            case KeysRefreshed():
                add.refreshes.add(1, {**named, ORIGIN: event.origin})
                self._numbers.refreshed(event)
                self._tell_refresh(ORIGIN, event.origin)
            case RefreshFailed():
                add.refreshes.add(1, {**named, ORIGIN: "provider", ERROR: event.kind})
                self._numbers.put("fetch.last_time", time.time(), {**named, RESULT: "failed"})
                self._tell_refresh(ERROR, event.kind)
            case StaleServed():
                add.stale.add(1, named)
            case StoreFailed():
                add.store_failures.add(1, {**named, OPERATION: event.operation, ERROR: event.kind})
            case DocumentRejected():
                add.rejected.add(1, {**named, ERROR: event.kind})
            case UnknownKey():
                add.unknown_keys.add(
                    1, {**named, RESULT: "searched" if event.asked else "not_searched"}
                )
            case LeaseChanged():
                add.lease_changes.add(1, {**named, RESULT: event.change})
            case BreakerChanged():
                self._numbers.put("store.breaker_open", int(event.change == "opened"), named)
            case _:  # a token that was refused is counted with the verifications
                pass

    def counter(self, source: str, /) -> Callable[[VerificationResult], None]:
        """Return a function that counts a verification of that source."""
        counts = self._numbers.verifications(source)

        def count(result: VerificationResult) -> None:
            # CPython switches to no other thread within this line.
            counts[result] += 1

        return count

    def during(self, operation: Operation, source: str, /) -> "_Work":
        """Return a context manager that makes a span current, and measures time."""
        return _Work(self, operation, source)

    def begun(self, work: "_Work") -> tuple[trace.Span, Any]:
        """Begin the span of some work and make it current; return it, and how to end that."""
        span = self._tracer.start_span(f"jwks.{work.operation}", attributes={SOURCE: work.source})
        current = trace.set_span_in_context(span)
        if work.operation == "refresh":
            current = context.set_value(self._refresh, work, current)
        return span, context.attach(current)

    def took(self, work: "_Work", seconds: float) -> None:
        """Record how long some work took."""
        error = {} if work.error is None else {ERROR: work.error}
        self._instruments.took(work.operation, seconds, {SOURCE: work.source, **error})

    def _tell_refresh(self, attribute: str, value: str) -> None:
        refresh = context.get_value(self._refresh)
        if isinstance(refresh, _Work):
            refresh.tell(attribute, value)


class _Work:
    """The context of one operation, with its span."""

    def __init__(self, observer: OpenTelemetryObserver, operation: Operation, source: str) -> None:
        self.operation: Operation = operation
        self.source = source
        self.error: str | None = None
        self._observer = observer
        self._began = 0.0

    def __enter__(self) -> None:
        self._span, self._token = self._observer.begun(self)
        self._began = time.perf_counter()

    def __exit__(self, _kind: object, fault: BaseException | None, _at: object) -> None:
        seconds = time.perf_counter() - self._began
        if isinstance(fault, GeneratorExit):  # it died with its event loop, and so did its context
            self._span.end()
            return
        context.detach(self._token)
        if fault is not None:
            self.tell(ERROR, fault.kind if isinstance(fault, FetchError) else type(fault).__name__)
        self._span.end()
        self._observer.took(self, seconds)

    def tell(self, attribute: str, value: str) -> None:
        """Set an attribute of the span."""
        self._span.set_attribute(attribute, value)
        if attribute == ERROR:
            self.error = value
            self._span.set_status(Status(StatusCode.ERROR))


class _Instruments:
    """The instruments of one meter that record what happens when it does."""

    def __init__(self, meter: Meter) -> None:
        def counter(name: str, unit: str, text: str) -> metrics.Counter:
            return meter.create_counter(f"{NAME}.{name}", unit, text)

        def duration(name: str, text: str) -> metrics.Histogram:
            return meter.create_histogram(
                f"{NAME}.{name}.duration", "s", text, explicit_bucket_boundaries_advisory=BUCKETS
            )

        self.refreshes = counter("refreshes", "{refresh}", "Key sets adopted and refreshes failed.")
        self.stale = counter(
            "stale_verifications", "{verification}", "Tokens verified with stale keys."
        )
        self.unknown_keys = counter("unknown_keys", "{token}", "Tokens that no key fits.")
        self.rejected = counter(
            "documents_rejected", "{document}", "Documents in the key store that can't be used."
        )
        self.store_failures = counter("store.failures", "{call}", "Failed calls of the key store.")
        self.lease_changes = counter(
            "lease_changes", "{change}", "What became of the refresh lease in this worker."
        )
        self.refresh = duration("refresh", "A refresh, with all its calls.")
        self.fetch = duration("fetch", "One document of the provider's.")
        self.store = duration("store.operation", "One call of the key store.")

    def took(self, operation: Operation, seconds: float, attributes: dict[str, str]) -> None:
        """Record how long something took."""
        if operation == "refresh":
            self.refresh.record(seconds, attributes)
        elif operation == "fetch":
            self.fetch.record(seconds, attributes)
        else:
            self.store.record(seconds, {**attributes, OPERATION: operation})


class _Numbers:
    """What the observers of one provider share: plain numbers, read when they are wanted.

    They hold no verifier, and outlive those that were closed.
    """

    def __init__(self) -> None:
        self._verifications: dict[str, dict[str, int]] = {}
        self._gauges: dict[str, dict[tuple[tuple[str, str], ...], float]] = {
            name: {} for name in GAUGES
        }

    def verifications(self, source: str) -> dict[str, int]:
        """Return the counts of one source, the same for all its verifiers."""
        return self._verifications.setdefault(source, dict.fromkeys(RESULTS, 0))

    def put(self, gauge: str, value: float, attributes: dict[str, str]) -> None:
        """Let a gauge have that value from now on."""
        self._gauges[gauge][tuple(attributes.items())] = value

    def refreshed(self, event: KeysRefreshed) -> None:
        """Put down the keys that are in use now."""
        named, now = {SOURCE: event.source}, time.time()
        if event.origin == "provider":
            self.put("fetch.last_time", now, {**named, RESULT: "ok"})
        self.put("key_set.fetched_time", now - event.age, named)
        self.put("key_set.stale_until_time", now + event.usable_for, named)
        self.put("key_set.keys", event.keys, named)
        self.put("key_set.skipped", len(event.skipped), named)
        if event.version:  # 0 while the store is down: then nobody else can be ahead
            self.put("key_set.version", event.version, named)

    def read_by(self, meter: Meter) -> None:
        """Let a meter read them."""
        meter.create_observable_counter(
            f"{NAME}.verifications", [self._counted], "{verification}", "Verified tokens."
        )
        for name, (unit, text) in GAUGES.items():
            callback = partial(self._measured, name)
            meter.create_observable_gauge(f"{NAME}.{name}", [callback], unit, text)

    def _counted(self, _options: CallbackOptions) -> Iterator[Observation]:
        for source, counts in list(self._verifications.items()):
            for result, number in counts.items():
                if number:
                    yield Observation(number, {SOURCE: source, **_ended(result)})

    def _measured(self, gauge: str, _options: CallbackOptions) -> Iterator[Observation]:
        for attributes, value in list(self._gauges[gauge].items()):
            yield Observation(value, dict(attributes))


class _Global:
    """Stands for the global provider, also while that is not set."""


_GLOBAL = _Global()
_made: WeakKeyDictionary[object, _Numbers] = WeakKeyDictionary()


def _numbers_of(provider: MeterProvider | None, meter: Meter) -> _Numbers:
    """Return the numbers that a provider's meter reads; an SDK asks one callback of a name only."""
    is_global = provider is None or provider is metrics.get_meter_provider()
    new = _Numbers()
    numbers = _made.setdefault(_GLOBAL if is_global else provider, new)
    if numbers is new:
        numbers.read_by(meter)
    return numbers


def _ended(result: str) -> dict[str, str]:
    """Return the attributes of a result: a refusal is an error, by its reason."""
    if isinstance(result, Reason):
        return {RESULT: "refused", ERROR: result.value}
    return {RESULT: result}


def _check(name: str, value: object, kind: type) -> None:
    if value is not None and not isinstance(value, kind):
        found = type(value).__name__
        raise TypeError(f"{name}: expected a {kind.__name__}, or None, got {found}")
