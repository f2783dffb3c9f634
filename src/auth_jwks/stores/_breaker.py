"""A circuit breaker for a broken store, as pure functions of its state."""

from collections.abc import Callable
from math import inf
from typing import Literal, NamedTuple

__all__ = ["Breaker", "CallFailedError", "Kind"]

Kind = Literal["slow", "denied", "unwritable", "broken"]

FAULTS_TO_OPEN = 3
FIRST_REST = 2.0
MAX_REST = 30.0


class CallFailedError(Exception):
    """A call failed. The breaker reacts to `kind`; `reason` is safe to log."""

    def __init__(self, reason: str, kind: Kind) -> None:
        super().__init__(reason)
        self.reason = reason
        self.kind = kind


class Breaker(NamedTuple):
    """Closed, or open until a probe. Two timeouts or three errors in a row open it.

    After the first timeout the store is `doubted`: one call at a time goes out until one decides.
    So a cold worker gets its second attempt, and a frozen server blocks hardly any other call.
    """

    doubted: bool = False
    faults: int = 0
    rests: int = 0
    until: float = -inf
    probing: bool = False

    @property
    def is_open(self) -> bool:
        """Whether calls fail at once, but for a probe after each rest."""
        return self.rests > 0

    def admits(self, now: float) -> bool:
        """Whether a call may go out. A half-open breaker admits one at a time."""
        return not self._is_half_open() or (now >= self.until and not self.probing)

    def left(self, now: float) -> float:
        """Return the seconds until a probe may go out."""
        return max(0.0, self.until - now)

    def during_call(self) -> "Breaker":
        """Return the state while a call is out."""
        return self._replace(probing=True) if self._is_half_open() else self

    def after_answer(self) -> "Breaker":
        """Return the state after an answer."""
        return CLOSED

    def after_cancellation(self) -> "Breaker":
        """Return the state after a call that its caller cancelled, which proves nothing."""
        return self._replace(probing=False)

    def after_fault(
        self, now: float, uniform: Callable[[float, float], float], *, slow: bool
    ) -> "Breaker":
        """Return the state after a fault. `slow` means a timeout."""
        if not self._is_half_open() and (slow or self.faults + 1 < FAULTS_TO_OPEN):
            return self._replace(doubted=slow, faults=self.faults + 1)
        rest = min(MAX_REST, FIRST_REST * 2.0 ** min(self.rests, 10))
        return self._resting(now + uniform(0.0, rest))

    def after_denial(self, now: float) -> "Breaker":
        """Return the state after a refusal that only an operator can change."""
        return self._resting(now + 2 * MAX_REST)

    def _is_half_open(self) -> bool:
        return self.doubted or self.rests > 0

    def _resting(self, until: float) -> "Breaker":
        return self._replace(faults=0, rests=self.rests + 1, until=until, probing=False)


CLOSED = Breaker()
