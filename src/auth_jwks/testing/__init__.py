"""A provider and a clock for tests: real HTTP on loopback, or no socket at all."""

from auth_jwks.testing._traffic import Request
from auth_jwks.testing.clock import FakeClock
from auth_jwks.testing.issuer import FakeIssuer
from auth_jwks.testing.keys import SigningKey

__all__ = ["FakeClock", "FakeIssuer", "Request", "SigningKey"]
