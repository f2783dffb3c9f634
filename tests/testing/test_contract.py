"""The suite for stores goes red on each that breaks the contract, and tells what it can't try."""

import asyncio
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, settings

from auth_jwks import testing
from auth_jwks.stores import Answer, Granted, KeyStore, Lease, LeaseRequest, Newer, StoreUnavailable
from auth_jwks.stores.gate import EMPTY, Record, committed, failed, microseconds, polled
from auth_jwks.testing import KeyStoreContract, StoreRig

Rule = Callable[..., Any]


class Store:
    """A handle on records that are kept by the rules given; `await` stands for a round trip."""

    def __init__(self, records: dict[str, Record], now: Callable[[], float], **rules: Rule) -> None:
        self._records = records
        self._now = now
        self._polled = rules.get("polled", polled)
        self._committed = rules.get("committed", committed)
        self._failed = rules.get("failed", failed)

    async def poll(self, key: str, *, known: int, lease: LeaseRequest | None) -> Answer:
        """Ask."""
        started = self._now()
        self._records[key], answer = self._polled(
            self._record(key), microseconds(started), key, known, lease, started=started
        )
        return answer  # type: ignore[no-any-return]

    async def commit(
        self, lease: Lease, payload: bytes, *, ttl: float, window: float
    ) -> int | None:
        """Commit."""
        now, record = self._now(), self._record(lease.key)
        took = now - lease.started
        self._records[lease.key], version = self._committed(
            record, microseconds(now), lease, payload, took=took, ttl=ttl, window=window
        )
        return version  # type: ignore[no-any-return]

    async def fail(self, lease: Lease, *, retry_after: float, mismatch: bool = False) -> None:
        """Fail."""
        record = self._record(lease.key)
        self._records[lease.key] = self._failed(
            record, microseconds(self._now()), lease, retry_after, mismatch=mismatch
        )

    async def aclose(self) -> None:
        """Nothing was opened."""

    def _record(self, key: str) -> Record:
        return self._records.get(key, EMPTY)


class Hasty(Store):
    """Reads and writes in two steps, between which others come."""

    async def poll(self, key: str, *, known: int, lease: LeaseRequest | None) -> Answer:
        """Ask, and forget what came in between."""
        before = self._record(key)
        await asyncio.sleep(0)
        self._records[key] = before
        return await super().poll(key, known=known, lease=lease)


class Rig(StoreRig):
    """Handles on one dict, with virtual time."""

    def __init__(self, make: Callable[..., Store]) -> None:
        self._make = make
        self.records: dict[str, Record] = {}
        self._now = 1_000_000.0

    def open(self) -> KeyStore:
        """Return another handle."""
        return self._make(self.records, lambda: self._now)

    async def pass_time(self, seconds: float) -> None:
        """Move the clock."""
        self._now += seconds

    async def wipe(self) -> None:
        """Forget all."""
        self.records.clear()

    async def forge(self, key: str, version: int, payload: bytes) -> None:
        """Change a record."""
        forged = replace(self.records[key], version=version, payload=payload)
        self.records[key] = forged


def suite(
    make: Callable[..., Store], rig: type[Rig] = Rig, *, sequences: int = 50
) -> KeyStoreContract:
    """Return the suite over such a store, and for how many sequences at random."""

    class Suite(KeyStoreContract):
        examples = sequences

        @asynccontextmanager
        async def rig(self) -> AsyncIterator[StoreRig]:
            yield rig(make)

    return Suite()


@pytest.fixture(autouse=True)
def _same_each_time() -> Iterator[None]:
    """Try the same sequences in each run, and don't look for the shortest that fails."""
    before = settings.default
    settings.register_profile("same", phases=[Phase.generate], derandomize=True, database=None)
    settings.load_profile("same")
    yield
    settings.register_profile("before", before)
    settings.load_profile("before")


def red(suite: KeyStoreContract) -> set[str]:
    """Return the names of the tests that fail."""
    names = set()
    for name in filter(re.compile("test_").match, dir(KeyStoreContract)):
        try:
            getattr(suite, name)()
        except pytest.skip.Exception:
            continue
        except (AssertionError, AttributeError, StoreUnavailable):
            names.add(name)
    return names


