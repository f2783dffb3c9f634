"""The playground's identity provider: it has a port of its own, and fails on demand."""

from collections.abc import Callable
from typing import Any, Literal

from auth_jwks.testing import FakeIssuer
from examples.demo import ForwardClock

__all__ = ["AUDIENCE", "Fault", "Provider"]

AUDIENCE = "playground-api"

Fault = Literal["none", "503", "hang", "junk", "impostor"]


def hang(issuer: FakeIssuer) -> None:
    """Hold requests and never answer them: on release they are dropped."""
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
    """Signs tokens, and publishes their keys with the fault that `suffer` chose last.

    Faults affect only the documents that verifiers fetch. Signing in still works.
    """

    def __init__(self, issuer: FakeIssuer, clock: ForwardClock) -> None:
        self.issuer = issuer
        self._clock = clock
        self._fault: Fault = "none"

    def sign_in(self, user: str, scope: str, lifetime: int) -> str:
        """Return the token of a login. It expires in `lifetime` seconds, which may be negative."""
        ends = int(self._clock.time()) + lifetime
        return self.issuer.sign(sub=user, aud=AUDIENCE, scope=scope, exp=ends)

    def suffer(self, fault: Fault) -> None:
        """Apply this fault and end any other; held requests are dropped."""
        self.issuer.recover()
        self.issuer.release()
        self.issuer.announce(issuer=self.issuer.issuer)
        FAULTS[fault](self.issuer)
        self._fault = fault

    def start_over(self) -> None:
        """End any fault, publish one new key, and count requests from zero."""
        self.suffer("none")
        self.issuer.rotate(keep=False)
        self.issuer.reset()

    def view(self) -> dict[str, Any]:
        """Return the state that the page shows; the provider itself counts the requests."""
        issuer = self.issuer
        return {
            "issuer": issuer.issuer,
            "fault": self._fault,
            "kids": [key.kid for key in issuer.keys],
            "signing": issuer.signing_key.kid,
            "discovery": issuer.discovery_requests,
            "keys": issuer.jwks_requests,
            "not_modified": issuer.not_modified,
            "last": [(each.path, each.status) for each in issuer.requests[:-5:-1]],
        }
