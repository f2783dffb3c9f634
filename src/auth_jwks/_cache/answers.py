"""What a store's answer without keys or a lease means for a refresh. Pure."""

from typing import assert_never

from auth_jwks._cache.freshness import GRACE
from auth_jwks._cache.outcome import Deferred, Done, Failed, Outcome
from auth_jwks.stores.base import MAX_COOLDOWN, Busy, Cooling, Unchanged

__all__ = ["outcome_of"]


def outcome_of(answer: Unchanged | Busy | Cooling, *, looking: bool) -> Outcome:
    """Return how a refresh ends with that answer; `looking` if it asked for no lease."""
    match answer:
        case Unchanged() if looking:
            return Done()
        case Unchanged():
            return Failed("the key store returned neither keys nor a lease", GRACE)
        case Cooling(reason="mismatch"):
            reason = "issuer: another worker found a different one in the discovery document"
            return Failed(reason, _clamped(answer.retry_after))
        case Cooling(reason="failed"):
            return Failed("the last refresh failed", _clamped(answer.retry_after))
        case Busy() | Cooling():
            return Deferred(_clamped(answer.retry_after))
        case _:
            assert_never(answer)


def _clamped(seconds: float) -> float:
    """Return a store's number, but no less than `GRACE`, as for NaN, and no more than a minute."""
    return min(MAX_COOLDOWN, max(GRACE, seconds))
