"""Worlds made by hand, each about one thing that has gone wrong somewhere."""

from tests.simulation.plan import Happening, Plan, Staff

__all__ = [
    "a_busy_hour", "a_hasty_provider", "a_killed_holder", "a_loop_closed_abruptly",
    "a_loop_per_call", "a_slow_host_beside_a_quiet_one", "a_slow_provider",
    "a_store_that_forgets", "another_issuer", "asleep",
    "asleep_amid_a_fetch", "eager_tasks", "frozen", "hosts_that_differ", "http_cache",
    "long_outage_recovery", "no_kid", "one_broken_host", "quiet_day", "same_kid", "store_outage",
    "told_to_wait", "two_integrity_keys", "unknown_kid_flood_amid_rotation",
]  # fmt: skip

HOUR = 3_600.0


def _fleet(size: int, **options: float) -> tuple[Staff, ...]:
    return tuple(Staff(f"w{number}", **options) for number in range(size))  # type: ignore[arg-type]


def quiet_day() -> Plan:
    """Nothing happens but one rotation with an overlap."""
    return Plan(1, 24 * HOUR, _fleet(3), (
        Happening(9 * HOUR, "publish"),
        Happening(12 * HOUR, "retire"),
    ))  # fmt: skip


def asleep() -> Plan:
    """A machine sleeps for a week, while its keys grow older than they may be used."""
    return Plan(2, 175 * HOUR, _fleet(1), (Happening(1 * HOUR, "asleep", "w0", 168 * HOUR),))


def frozen() -> Plan:
    """A process is stopped amid a fetch, for longer than the fetch may take."""
    return Plan(3, 6 * HOUR, _fleet(1), tuple(
        Happening(hour * HOUR, "freeze", "w0", 60.0, 1.0) for hour in (1, 2, 3)
    ))  # fmt: skip


def a_loop_per_call() -> Plan:
    """Each call has a loop of its own, and the provider takes longer than a call waits."""
    staff = Staff("w0", latency=0.15, calm=20.0, loop_per_call=True)
    return Plan(4, 3 * HOUR, (staff,), (Happening(1.0, "publish"), Happening(60.0, "retire")))


def a_loop_closed_abruptly() -> Plan:
    """Each call has a loop of its own, which is closed without cancelling what runs in it."""
    staff = Staff("w0", latency=0.15, calm=20.0, loop_per_call=True, is_abrupt=True)
    return Plan(15, 2 * HOUR, (staff,))


def eager_tasks() -> Plan:
    """Tasks begin at once, and keys are never fresh."""
    staff = Staff("w0", latency=0.02, gap=5.0, is_eager=True)
    return Plan(16, 20.0, (staff,), store="own", cache_ttl=0.0)


def hosts_that_differ() -> Plan:
    """One host of five reaches another issuer under the provider's name, and sees stray tokens."""
    return Plan(5, 2 * HOUR, _fleet(5, gap=1.0, calm=20.0), (
        Happening(600.0, "other_issuer", "w0", HOUR),
        Happening(600.0, "strangers", "w0", HOUR, 1.0),
    ))  # fmt: skip


def one_broken_host() -> Plan:
    """One host of five can't reach the provider for an hour; meanwhile the keys are replaced."""
    return Plan(6, 2 * HOUR, _fleet(5, gap=1.0, calm=20.0), (
        Happening(600.0, "unreachable", "w0", HOUR),
        Happening(600.0, "strangers", "w0", HOUR, 1.0),
        Happening(2_400.0, "rotate"),
    ))  # fmt: skip


def a_slow_host_beside_a_quiet_one() -> Plan:
    """A host whose way to the provider is too slow is always about to ask, another one seldom.

    Neither has keys that it may use when they have expired. Seed 555 had it, with others.
    """
    staff = Staff("w0", gap=1.0, calm=5.0), Staff("w1", gap=60.0)
    return Plan(17, 2 * HOUR, staff, (
        Happening(600.0, "slow", "w0", 6_600.0, 3.0),
    ), discovers=False, cache_ttl=300.0, max_stale=0.0)  # fmt: skip


def long_outage_recovery() -> Plan:
    """The provider is away for half an hour, longer than keys may be stale."""
    return Plan(7, 2 * HOUR, _fleet(2, gap=1.0, calm=5.0), (
        Happening(1_800.0, "outage", "", 1_800.0, 500.0),
    ), max_stale=0.0)  # fmt: skip


def unknown_kid_flood_amid_rotation() -> Plan:
    """Strangers' tokens come in at five a second while the keys are replaced, time and again."""
    return Plan(8, 1_500.0, _fleet(3, gap=1.0), (
        Happening(300.0, "strangers", "w1", 1_000.0, 5.0),
        *(Happening(400.0 + 133.0 * number, "rotate") for number in range(6)),
    ))  # fmt: skip


def http_cache() -> Plan:
    """An HTTP cache keeps the provider's documents for an hour while the keys are replaced."""
    return Plan(9, 3 * HOUR, _fleet(2), (
        Happening(1.5 * HOUR, "publish"),
    ), max_age=HOUR, http_cache=True)  # fmt: skip


