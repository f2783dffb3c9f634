"""`Status`: the state of a verifier, for operators."""

from collections.abc import Mapping
from dataclasses import asdict, field
from math import inf
from typing import TYPE_CHECKING, Any

from auth_jwks._cache.attempts import Attempts
from auth_jwks._cache.current import CurrentKeys
from auth_jwks._cache.outcome import FailureKind
from auth_jwks._clock import Clock
from auth_jwks._provider.key_source import KeySource
from auth_jwks._values import dataclass

if TYPE_CHECKING:
    from dataclasses import dataclass

__all__ = ["Status", "StoreStatus", "status_of"]


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """The state of a key store, as this verifier last saw it.

    `name` has no credentials. `breaker_open`: calls fail at once for a while. `fault` is the last
    one, `fault_age` says how many seconds ago it was; both are None if there was none.
    `lease_held`: this verifier fetches for the fleet at this moment.
    """

    name: str
    breaker_open: bool
    fault: str | None
    fault_age: float | None
    lease_held: bool


@dataclass(frozen=True, slots=True)
class Status:
    """The state of a verifier's keys. Spans are in seconds, None where there are no keys.

    `source` is the URL, the path of a `jwks_file`, or "jwks". `expires_in` is the time until the
    keys are stale, `usable_for` until they are too old even as stale keys; both are infinite for
    given `jwks`. `version` is the store's, 0 before the first. `failure` says why the last refresh
    failed, None if it did not. `retry_after` is the time until the next attempt may be made.

    `ready`: a token could be verified now, with the keys in memory. `failure_kind` is stable and
    can be the label of a metric: that of `RefreshFailed`, or "elsewhere" if this worker made no
    attempt. `failure_age` says how many seconds ago that was. `verifications` counts the results:
    "ok", "seen" (verified before), and rejections by `Reason`.
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
    ready: bool
    failure_kind: FailureKind | None
    failure_age: float | None
    store: StoreStatus
    verifications: Mapping[str, int] = field(default_factory=dict, hash=False)

    def as_dict(self) -> dict[str, Any]:
        """Return the same for `json.dumps`; infinite values are None."""
        return {name: None if value == inf else value for name, value in asdict(self).items()}


def status_of(
    source: KeySource,
    current: CurrentKeys,
    attempts: Attempts,
    clock: Clock,
    *,
    refreshing: bool,
    version: int,
    store: StoreStatus,
) -> Status:
    """Return the status of a source, its keys and the attempts to refresh them."""
    now, has_keys, failure = clock.monotonic(), current.document is not None, attempts.failure
    life = current.aged(now, clock.time()).life
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
        failure=None if failure is None else failure.reason,
        version=version,
        ready=has_keys and now < (life.expires if attempts.mismatch else life.dies),
        failure_kind=None if failure is None else failure.kind,
        failure_age=None if failure is None else now - attempts.failed_at,
        store=store,
    )
