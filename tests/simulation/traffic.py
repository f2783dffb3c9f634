"""Who presents which tokens, and when."""

from bisect import bisect_left
from functools import partial
from random import Random

from tests.simulation.keyring import Credential, Keyring
from tests.simulation.loop import Scheduler
from tests.simulation.plan import Happening, Plan
from tests.simulation.provider import Provider
from tests.simulation.worker import Worker

__all__ = ["Traffic"]

BEFORE, AFTER = 5.0, 120.0  # around what happens there is more to see
CURRENT = 0.75  # the share of tokens by the key that signs now
RECENT = 4


class Traffic:
    """The requests of one worker, a stream that nothing but the plan shapes."""

    def __init__(
        self, plan: Plan, worker: Worker, provider: Provider, ring: Keyring, scheduler: Scheduler
    ) -> None:
        self._worker = worker
        self._provider = provider
        self._ring = ring
        self._scheduler = scheduler
        self._duration = plan.duration
        self._rng = Random(f"{plan.seed} traffic {worker.staff.name}")  # noqa: S311 - no secret
        mine = [one for one in plan.happenings if one.who in {"", worker.staff.name}]
        edges = {time for one in plan.happenings for time in (one.at, one.at + one.seconds)}
        self._edges = sorted({0.0, *edges})
        self._quiet = [one for one in mine if one.kind == "quiet"]
        self._strange = [one for one in mine if one.kind == "strangers"]
        self._made_up = 0

    def __repr__(self) -> str:
        return f"Traffic({self._worker!r})"

    def begin(self) -> None:
        """Let the requests come."""
        self._later(self._rng.uniform(0.0, 1.0))
        for one in self._strange:
            self._scheduler.at(one.at, partial(self._flood, one))

    def _later(self, seconds: float) -> None:
        if (when := self._scheduler.now + seconds) < self._duration:
            self._scheduler.at(when, self._arrive)

    def _arrive(self) -> None:
        now = self._scheduler.now
        if not any(one.at <= now < one.at + one.seconds for one in self._quiet):
            credential = self._chosen()
            token = self._ring.token(credential, self._rng.randrange(4))
            self._worker.ask(token, credential)
        staff = self._worker.staff
        self._later(self._rng.expovariate(1 / (staff.gap if self._is_lively(now) else staff.calm)))

    def _is_lively(self, now: float) -> bool:
        nearest = bisect_left(self._edges, now - AFTER)
        return nearest < len(self._edges) and self._edges[nearest] <= now + BEFORE

    def _chosen(self) -> Credential:
        if self._rng.random() < CURRENT:
            return self._provider.signer
        return self._rng.choice(self._provider.credentials[-RECENT:])

    def _flood(self, one: Happening) -> None:
        if self._scheduler.now >= min(self._duration, one.at + one.seconds):
            return
        self._made_up += 1
        self._worker.ask(self._ring.strange(f"made-up-{self._made_up % 50}"), None)
        pause = self._rng.expovariate(one.value)
        self._scheduler.at(self._scheduler.now + pause, partial(self._flood, one))