def unguarded(record: Record, *rest: Any, **more: Any) -> Any:
    """Grant a lease whoever has one."""
    return polled(replace(record, gate=None), *rest, **more)


def everlasting(record: Record, now: int, *rest: Any, **more: Any) -> Any:
    """Let no lease lapse."""
    gate = record.gate and replace(record.gate, renewed=now, ttl=60_000_000)
    return polled(replace(record, gate=gate), now, *rest, **more)


def once_only(
    record: Record, now: int, key: str, known: int, lease: LeaseRequest | None, **more: Any
) -> Any:
    """Know no holder again."""
    other = lease and replace(lease, holder=f"{lease.holder}{record.issued}")
    after, answer = polled(record, now, key, known, other, **more)
    if isinstance(answer, Granted) and lease is not None:
        answer = Granted(replace(answer.lease, holder=lease.holder))
    return after, answer


def unrenewed(record: Record, *rest: Any, **more: Any) -> Any:
    """Grant the same lease again, which ends as before."""
    after, answer = polled(record, *rest, **more)
    same = record.gate and after.gate and record.gate.holder == after.gate.holder
    return (record if same else after), answer


def unfenced(record: Record, *rest: Any, **more: Any) -> Any:
    """Issue the same fence for ever."""
    after, answer = polled(record, *rest, **more)
    if isinstance(answer, Granted) and after.gate is not None:
        answer = Granted(replace(answer.lease, fence=7))
        after = replace(after, gate=replace(after.gate, fence=7))
    return after, answer


def lavish(record: Record, *rest: Any, **more: Any) -> Any:
    """Count no unscheduled leases."""
    return polled(replace(record, unscheduled=()), *rest, **more)


def lease_first(
    record: Record, now: int, key: str, known: int, lease: LeaseRequest | None, **more: Any
) -> Any:
    """Grant a lease although the document is there."""
    if lease is not None and record.gate is None and record.expires > now:
        known = max(known, record.version)
    return polled(record, now, key, known, lease, **more)


def shortened(record: Record, *rest: Any, **more: Any) -> Any:
    """Hand out text, up to its first null."""
    after, answer = polled(record, *rest, **more)
    if isinstance(answer, Newer):
        answer = replace(answer, payload=answer.payload.partition(b"\0")[0])
    return after, answer


def credulous(record: Record, now: int, *rest: Any, **more: Any) -> Any:
    """Believe any version."""
    after, answer = polled(record, now, *rest, **more)
    if record.version > rest[1] and record.expires > now:
        return record, Newer(record.version, record.payload, 0.0, 1.0)
    return after, answer


def forgetful(record: Record, now: int, *rest: Any, **more: Any) -> Any:
    """Count the age of a document from when it was stored."""
    after, answer = polled(record, now, *rest, **more)
    if isinstance(answer, Newer):
        answer = replace(answer, age=0.0)
    return after, answer


def overwriting(record: Record, now: int, lease: Lease, payload: bytes, **rest: Any) -> Any:
    """Take every commit."""
    return committed(replace(record, gate=None, version=0), now, lease, payload, **rest)


def strict(record: Record, now: int, lease: Lease, payload: bytes, **rest: Any) -> Any:
    """Take no commit of a lease that has lapsed."""
    if record.gate is None or record.gate.left(now) <= 0:
        return record, None
    return committed(record, now, lease, payload, **rest)


def unending(record: Record, now: int, lease: Lease, payload: bytes, **rest: Any) -> Any:
    """Keep the gate closed after a commit."""
    after, version = committed(record, now, lease, payload, **rest)
    return replace(after, gate=record.gate), version


def counting_on(record: Record, now: int, lease: Lease, payload: bytes, **rest: Any) -> Any:
    """Go on counting failures after a success."""
    after, version = committed(record, now, lease, payload, **rest)
    return replace(after, failures=record.failures), version


def meddling(record: Record, now: int, lease: Lease, *rest: Any, **more: Any) -> Any:
    """Let who is late cool everybody down."""
    gate = record.gate and replace(record.gate, holder=lease.holder, fence=lease.fence)
    return failed(replace(record, gate=gate), now, lease, *rest, **more)