def store_outage() -> Plan:
    """The store is away for two hours; the keys are replaced meanwhile."""
    return Plan(10, 5 * HOUR, _fleet(4), (
        Happening(HOUR, "store_hangs", "", 2 * HOUR),
        Happening(2 * HOUR, "rotate"),
    ))  # fmt: skip


def no_kid() -> Plan:
    """The only key, which has no name, is replaced."""
    return Plan(11, 2 * HOUR, _fleet(2), (Happening(HOUR, "rotate"),), names_keys=False)


def same_kid() -> Plan:
    """The only key is replaced by one of the same name."""
    return Plan(12, 2 * HOUR, _fleet(2), (Happening(HOUR, "reuse_kid"),))


def two_integrity_keys() -> Plan:
    """Two services share one store, but not the key that they seal their documents with.

    The store's clock is set back meanwhile.
    """
    staff = (*(Staff(f"w{number}", calm=20.0, seal="x" * 32) for number in range(2)),
             *(Staff(f"v{number}", calm=20.0, seal="y" * 32) for number in range(2)))  # fmt: skip
    return Plan(14, 2 * HOUR, staff, (
        Happening(HOUR, "rotate"),
        *(Happening(4_000.0 + 300.0 * number, "store_clock", value=-250.0) for number in range(9)),
    ))  # fmt: skip


def a_killed_holder() -> Plan:
    """The worker that fetches for all is killed amid its fetch, again and again."""
    return Plan(13, 6 * HOUR, _fleet(4), tuple(
        Happening(hour * HOUR, "kill", f"w{hour % 4}", 30.0, 1.0) for hour in range(1, 5)
    ))  # fmt: skip


def a_busy_hour() -> Plan:
    """Nothing happens to workers that are always asked."""
    return Plan(17, HOUR, _fleet(2, gap=2.0, calm=2.0))


def a_hasty_provider() -> Plan:
    """The provider calls its documents fresh for ten seconds only."""
    return Plan(18, HOUR, _fleet(2, gap=5.0, calm=5.0), max_age=10.0)


def a_slow_provider() -> Plan:
    """The provider takes seconds, while the keys of busy workers are stale again and again."""
    return Plan(19, 900.0, _fleet(2, gap=0.3, calm=0.3), (
        Happening(100.0, "slow", "", 400.0, 0.9),
        Happening(600.0, "outage", "", 200.0, 500.0),
    ), cache_ttl=2.0)  # fmt: skip


def told_to_wait() -> Plan:
    """The provider is away, and asks for more patience than anybody should have."""
    return Plan(20, 2 * HOUR, _fleet(2, gap=2.0, calm=5.0), (
        Happening(1_800.0, "outage", "", 1_800.0, 503.0),
    ))  # fmt: skip


def another_issuer() -> Plan:
    """One host meets another issuer, then nobody; one nobody; one is well, and seldom asked."""
    return Plan(23, 3 * HOUR, (*_fleet(2, gap=2.0, calm=5.0), Staff("w2", gap=400.0, calm=400.0)), (
        Happening(600.0, "other_issuer", "w0", 2 * HOUR),
        Happening(600.0, "unreachable", "w1", 2 * HOUR),
        Happening(2_400.0, "unreachable", "w0", 600.0),
    ))  # fmt: skip


def asleep_amid_a_fetch() -> Plan:
    """A machine sleeps for an hour while the provider answers: what it got is an hour old then."""
    staff = (Staff("w0", latency=0.15, gap=2.0, calm=5.0),)
    return Plan(21, 2 * HOUR, staff, (
        Happening(600.0, "asleep", "w0", HOUR, 1.0),
    ), discovers=False, cache_ttl=300.0, max_stale=600.0)  # fmt: skip


def a_store_that_forgets() -> Plan:
    """A store is flushed, and its clock stepped, while hosts are slow or broken, and keys sought.

    The keys are short-lived, and so is the window for searches.
    """
    return Plan(22, 2_000.0, _fleet(4, gap=1.0, calm=1.0, latency=0.1), (
        Happening(20.0, "strangers", "w0", 1_900.0, 1.0),
        Happening(1_500.0, "strangers", "w3", 500.0, 1.0),
        Happening(1_500.0, "slow", "", 150.0, 1.8),
        *(Happening(1_540.0 + 25.0 * number, "store_clock", value=-20.0) for number in range(4)),
        Happening(1_700.0, "slow", "", 200.0, 2.8),
        Happening(200.0, "slow", "w1", 200.0, 1.8),
        *(Happening(300.0 + 120.0 * number, "store_flush") for number in range(4)),
        Happening(660.0, "store_clock", value=-30.0),
        Happening(350.0, "rotate"),
        *(Happening(500.0 + 50.0 * number, "store_clock", value=-3.0) for number in range(4)),
        Happening(700.0, "store_clock", value=-3_600.0),
        Happening(800.0, "store_clock", value=100_000.0),
        Happening(850.0, "store_clock", value=-96_400.0),
        Happening(900.0, "unreachable", "w2", 200.0),
        Happening(1_000.0, "slow", "w3", 300.0, 1.8),
        Happening(1_100.0, "rotate"),
        Happening(1_300.0, "store_loses", "w0", 100.0),
    ), cache_ttl=12.0, max_stale=600.0)  # fmt: skip
