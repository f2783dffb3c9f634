"""Fleets under virtual time: named scenarios, and random worlds, held to what is promised."""

from collections.abc import Callable

import pytest

from tests.simulation import scenarios
from tests.simulation.draw import draw
from tests.simulation.keyring import Keyring
from tests.simulation.oracle import PER_CALL
from tests.simulation.plan import Happening, Plan, Staff
from tests.simulation.promises import Promises
from tests.simulation.shrink import script, shrunk
from tests.simulation.world import Outcome, simulate

SEEDS = range(10)


@pytest.fixture(scope="module")
def ring() -> Keyring:
    """Return the keys of this run."""
    return Keyring()


def told(outcome: Outcome) -> str:
    """Return the broken promises with their stories."""
    parts = [f"{one}\n" + "\n".join(one.story) for one in outcome.violations.values()]
    return "\n\n".join([script(outcome.plan), *parts]) if parts else ""


@pytest.mark.parametrize(
    "scenario",
    [
        scenarios.quiet_day,
        scenarios.store_outage,
        scenarios.a_killed_holder,
        scenarios.asleep,
        scenarios.frozen,
        scenarios.a_loop_per_call,
        scenarios.a_loop_closed_abruptly,
        scenarios.eager_tasks,
        scenarios.hosts_that_differ,
        scenarios.one_broken_host,
        scenarios.a_slow_host_beside_a_quiet_one,
        scenarios.long_outage_recovery,
        scenarios.unknown_kid_flood_amid_rotation,
        scenarios.http_cache,
        scenarios.no_kid,
        scenarios.same_kid,
        scenarios.two_integrity_keys,
        scenarios.a_busy_hour,
        scenarios.a_hasty_provider,
        scenarios.a_slow_provider,
        scenarios.told_to_wait,
        scenarios.another_issuer,
        scenarios.asleep_amid_a_fetch,
        scenarios.a_store_that_forgets,
    ],
)
def test_scenario(scenario: Callable[[], Plan], ring: Keyring) -> None:
    """Each promise is kept in a world made by hand."""
    outcome = simulate(scenario(), ring)
    assert outcome.violations == {}, told(outcome)


@pytest.mark.parametrize("seed", SEEDS)
def test_random_world(seed: int, ring: Keyring) -> None:
    """Each promise is kept in a random world."""
    outcome = simulate(draw(seed), ring)
    # A refresh that ends with the call that began it breaks nearly every promise.
    found = {name for name in outcome.violations if not name.endswith(PER_CALL)}
    assert found == set(), told(outcome)


def test_a_seed_makes_one_world(ring: Keyring) -> None:
    """The same seed tells the same story, to the last line."""
    first, again = (simulate(draw(3), ring) for _ in range(2))
    assert first.story.about("", 1e9, limit=10_000) == again.story.about("", 1e9, limit=10_000)
    assert (first.calls, first.turns) == (again.calls, again.turns)


def test_a_story_shrinks_to_what_it_is_about(ring: Keyring) -> None:
    """Workers and happenings that have nothing to do with a broken promise are left out."""
    staff = tuple(Staff(f"w{number}", skew=5.0) for number in range(3))
    happenings = (
        Happening(100.0, "strangers", "w1", 60.0, 1.0),
        Happening(600.0, "reuse_kid"),
        Happening(900.0, "store_flush"),
    )
    plan = Plan(1, 2_000.0, staff, happenings)
    strict = Promises(new_key=-10.0)  # the first token of a new key is always refused then
    small, violation = shrunk(plan, "I3 new key, same kid", ring, promises=strict)
    assert [one.kind for one in small.happenings] == ["reuse_kid"]
    assert len(small.staff) == 1
    assert eval(script(small)) == small  # noqa: S307 - it is meant to be pasted
    assert violation.story[-1].endswith(violation.what)