def silent(record: Record, now: int, lease: Lease, *rest: Any, **more: Any) -> Any:
    """Open the gate after a failure."""
    return replace(failed(record, now, lease, *rest, **more), gate=None)


def unreasoned(record: Record, now: int, lease: Lease, *rest: Any, mismatch: bool) -> Any:
    """Keep to itself why it failed."""
    del mismatch
    return failed(record, now, lease, *rest)


def hurried(record: Record, *rest: Any, **more: Any) -> Any:
    """Let a search overtake at once."""
    gate = record.gate and replace(record.gate, granted=0)
    return polled(replace(record, gate=gate), *rest, **more)


def patient(record: Record, now: int, *rest: Any, **more: Any) -> Any:
    """Count the time of a holder anew with each renewal, so that nobody overtakes it."""
    gate = record.gate and replace(record.gate, granted=now)
    return polled(replace(record, gate=gate), now, *rest, **more)


def slow(record: Record, now: int) -> bool:
    """Tell whether there is a lease that may be overtaken."""
    gate = record.gate
    return gate is not None and gate.failed is None and now - gate.granted >= 3_000_000


def overrun(record: Record, now: int, key: str, known: int, lease: Any, **more: Any) -> Any:
    """Let any cause overtake."""
    other = lease is not None and record.gate is not None and record.gate.holder != lease.holder
    gate = None if other and slow(record, now) else record.gate
    return polled(replace(record, gate=gate), now, key, known, lease, **more)


def spending(record: Record, now: int, *rest: Any, **more: Any) -> Any:
    """Let a search overtake whatever the budget says."""
    unscheduled = () if slow(record, now) else record.unscheduled
    return polled(replace(record, unscheduled=unscheduled), now, *rest, **more)


def closing(record: Record, now: int, key: str, known: int, lease: Any, **more: Any) -> Any:
    """Let a failure hold back the searches of all."""
    gate = record.gate
    if lease is not None and gate is not None and gate.failed is not None:
        lease = replace(lease, cause="age")
    return polled(record, now, key, known, lease, **more)


def deferential(record: Record, *rest: Any, **more: Any) -> Any:
    """Take the first failure for the provider's."""
    after, answer = polled(replace(record, failures=2 * record.failures), *rest, **more)
    if isinstance(answer, Granted):
        answer = Granted(replace(answer.lease, failures=record.failures))
    return replace(after, failures=record.failures), answer


def unconvinced(record: Record, *rest: Any, **more: Any) -> Any:
    """Take no number of failures for the provider's."""
    after, answer = polled(replace(record, failures=min(1, record.failures)), *rest, **more)
    if isinstance(answer, Granted):
        answer = Granted(replace(answer.lease, failures=record.failures))
    return replace(after, failures=record.failures), answer


def indulgent(record: Record, *rest: Any, **more: Any) -> Any:
    """Let who has failed search as all others."""
    gate = record.gate
    if gate is not None and gate.failed is not None:
        gate = replace(gate, holder="nobody")
    return polled(replace(record, gate=gate), *rest, **more)


def mending(record: Record, *rest: Any, **more: Any) -> Any:
    """Count no repairs."""
    return polled(replace(record, repaired=0), *rest, **more)


def sharing(record: Record, now: int, key: str, known: int, lease: Any, **more: Any) -> Any:
    """Let repairs draw on the budget of the searches."""
    after, answer = polled(record, now, key, known, lease, **more)
    if after.repaired != record.repaired:
        after = replace(after, unscheduled=(*after.unscheduled, now)[-2:])
    return after, answer


def exclusive(record: Record, now: int, lease: Lease, payload: bytes, **rest: Any) -> Any:
    """Take no late commit while another has the gate."""
    gate = record.gate
    if gate is not None and gate.left(now) > 0 and not gate.is_of(lease):
        return record, None
    return committed(record, now, lease, payload, **rest)


def opening(record: Record, now: int, lease: Lease, payload: bytes, **rest: Any) -> Any:
    """End whatever lease there is with any commit."""
    after, version = committed(record, now, lease, payload, **rest)
    return (record if version is None else replace(after, gate=None)), version


