"""How a refresh ended. Pure."""

from typing import Literal

from auth_jwks._values import dataclass
from auth_jwks.events import RefreshFault

__all__ = ["Deferred", "Done", "Failed", "FailureKind", "Outcome"]

FailureKind = RefreshFault | Literal["elsewhere"]


@dataclass(frozen=True, slots=True)
class Done:
    """The purpose of the refresh is met."""


@dataclass(frozen=True, slots=True)
class Deferred:
    """Another worker is refreshing, or too many refreshes were made. Ask again later."""

    retry_after: float


@dataclass(frozen=True, slots=True)
class Failed:
    """The refresh failed; none is made for `retry_after` seconds. `here`: this worker tried.

    `kind` says how, for operators; what did not fail here failed "elsewhere".
    """

    reason: str
    retry_after: float
    mismatch: bool = False
    here: bool = False
    kind: FailureKind = "elsewhere"


Outcome = Done | Deferred | Failed
