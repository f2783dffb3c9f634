"""The observers that export metrics are what `JWKS` takes; only the type checkers read this."""

# pyright: strict

from typing import assert_type

from auth_jwks import JWKS
from auth_jwks.events import CountingObserver, TimingObserver
from auth_jwks.opentelemetry import OpenTelemetryObserver
from auth_jwks.prometheus import PrometheusObserver
from auth_jwks.sync import SyncJWKS

counting: tuple[CountingObserver, ...] = (PrometheusObserver(), OpenTelemetryObserver())
timing: tuple[TimingObserver, ...] = (PrometheusObserver(), OpenTelemetryObserver())

jwks = JWKS(issuer="https://a.example", aud="api", observer=PrometheusObserver())
threads = SyncJWKS(issuer="https://a.example", aud="api", observer=counting)
assert_type(jwks, JWKS)