def nameless(record: Record, now: int, lease: Lease, *rest: Any, **more: Any) -> Any:
    """Take one lease of a holder for another."""
    fence = record.gate.fence if record.gate else 0
    return failed(record, now, replace(lease, fence=fence), *rest, **more)


def bearing_grudges(record: Record, now: int, lease: Lease, *rest: Any, **more: Any) -> Any:
    """Count each failure of the same holder."""
    return failed(replace(record, failed_by=""), now, lease, *rest, **more)


BROKEN: dict[str, tuple[Callable[..., Store], str]] = {
    "unguarded": (partial(Store, polled=unguarded), "test_d_one_lease_at_a_time"),
    "everlasting": (partial(Store, polled=everlasting), "test_d_a_lease_lapses"),
    "once_only": (partial(Store, polled=once_only), "test_d_the_same_holder_is_granted_again"),
    "unrenewed": (partial(Store, polled=unrenewed), "test_d_asking_again_renews"),
    "unfenced": (partial(Store, polled=unfenced), "test_e_fences_increase"),
    "lavish": (partial(Store, polled=lavish), "test_g_unscheduled_leases_have_a_budget"),
    "lease_first": (partial(Store, polled=lease_first), "test_c_newer_wins_over_a_lease"),
    "shortened": (partial(Store, polled=shortened), "test_b_payloads_round_trip"),
    "credulous": (partial(Store, polled=credulous), "test_b_forged_version_far_ahead"),
    "forgetful": (partial(Store, polled=forgetful), "test_c_age_counts_from_the_grant"),
    "overwriting": (
        partial(Store, committed=overwriting),
        "test_f_a_superseded_holder_changes_nothing",
    ),
    "strict": (partial(Store, committed=strict), "test_f_a_late_commit_counts_if_nobody_came"),
    "unending": (partial(Store, committed=unending), "test_e_fences_increase"),
    "counting_on": (partial(Store, committed=counting_on), "test_g_failures_are_counted"),
    "hurried": (partial(Store, polled=hurried), "test_d_a_slow_holder_is_overtaken"),
    "patient": (partial(Store, polled=patient), "test_d_a_slow_holder_is_overtaken"),
    "overrun": (partial(Store, polled=overrun), "test_d_a_slow_holder_is_overtaken"),
    "spending": (partial(Store, polled=spending), "test_d_overtaking_draws_on_the_budget"),
    "closing": (partial(Store, polled=closing), "test_g_a_failure_cools_down"),
    "deferential": (
        partial(Store, polled=deferential),
        "test_g_one_failed_host_holds_back_itself",
    ),
    "unconvinced": (partial(Store, polled=unconvinced), "test_g_a_failure_cools_down"),
    "indulgent": (
        partial(Store, polled=indulgent),
        "test_g_who_failed_leaves_the_last_place_to_others",
    ),
    "mending": (partial(Store, polled=mending), "test_g_repairs_have_a_budget_of_their_own"),
    "sharing": (partial(Store, polled=sharing), "test_g_repairs_have_a_budget_of_their_own"),
    "exclusive": (partial(Store, committed=exclusive), "test_f_a_late_commit_ends_no_other_lease"),
    "opening": (partial(Store, committed=opening), "test_f_a_late_commit_ends_no_cooldown"),
    "meddling": (partial(Store, failed=meddling), "test_f_a_superseded_holder_changes_nothing"),
    "nameless": (partial(Store, failed=nameless), "test_f_an_earlier_lease_is_not_a_later_one"),
    "bearing_grudges": (
        partial(Store, failed=bearing_grudges),
        "test_g_failures_of_one_holder_count_once",
    ),
    "silent": (partial(Store, failed=silent), "test_g_a_failure_cools_down"),
    "unreasoned": (partial(Store, failed=unreasoned), "test_g_a_failure_cools_down"),
    "hasty": (Hasty, "test_d_one_lease_at_a_time"),
}
# What is not about the order of calls, the machine has no eye for.
BESIDE_ORDER = {"credulous", "forgetful", "shortened"}


def test_store_that_keeps_the_rules_passes() -> None:
    """By the rules alone, and over a rig that says what it can't do."""
    assert red(suite(Store)) == set()


