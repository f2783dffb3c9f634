"""Verifies tokens with each kind of observer in turn; prints the seconds per token.

Reads from where and what on standard input. The environment chooses prometheus_client's mode.
"""

import asyncio
import json
import logging
import platform
import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import REGISTRY

from auth_jwks import JWKS
from auth_jwks.opentelemetry import OpenTelemetryObserver
from auth_jwks.prometheus import PrometheusObserver

AGAIN = 8  # how often each token comes again

Took = dict[str, dict[str, list[float]]]


async def measured(jwks: JWKS, tokens: list[str]) -> float:
    """Return the seconds per token. Each call has a string of its own, as each request does."""
    copies = ["".join((token[:1], token[1:])) for token in tokens]
    began = time.perf_counter()
    for token in copies:
        await jwks.verify_token(token)
    return (time.perf_counter() - began) / len(copies)


async def one_round(
    url: str, issuer: str, tokens: list[str], observers: Mapping[str, Any], took: Took
) -> None:
    """Let each observer's verifier see all tokens first, and then again, in turns."""
    verifiers = {
        name: JWKS(url, issuer=issuer, observer=observer) for name, observer in observers.items()
    }
    for jwks in verifiers.values():
        await jwks.refresh()
    for name, jwks in verifiers.items():
        took["seen first"][name].append(await measured(jwks, tokens))
    for jwks in verifiers.values():
        await measured(jwks, tokens)  # packs the claims for the next ones
    for _ in range(AGAIN):
        for name, jwks in verifiers.items():
            took["seen before"][name].append(await measured(jwks, tokens))
    for jwks in verifiers.values():
        await jwks.close()


def counted(url: str, reader: InMemoryMetricReader) -> float:
    """Return how many verifications both libraries know of."""
    found: float = sum(
        REGISTRY.get_sample_value("auth_jwks_verifications_total", {"source": url, "result": each})
        or 0
        for each in ("ok", "seen")
    )
    data = reader.get_metrics_data()
    metrics: list[Any] = [
        metric
        for each in (data.resource_metrics if data else ())
        for scope in each.scope_metrics
        for metric in scope.metrics
        if metric.name == "auth_jwks.verifications"
    ]
    found += sum(point.value for metric in metrics for point in metric.data.data_points)
    return found


async def main(url: str, issuer: str, tokens: list[str], rounds: int) -> dict[str, Any]:
    """Return the seconds per token of each round, by kind and observer."""
    reader = InMemoryMetricReader()
    prometheus = PrometheusObserver()
    otel = OpenTelemetryObserver(meter_provider=MeterProvider([reader]))
    observers: dict[str, Any] = {
        "no observer": None, "Prometheus": prometheus, "OpenTelemetry": otel,
        "both": (prometheus, otel),
    }  # fmt: skip
    took: Took = defaultdict(lambda: defaultdict(list))
    for turn in range(rounds + 1):
        names = list(observers)[turn % 4 :] + list(observers)[: turn % 4]
        in_turn = {name: observers[name] for name in names}
        if turn == 0:  # the first warms up
            await one_round(url, issuer, tokens, in_turn, defaultdict(lambda: defaultdict(list)))
        else:
            await one_round(url, issuer, tokens, in_turn, took)
    expected = (rounds + 1) * len(tokens) * (AGAIN + 2) * 4
    return {
        "took": {
            kind: {name: times[name] for name in observers} for kind, times in took.items()
        },
        "lost": expected - counted(url, reader), "python": platform.python_version(),
    }  # fmt: skip


if __name__ == "__main__":
    logging.disable(logging.ERROR)
    sys.stdout.write(json.dumps(asyncio.run(main(**json.load(sys.stdin)))))
