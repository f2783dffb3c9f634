"""The playground's identity provider: it serves on a port of its own, and breaks on demand."""

from collections.abc import Callable
from typing import Any, Literal

from auth_jwks.testing import FakeIssuer
from examples.demo import ForwardClock

__all__ = ["AUDIENCE", "Fault", "Provider"]

AUDIENCE = "playground-api"

Fault = Literal["none", "503", "hang", "junk", "impostor"]


def hang(issuer: FakeIssuer) -> None:
    """Hold requests, and never answer them: what is let go is dropped."""
    issuer.hang()
    issuer.refuse()


FAULTS: dict[Fault, Callable[[FakeIssuer], None]] = {
    "none": lambda _: None,
    "503": FakeIssuer.outage,
    "hang": hang,
    "junk": lambda issuer: issuer.junk(b"<h1>It works!</h1>"),
    "impostor": lambda issuer: issuer.announce(issuer="https://impostor.example"),
}


class Provider:
    """Signs tokens, and publishes the keys for them in the way that `suffer` chose last.

    What is broken are the documents that verifiers fetch; signing in goes on.
    """

    def __init__(self, issuer: FakeIssuer, clock: ForwardClock) -> None:
        self.issuer = issuer
        self._clock = clock
        self._fault: Fault = "none"

    def sign_in(self, user: str, scope: str, lifetime: int) -> str:
        """Return the token that a login brings; it ends in `lifetime` seconds, or ended before."""
        ends = int(self._clock.time()) + lifetime
        return self.issuer.sign(sub=user, aud=AUDIENCE, scope=scope, exp=ends)

    def suffer(self, fault: Fault) -> None:
        """Break in this way, and no other any more; requests that are held are dropped."""
        self.issuer.recover()
        self.issuer.release()
        self.issuer.announce(issuer=self.issuer.issuer)
        FAULTS[fault](self.issuer)
        self._fault = fault

    def view(self) -> dict[str, Any]:
        """Return what the page shows, requests as the provider itself counted them."""
        issuer = self.issuer
        return {
            "issuer": issuer.issuer,
            "fault": self._fault,
            "kids": [key.kid for key in issuer.keys],
            "signing": issuer.signing_key.kid,
            "discovery": issuer.discovery_requests,
            "keys": issuer.jwks_requests,
            "not_modified": issuer.not_modified,
            "last": [(each.path, each.status) for each in issuer.requests[:-7:-1]],
        }
