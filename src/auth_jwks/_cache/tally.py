"""`Tally`: counts the verifications of one verifier, and reports its rejections.

A stranger can cause any number of rejections. So the log has at most one WARNING a minute for all
of them together, written by the first rejection after that minute: there is no timer.
"""

import logging
from collections.abc import Iterable, Mapping
from math import inf

import jwt

from auth_jwks._cache.announce import fields
from auth_jwks._cache.observers import Observers
from auth_jwks._clock import Clock
from auth_jwks.errors import Reason, reason_of
from auth_jwks.events import TokenRefused

__all__ = ["Tally"]

SUMMARY_INTERVAL = 60.0  # seconds between two lines about refusals

# The service's own faults. They have lines of their own, at the refresh that failed.
OWN_FAULTS = frozenset((Reason.UNAVAILABLE, Reason.MISMATCH))
# The beginnings of messages that only repeat the reason in front of them.
LABELS = {
    Reason.ALGORITHM: "alg: ",
    Reason.AUDIENCE: "aud: ",
    Reason.ISSUER: "iss: ",
    Reason.SCOPE: "scope: ",
    Reason.TYPE: "typ: ",
}

NOTES = "__notes__"

logger = logging.getLogger("auth_jwks")


class Tally:
    """The results of all verifications: `ok`, `seen` (verified before), or a rejection's reason.

    It is called in several threads and takes no lock. If two rejections happen at the same moment,
    one line too many may be logged.
    """

    def __init__(self, observers: Observers, source: str, clock: Clock) -> None:
        self.ok = self.seen = 0
        self.count = observers.count if observers.is_counting else None
        self.observers = observers
        self.source = source
        self.clock = clock
        # Every reason has its place from the start, so that no thread sees a dict grow.
        self._refused = dict.fromkeys(Reason, 0)
        self._told = dict(self._refused)
        self._details = dict.fromkeys(Reason, "")
        self._told_at = -inf

    @classmethod
    def beside(cls, others: Iterable["Tally"], source: str) -> "Tally":
        """Return a tally for tokens that are rejected before any of the others sees them.

        It reports to the observers of all of them, once to each, and has the clock of the first.
        """
        all_of_them = list(others)
        watching = [each for one in all_of_them for each in one.observers.each]
        once = tuple({id(each): each for each in watching}.values())
        clock = all_of_them[0].clock
        return cls(Observers(once, source, clock), source, clock)

    def __repr__(self) -> str:
        return f"Tally({self.source!r}, {self.counts()})"

    def counts(self) -> Mapping[str, int]:
        """Return how many verifications had which result. Without the reasons of none."""
        refused = {reason.value: count for reason, count in self._refused.items() if count}
        return {"ok": self.ok, "seen": self.seen} | refused

    def refused(self, error: jwt.InvalidTokenError) -> None:
        """Count a rejected token, and report it."""
        reason = reason_of(error)
        self._refused[reason] += 1
        if self.count is not None:
            self.count(reason)
        detail = self._details[reason] = _detail(error) if hasattr(error, NOTES) else str(error)
        if self.observers.are_any:
            self.observers(TokenRefused(self.source, reason, detail))
        if logger.isEnabledFor(logging.DEBUG):
            self._log(logging.DEBUG, "refused a token", reason)
        now = self.clock.monotonic()
        if now >= self._told_at + SUMMARY_INTERVAL and reason not in OWN_FAULTS:
            self._tell(now, reason)

    def _tell(self, now: float, reason: Reason) -> None:
        """Log the rejections since the last such line, `reason` included."""
        since, self._told_at = now - self._told_at, now
        before, self._told = self._told, dict(self._refused)
        counts = {each: count - before[each] for each, count in self._told.items()}
        parts = sorted(
            (each for each, count in counts.items() if count and each not in OWN_FAULTS),
            key=lambda each: -counts[each],
        )
        total = sum(counts[each] for each in parts)
        if total <= 1:
            self._log(logging.WARNING, "refused a token", reason)
            return
        shown = [f"{each} {counts[each]:,}" for each in parts]
        shown[0] += f" (last: {self._text(parts[0])})"
        text = f"refused {total:,} tokens in {since:,.0f} s: {', '.join(shown)}"
        extra = {
            "auth_jwks_counts": {each.value: counts[each] for each in parts},
            "auth_jwks_seconds": since,
        }
        self._log(logging.WARNING, text, parts[0], extra)

    def _log(
        self, level: int, text: str, reason: Reason, extra: dict[str, object] | None = None
    ) -> None:
        event = TokenRefused(self.source, reason, self._details[reason])
        if extra is None:
            text = f"{text}: {reason}: {self._text(reason)}"
        more = fields(event) | (extra or {})
        logger.log(level, "%s; source: %s", text, self.source, extra=more)

    def _text(self, reason: Reason) -> str:
        return self._details[reason].removeprefix(LABELS.get(reason, ""))


def _detail(error: jwt.InvalidTokenError) -> str:
    return f"{error} ({'; '.join(getattr(error, NOTES))})"
