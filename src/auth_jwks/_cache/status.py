"""`Status`: the state of a verifier, for operators."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from auth_jwks._cache.attempts import Attempts
from auth_jwks._cache.current import CurrentKeys
from auth_jwks._provider.key_source import KeySource

__all__ = ["Status", "status_of"]


@dataclass(frozen=True, slots=True)
class Status:
    """The state of a verifier's keys. Spans are in seconds, None where there are no keys.

    `source` is the URL, the path of a `jwks_file`, or "jwks". `expires_in` is the time until the
    keys are stale, `usable_for` until not even stale keys are used; infinite for given `jwks`.
    `version` is the store's, 0 before the first. `failure` says how the last refresh failed, None
    if it did not. `retry_after` is the time until the next attempt may be made. `verifications`
    counts the results: "ok", "seen" (before), and why tokens were refused, by `Reason`.
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
    verifications: Mapping[str, int] = field(default_factory=dict, hash=False)


def status_of(
    source: KeySource,
    current: CurrentKeys,
    attempts: Attempts,
    now: float,
    *,
    refreshing: bool,
    version: int,
) -> Status:
    """Return what there is to tell of a source, its keys and the attempts to refresh them."""
    life, has_keys = current.life, current.document is not None
    return Status(
        source=source.name,
        issuer=current.issuer or next(iter(source.issuer.names), None),
        kids=tuple(dict.fromkeys(key.kid for key in current.key_set.keys)),
        skipped=current.key_set.skipped,
        fresh=now < life.expires,
        age=now - life.fetched if has_keys else None,
        expires_in=life.expires - now if has_keys else None,
        usable_for=life.dies - now if has_keys else None,
        refreshing=refreshing,
        retry_after=max(0.0, attempts.not_before - now),
        failure=None if attempts.failure is None else attempts.failure.reason,
        version=version,
    )