@pytest.mark.parametrize("name", BROKEN)
def test_store_that_breaks_a_rule_is_caught(name: str) -> None:
    """By the test for that line, and by the one that tries everything at random."""
    make, test = BROKEN[name]
    caught = red(suite(make, sequences=1 if name in BESIDE_ORDER else 1000))
    assert test in caught
    assert "test_interleavings" in caught or name in BESIDE_ORDER


class Unreachable(Rig):
    """A rig whose store raises what it likes when it is cut off."""

    async def cut(self) -> None:
        """Lose the records."""
        self.records = None  # type: ignore[assignment]

    def open(self) -> KeyStore:
        """Return a handle that looks the records up each time."""
        return Store(Lookup(self), lambda: 1e6)  # type: ignore[arg-type]


class Lookup:
    """The records, wherever they are."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig

    def get(self, key: str, default: Record) -> Record:
        """Return a record."""
        return self._rig.records.get(key, default)

    def __setitem__(self, key: str, record: Record) -> None:
        self._rig.records[key] = record


def test_foreign_error_is_caught() -> None:
    """A store that is cut off may raise `StoreUnavailable` only."""
    with pytest.raises(AttributeError):
        suite(Store, Unreachable).test_a_unreachable()


def test_what_is_not_declared_is_reported_as_skipped() -> None:
    """By the name of the capability."""
    with pytest.raises(pytest.skip.Exception, match="'cut'"):
        suite(Store).test_a_unreachable()


def test_what_is_impossible_is_left_out() -> None:
    """It is no test of such a store any more."""

    class Suite(KeyStoreContract):
        impossible = frozenset({"cut"})

    assert not callable(getattr(Suite, "test_a_unreachable", None))
    assert callable(Suite.test_a_stalled)


def test_rig_must_be_defined() -> None:
    """The suite alone knows no store, a rig alone no handle."""
    with pytest.raises(NotImplementedError):
        KeyStoreContract().test_b_payloads_round_trip()
    with pytest.raises(NotImplementedError):
        StoreRig().open()


class Awaited(StoreRig):
    """A rig whose time is real."""

    short = 0.02

    def __init__(self) -> None:
        self._records: dict[str, Record] = {}

    def open(self) -> KeyStore:
        """Return another handle."""
        return Store(self._records, time.monotonic)


@pytest.mark.parametrize("missing", ["pytest", "hypothesis"])
def test_without_its_extra_only_the_suite_is_missing(missing: str) -> None:
    """The error says what to install; a provider and a clock need nothing further."""
    program = (
        f"import sys; sys.modules['{missing}'] = None\n"
        "from auth_jwks.testing import ChaosStore, FakeClock, FakeIssuer, StoreRig\n"
        "try: from auth_jwks.testing import KeyStoreContract\n"
        "except ImportError as fault: print(fault)\n"
    )
    command = [sys.executable, "-W", "error", "-c", program]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    words = "KeyStoreContract needs pytest and hypothesis: install auth-jwks[testing]"
    assert ran.stdout.startswith(words)


def test_the_suite_is_found_after_its_own_module(tmp_path: Path) -> None:
    """Otherwise pytest would warn of modules that were imported before it could improve them."""
    (tmp_path / "test_it.py").write_text(
        "import auth_jwks.testing.contract\n"
        "from auth_jwks.testing import KeyStoreContract\n"
        "def test_it(): assert KeyStoreContract is auth_jwks.testing.contract.KeyStoreContract\n"
    )
    command = [sys.executable, "-m", "pytest", "-W", "error", "-p", "no:cacheprovider"]
    command += ["-p", "no:asyncio", "--rootdir", str(tmp_path)]
    ran = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )
    assert ran.returncode == 0, ran.stdout


def test_unknown_name_is_told() -> None:
    """As any module does."""
    with pytest.raises(AttributeError, match="has no attribute 'Contract'"):
        _ = testing.Contract


def test_time_is_real_unless_it_is_virtual() -> None:
    """What is short then ends by itself."""

    class Suite(KeyStoreContract):
        @asynccontextmanager
        async def rig(self) -> AsyncIterator[StoreRig]:
            yield Awaited()

    Suite().test_d_a_lease_lapses()
