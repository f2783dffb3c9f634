"""An OpenTelemetry SDK in memory."""

from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from auth_jwks._version import __version__
from auth_jwks.opentelemetry import OpenTelemetryObserver

__all__ = ["Collected"]


class Collected:
    """An SDK of the test's own: its providers, and what arrived there."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._reader, self._exporter = InMemoryMetricReader(), InMemorySpanExporter()
        self.meter_provider = MeterProvider([self._reader], shutdown_on_exit=False)
        self.tracer_provider = TracerProvider(shutdown_on_exit=False)
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    def observer(self) -> OpenTelemetryObserver:
        """Return an observer that reports here."""
        return OpenTelemetryObserver(
            tracer_provider=self.tracer_provider, meter_provider=self.meter_provider
        )

    @property
    def metrics(self) -> dict[str, Any]:
        """The metrics by name; each is there once."""
        data = self._reader.get_metrics_data()
        scopes = [it for each in data.resource_metrics for it in each.scope_metrics] if data else []
        assert [(it.scope.name, it.scope.version) for it in scopes] in (
            [], [("auth_jwks", __version__)],
        )  # fmt: skip
        found = [metric for scope in scopes for metric in scope.metrics]
        named = {metric.name: metric for metric in found}
        assert len(found) == len(named)
        return named

    def points(self, name: str) -> dict[frozenset[tuple[str, Any]], Any]:
        """Return the points of a metric by their attributes but for the source."""
        points = self.metrics[f"auth_jwks.{name}"].data.data_points
        return {
            frozenset(point.attributes.items() ^ {("auth_jwks.source", self._source)}): point
            for point in points
        }

    def value(self, name: str, **attributes: str) -> Any:
        """Return the value of one point."""
        wanted = frozenset((key.replace("__", "."), it) for key, it in attributes.items())
        return self.points(name)[wanted].value

    @property
    def spans(self) -> dict[str, ReadableSpan]:
        """The spans that have ended, by name."""
        return {span.name: span for span in self._exporter.get_finished_spans()}
