"""`Status`: the state of a verifier, for operators."""

from dataclasses import dataclass

__all__ = ["Status"]


@dataclass(frozen=True, slots=True)
class Status:
    """The state of a verifier's keys. Spans are in seconds, None where there are no keys.

    `expires_in` is the time until the keys are stale, `usable_for` until not even stale keys are
    used. `version` is the store's, 0 before the first. `failure` says how the last refresh
    failed, None if it did not. `retry_after` is the time until the next attempt may be made.
    """

    source: str
    issuer: str | None
    kids: tuple[str | None, ...]
    skipped: tuple[str, ...]
    fresh: bool
    age: float | None
    expires_in: float | None
    usable_for: float | None
    refreshing: bool
    retry_after: float
    failure: str | None
    version: int
