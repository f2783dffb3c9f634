"""How a refresh ended. Pure."""

from typing import Literal, NamedTuple

from auth_jwks.events import RefreshFault

__all__ = ["Deferred", "Done", "Failed", "FailureKind", "Outcome"]

FailureKind = RefreshFault | Literal["elsewhere"]


class Done:
    """The purpose of the refresh is met."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Done)

    def __hash__(self) -> int:
        return hash(Done)


class Deferred(NamedTuple):
    """Another worker is refreshing, or too many refreshes were made. Ask again later."""

    retry_after: float


class Failed(NamedTuple):
    """The refresh failed; none is made for `retry_after` seconds. `here`: this worker tried.

    `kind` says how, for operators; what did not fail here failed "elsewhere".
    """

    reason: str
    retry_after: float
    mismatch: bool = False
    here: bool = False
    kind: FailureKind = "elsewhere"


Outcome = Done | Deferred | Failed
