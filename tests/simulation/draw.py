"""Random worlds: a seed, and a plan that follows from it."""

from random import Random

from tests.simulation.plan import Happening, Kind, Plan, Staff, StoreKind

__all__ = ["draw"]

DAY = 86_400.0
PROVIDER: tuple[Kind, ...] = ("rotate", "publish", "retire", "rotate", "odd_member", "outage")
WORKER: tuple[Kind, ...] = (
    "unreachable", "no_route", "slow", "other_issuer", "freeze", "asleep", "kill", "clock_step",
    "strangers", "quiet",
)  # fmt: skip
STORE: tuple[Kind, ...] = (
    "store_refuses", "store_loses", "store_slow", "store_hangs", "store_flush", "store_clock",
)  # fmt: skip
AT_ONCE = frozenset({
    "rotate", "publish", "retire", "reuse_kid", "odd_member", "clock_step", "store_flush",
    "store_clock",
})  # fmt: skip
VALUES: dict[Kind, tuple[float, ...]] = {
    "outage": (500.0, 503.0, 503.0, 404.0, -1.0, -2.0, -3.0),
    "slow": (0.3, 1.0, 3.0),
    "clock_step": (-3_600.0, -30.0, 30.0, 3_600.0),
    "store_clock": (-3_600.0, -5.0, 5.0, 3_600.0),
    "strangers": (0.2, 2.0, 10.0),
    "odd_member": (0.0, 1.0, 2.0, 3.0),
    "freeze": (0.0, 1.0),
    "asleep": (0.0, 1.0),
    "kill": (0.0, 1.0),
}
MOST_STRANGERS = 3_000.0  # at once; more tell nothing new, and take long


def draw(seed: int) -> Plan:
    """Return the world of a seed."""
    rng = Random(seed)  # noqa: S311 - no secret
    store: StoreKind = rng.choices(("shared", "files", "own"), (7, 2, 1))[0]
    duration = rng.choice((3_600.0, 4 * 3_600.0, DAY / 2, DAY))
    cache_ttl = rng.choice((60.0, 300.0, 900.0, 900.0, 900.0, 3_600.0))
    duration = min(duration, 150 * cache_ttl)
    discovers = rng.random() < 0.7
    cached = rng.random() < 0.1
    per_call = rng.random() < 0.15
    staff = tuple(
        _staff(rng, f"w{number}", loop_per_call=per_call)
        for number in range(rng.choice((1, 2, 3, 4, 6, 10)))
    )
    names_keys = rng.random() < 0.9
    kinds = _kinds(rng, store, discovers=discovers, names_keys=names_keys)
    return Plan(
        seed, duration, staff, _happenings(rng, kinds, staff, duration), store, discovers,
        cache_ttl=cache_ttl,
        max_stale=rng.choice((0.0, 600.0, 3_600.0, DAY, DAY)),
        max_age=3_600.0 if cached else rng.choice((0.0, 0.0, 0.0, 600.0)),
        http_cache=cached,
        names_keys=names_keys,
    )  # fmt: skip


def _kinds(rng: Random, store: StoreKind, *, discovers: bool, names_keys: bool) -> list[Kind]:
    """Choose the few kinds of happenings that this world is about."""
    pool = [*PROVIDER, *WORKER, *(STORE if store == "shared" else ())]
    chosen = rng.sample(pool, rng.randint(1, 6))
    if not discovers:  # another issuer can't be told from the right one then
        chosen = [kind for kind in chosen if kind != "other_issuer"]
    if not names_keys:
        chosen = [kind for kind in chosen if kind != "publish"]
    elif rng.random() < 0.1:
        chosen.append("reuse_kid")
    return [*chosen, "rotate"]


def _staff(rng: Random, name: str, *, loop_per_call: bool) -> Staff:
    return Staff(
        name,
        gap=rng.choice((1.0, 2.0, 5.0)),
        calm=rng.choice((60.0, 120.0, 300.0, 900.0)),
        latency=rng.choice((0.005, 0.02, 0.08, 0.15)),
        store_latency=rng.choice((0.0003, 0.002, 0.02)),
        skew=rng.choice((0.0, 0.0, -5.0, 20.0)),
        loop_per_call=loop_per_call,
        token_cache=rng.choice((0, 1024, 1024, 1024)),
        is_abrupt=loop_per_call and rng.random() < 0.3,
        is_eager=rng.random() < 0.1,
        impatience=rng.choice((0.0, 0.0, 0.05)),
    )


def _happenings(
    rng: Random, kinds: list[Kind], staff: tuple[Staff, ...], duration: float
) -> tuple[Happening, ...]:
    count = rng.randint(2, 4 + int(duration / 3_600))
    drawn = [_happening(rng, rng.choice(kinds), staff, duration) for _ in range(count)]
    return tuple(sorted(drawn, key=lambda one: one.at))


def _happening(rng: Random, kind: Kind, staff: tuple[Staff, ...], duration: float) -> Happening:
    at = round(rng.uniform(0.0, duration * 0.9), 1)
    who = rng.choice(staff).name if kind in WORKER else ""
    if kind in STORE[:4] and rng.random() < 0.5:
        who = rng.choice(staff).name
    span = rng.choice((3.0, 30.0, 120.0, 900.0, 3_600.0, 3 * 3_600.0))
    seconds = 0.0 if kind in AT_ONCE else round(span * rng.uniform(0.7, 1.3), 1)
    value = rng.choice(VALUES.get(kind, (0.0,)))
    most = MOST_STRANGERS / value if kind == "strangers" else duration * 0.6
    return Happening(at, kind, who, min(seconds, most), value)
