"""The oracle: knows what is true, hears of every outcome, and says which promise was broken."""

from collections import deque
from dataclasses import dataclass, field
from math import inf

import jwt

from auth_jwks import IssuerMismatchError, KeysUnavailableError, UnknownKeyError
from auth_jwks.events import Event, KeysRefreshed, RefreshFailed, StaleServed, StoreFailed
from tests.simulation.keyring import Credential
from tests.simulation.machine import Process
from tests.simulation.plan import Plan, Staff
from tests.simulation.promises import Promises
from tests.simulation.provider import Edition, Provider
from tests.simulation.story import Story, clock_time

__all__ = ["PER_CALL", "Call", "Oracle", "Record", "Violation"]

RARELY = 0.5
MANY = 8
LONGEST_REST = 60.0  # of what a provider wants, so much is granted
PER_CALL = ", loop per call"


@dataclass(slots=True)
class Call:
    """One call of `verify_token`; a stranger's token has no credential."""

    credential: Credential | None
    began: float
    paused: float
    held: Edition | None
    fetched: float
    amid_cooldown: bool
    ended: float = inf
    fault: Exception | None = None


@dataclass(slots=True)
class Record:
    """What is true of one worker: since when its ways work, what it holds, and when it was asked.

    Times at which something does not work are infinite in `way_since` and `store_since`.
    `misled_until` is until when it could meet another issuer, `met_other` when it told of one,
    and `has_verdict` whether that still counts. `cools_until`: until when it tries nothing after
    its own failure; `left_at`: when a caller stopped to wait for a refresh last. `rests`: from when
    until when it was told to ask the provider nothing.
    """

    staff: Staff
    process: Process
    way_since: float = 0.0
    store_since: float = 0.0
    misled_until: float = -inf
    met_other: float = -inf
    has_verdict: bool = False
    cools_until: float = -inf
    left_at: float = -inf
    held: Edition | None = None
    fetched: float = -inf
    calls: int = 0
    stopped_at: float = -inf
    asked: deque[float] = field(default_factory=lambda: deque(maxlen=400))
    denied: deque[float] = field(default_factory=lambda: deque(maxlen=400))
    refused: dict[Credential, deque[float]] = field(default_factory=dict)
    rests: list[tuple[float, float]] = field(default_factory=list)

    def end_rest(self, now: float) -> None:
        """Take note that it may ask the provider again."""
        self.rests[-1:] = [(since, min(until, now)) for since, until in self.rests[-1:]]

    def restart(self, process: Process) -> None:
        """Forget what a process knew that is gone."""
        self.end_rest(self.process.scheduler.now)
        self.process = process
        self.held, self.fetched, self.met_other = None, -inf, -inf
        self.has_verdict, self.cools_until, self.left_at = False, -inf, -inf
        self.asked.clear()
        self.denied.clear()
        self.refused.clear()

    def steady_since(self) -> float:
        """Return since when it runs, and its way to the provider works."""
        return max(self.way_since, self.process.runs_since)

    def is_misled(self, since: float, *, until: float) -> bool:
        """Tell whether it has heard of another issuer since, and has had no chance to unlearn it.

        A refresh on behalf of a call that came `until` then has had the time to succeed.
        """
        if self.met_other == -inf or self.misled_until < since:
            return False
        return not any(self.way_since <= asked <= until for asked in self.asked)


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken promise: which, by its short name and in words, when, at whom, and the story."""

    name: str
    at: float
    who: str
    what: str
    story: tuple[str, ...] = field(repr=False, compare=False)

    def __str__(self) -> str:
        return f"{self.name} at {clock_time(self.at)}, worker {self.who}: {self.what}"


class Oracle:
    """Judges each call and each event by the promises."""

    def __init__(self, plan: Plan, provider: Provider, story: Story, promises: Promises) -> None:
        self.violations: dict[str, Violation] = {}
        self._plan = plan
        self._provider = provider
        self._story = story
        self._promises = promises
        self._fleet: list[Record] = []
        deadline = 10.0 if plan.discovers else 5.0
        self._refresh = deadline + promises.lease + 1.0 + promises.slack
        stated = 0.0 if plan.http_cache else plan.max_age or inf
        self._life = min(plan.cache_ttl, max(promises.least_life, stated))

    def __repr__(self) -> str:
        return f"Oracle(violations={sorted(self.violations)})"

    def enlist(self, record: Record) -> None:
        """Take note of one more worker."""
        self._fleet.append(record)

    def broken(self, name: str, at: float, record: Record, what: str) -> None:
        """Take note of a broken promise, the first of each kind."""
        if record.staff.loop_per_call:
            name += PER_CALL
        if name not in self.violations:
            who = record.staff.name
            self._story.tell(at, who, f"*** {name}: {what}")
            story = tuple(self._story.about(who, at))
            self.violations[name] = Violation(name, at, who, what, story)

    def begin(self, record: Record, credential: Credential | None, now: float) -> Call:
        """Take note of a call that begins."""
        record.calls += 1
        _note(record.asked, now)
        cools = now < record.cools_until
        return Call(credential, now, record.process.paused, record.held, record.fetched, cools)

    def judge(self, record: Record, call: Call) -> None:
        """Judge how a call ended."""
        fault = call.fault
        if fault is None:
            self._judge_accepted(record, call)
        else:
            self._judge_refused(record, call, fault)
        key = call.credential
        if key is not None and _holds(call.held, key) and _holds(record.held, key):
            self._judge_wait(record, call)

    def observe(self, record: Record, event: Event, now: float) -> None:
        """Judge what the library tells of itself."""
        match event:
            case RefreshFailed():
                if event.kind == "issuer_mismatch":
                    record.met_other, record.has_verdict = now, True
                record.cools_until = now + event.retry_after
                if event.kind == "status" and self._provider.retry_after:
                    seconds = min(self._provider.retry_after, LONGEST_REST)
                    record.rests.append((now + self._promises.slack, now + seconds))
                self._judge_blame(record, "provider", record.way_since, self._refresh, now, event)
            case StoreFailed():
                self._judge_blame(record, "store", record.store_since, 60.0, now, event)
            case StaleServed():
                self._judge_stale(record, now)
            case _:
                pass

    def adopt(
        self, record: Record, event: KeysRefreshed, edition: Edition | None, fetched: float,
        now: float,
    ) -> None:  # fmt: skip
        """Take note of the set that a worker has now, and judge whether it should."""
        before, record.held, record.fetched = record.held, edition, fetched
        record.has_verdict, record.cools_until = False, -inf
        record.end_rest(now)
        if edition is None:
            self.broken("I7 foreign set", now, record, f"adopted a set of the {event.origin}")
        elif before is not None and edition.since < before.since and not self._plan.http_cache:
            what = f"{edition.mark} replaced {before.mark}"
            self.broken("I7 older set", now, record, what)

    def _judge_accepted(self, record: Record, call: Call) -> None:
        key, now, plan = call.credential, call.ended, self._plan
        if key is None:
            self.broken("I1 stranger", now, record, "a token of an unknown key was accepted")
            return
        record.refused.pop(key, None)
        if not _holds(call.held, key) and not _holds(record.held, key):
            self.broken("I1 not held", now, record, f"accepted {key}, which it does not hold")
        fetched, slack = max(call.fetched, record.fetched), self._promises.slack
        age = call.began - fetched
        if record.process.machine.is_in_the_dark(fetched):
            return
        if age > plan.cache_ttl + plan.max_stale + slack:
            what = f"accepted {key} by keys that are {age:.0f} s old, beyond max_stale"
            self.broken("I1 beyond max_stale", now, record, what)
        # A copy in an HTTP cache may have less left to live than any, or its whole life.
        life = plan.cache_ttl if plan.http_cache else self._life
        if record.has_verdict and call.began > record.met_other and age > life + slack:
            what = f"accepted {key} by keys that are {age:.0f} s old, though the issuer is another"
            self.broken("I1 stale amid a mismatch", now, record, what)
        self._judge_withdrawn(record, call, key)

    def _judge_withdrawn(self, record: Record, call: Call, key: Credential) -> None:
        promises, withdrawn = self._promises, self._provider.withdrawn_since(key)
        if withdrawn == inf:
            return
        life = self._plan.cache_ttl + (self._plan.max_age if self._plan.http_cache else 0.0)
        known = withdrawn + life + promises.look + promises.lease
        since = max(known, record.steady_since() + promises.recovery)
        chances = sum(since <= asked <= call.began - self._refresh for asked in record.asked)
        if chances >= 3:
            ago = call.began - withdrawn
            what = f"accepted {key}, withdrawn {ago:.0f} s ago, though the provider was there"
            self.broken("I1 withdrawn key", call.ended, record, what)

    def _judge_refused(self, record: Record, call: Call, fault: Exception) -> None:
        key = call.credential
        match fault:
            case KeysUnavailableError() | IssuerMismatchError():
                if key is not None and self._provider.is_published(key):
                    self._judge_denied(record, call, fault)
            case UnknownKeyError() | jwt.InvalidSignatureError():
                pass
            case _:
                self.broken("I6 exception", call.ended, record, f"{fault!r} was raised")
        if key is None or not self._provider.is_published(key):
            return
        if _holds(call.held, key) and _holds(record.held, key):
            self._judge_held(record, call, key, fault)
        else:
            self._judge_new(record, call, key, fault)

    def _judge_denied(self, record: Record, call: Call, fault: Exception) -> None:
        since, now = record.steady_since(), call.began
        _note(record.denied, now)
        first = next((at for at in record.denied if at >= since), now)
        until = max(first + self._promises.recovery, self._provider.rests_until)
        if now > until + self._promises.slack:
            what = (
                f"{_named(fault)} {now - first:.0f} s after the first one with a working provider"
            )
            self.broken("I4 recovery", call.ended, record, what)

    def _judge_held(self, record: Record, call: Call, key: Credential, fault: Exception) -> None:
        age = call.ended - call.fetched
        usable = age < self._life + self._plan.max_stale - self._promises.slack
        stepped = record.process.machine.last_step >= call.fetched
        # Until a good answer can have come, what it was told itself is the truth.
        misled = record.is_misled(call.fetched, until=call.began - self._promises.recovery)
        excused = (
            isinstance(fault, IssuerMismatchError)
            and misled
            and age >= self._life - self._promises.slack
        )
        if usable and not excused and not stepped:
            what = f"refused {key}, which it holds for {age:.0f} s: {_named(fault)}"
            self.broken("I2 held key refused", call.ended, record, what)

    def _judge_new(self, record: Record, call: Call, key: Credential, fault: Exception) -> None:
        promises = self._promises
        times = record.refused.setdefault(key, deque(maxlen=400))
        _note(times, call.began)
        settled = record.way_since + promises.recovery if record.way_since > 0 else 0.0
        since = max(
            settled, record.process.runs_since, self._provider.published_since(key),
            self._provider.rests_until,
        )  # fmt: skip
        patience = promises.new_key + promises.slack + 4 * record.staff.latency
        patience += 6.0 if record.store_since == inf else 0.0
        first = next((at for at in times if at >= since), call.began)
        if isinstance(fault, jwt.InvalidSignatureError):
            # Refused at once: what it searches for is there for the next one.
            last = call.began - min(self._refresh, max(0.0, patience))
            if not any(first + promises.new_key <= at <= last for at in times):
                return
        if call.began - first > patience:
            name = f"I3 new key{self._circumstances(key, fault)}"
            what = f"refused {key} for {call.began - first:.0f} s: {_named(fault)}"
            self.broken(name, call.ended, record, what)

    def _circumstances(self, key: Credential, fault: Exception) -> str:
        if self._plan.http_cache:
            return ", HTTP cache"
        if key.kid is None:
            return ", no kid"
        return ", same kid" if isinstance(fault, jwt.InvalidSignatureError) else ""

    def _judge_wait(self, record: Record, call: Call) -> None:
        waited = call.ended - call.began - (record.process.paused - call.paused)
        age, machine = call.began - call.fetched, record.process.machine
        limit, name = 0.0, "I2 wait for fresh keys"
        if age > self._life + self._plan.max_stale - self._promises.slack:
            return
        stepped = machine.last_step >= call.fetched
        if age > self._life - self._refresh or stepped:
            limit, name = self._promises.stale_wait, "I2 wait for stale keys"
            misled = record.is_misled(call.fetched, until=call.began - self._promises.recovery)
            if record.staff.loop_per_call or misled or stepped:
                # Nobody is given stale keys then; or these are dead by a clock that was set. A call
                # may wait for the refresh of another worker, and then for its own.
                limit = 2 * self._refresh
            else:
                limit = self._stale_limit(record, call)
            if waited > 0.0 and call.ended > record.left_at:
                record.left_at = call.ended
        if waited > limit + 0.01:
            what = f"waited {waited:.3f} s though it holds keys that are {age:.0f} s old"
            self.broken(name, call.ended, record, what)

    def _stale_limit(self, record: Record, call: Call) -> float:
        """Return how long a caller may wait for a refresh: no longer than one who waits already."""
        if call.amid_cooldown or self._was_warned(record, call):
            return 0.0
        was_there = call.began < record.left_at < call.ended
        is_shared = was_there and call.paused == record.process.paused
        left = record.left_at - call.began if is_shared else inf
        return min(left, self._promises.stale_wait)

    def _was_warned(self, record: Record, call: Call) -> bool:
        """Tell whether a refresh ahead of expiry can have ended, and nothing was in its way.

        If another worker was at it, this one went on with its keys, and looks with a later token.
        """
        since = max(
            inf if one.process.is_stopped else max(one.steady_since(), one.store_since)
            for one in self._fleet
        )
        if since > call.fetched or self._plan.http_cache:
            return False
        first = call.fetched + self._promises.latest_refresh * self._life
        last = call.fetched + self._life - self._refresh
        asked = [each for each in record.asked if first <= each <= last]
        apart = self._promises.lease + self._promises.slack if len(self._fleet) > 1 else 0.0
        return bool(asked) and asked[-1] - asked[0] >= apart

    def _judge_blame(
        self, record: Record, blamed: str, since: float, span: float, now: float,
        event: RefreshFailed | StoreFailed,
    ) -> None:  # fmt: skip
        just_resumed = now - record.process.runs_since < span
        healthy_until = record.stopped_at if just_resumed else now
        if since + span <= healthy_until or since == 0.0:
            what = f"blames the {blamed} ({event.kind}: {event.reason}), which is well"
            self.broken(f"I6 healthy {blamed} blamed", now, record, what)

    def _judge_stale(self, record: Record, now: float) -> None:
        since = max(
            record.steady_since(), record.fetched + self._plan.cache_ttl, self._provider.rests_until
        )
        last = now - self._promises.recovery - self._promises.slack
        chances = sum(since <= asked <= last for asked in record.asked)
        # Another one that can't reach the provider may be at it, or hold all back, at any moment.
        rivals = any(other.way_since > since for other in self._fleet if other is not record)
        if chances >= (MANY if rivals else 1):
            self.broken("I6 stale for long", now, record, "serves stale keys, though it need not")


def _holds(edition: Edition | None, key: Credential) -> bool:
    return edition is not None and key in edition.keys


def _note(times: deque[float], now: float) -> None:
    """Remember a time, but few of those that are close to each other."""
    if not times or now - times[-1] >= RARELY:
        times.append(now)


def _named(fault: Exception) -> str:
    return f"{type(fault).__name__}({fault})"
