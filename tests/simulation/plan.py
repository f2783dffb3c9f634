"""What a world is made of: plain data, whose `repr` is a script that makes it again."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["Happening", "Kind", "Plan", "Staff", "StoreKind"]

StoreKind = Literal["shared", "files", "own"]
Kind = Literal[
    "rotate", "publish", "retire", "reuse_kid", "odd_member",
    "outage", "unreachable", "no_route", "slow", "other_issuer",
    "freeze", "asleep", "kill", "clock_step",
    "store_refuses", "store_loses", "store_slow", "store_hangs", "store_flush", "store_clock",
    "strangers", "quiet",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Staff:
    """One worker: how often it is asked, and how it lives.

    `gap` is the mean time between requests while something is going on, and `calm` at other times.
    `latency` is one way to the provider, `store_latency` one way to the store. `impatience` is the
    share of callers that leave before they have an answer; `seal` is an integrity key for what is
    stored, none if empty. A loop per call that `is_abrupt` is closed without a word to its tasks;
    where a worker `is_eager`, tasks begin at once (from Python 3.12 on).
    """

    name: str
    gap: float = 2.0
    calm: float = 60.0
    latency: float = 0.02
    store_latency: float = 0.001
    skew: float = 0.0
    loop_per_call: bool = False
    token_cache: int = 1024
    impatience: float = 0.0
    seal: str = ""
    is_abrupt: bool = False
    is_eager: bool = False


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that begins `at` a time; `who` is a worker's name, empty for the provider or all.

    `value` is what it needs to know: a status, a rate, a number of seconds; for what stops a
    worker, 1 has it wait until that worker has asked the provider for something.
    """

    at: float
    kind: Kind
    who: str = ""
    seconds: float = 0.0
    value: float = 0.0


@dataclass(frozen=True, slots=True)
class Plan:
    """One world, from which everything else follows.

    `http_cache`: what the provider calls its documents fresh for, when there is an HTTP cache in
    between; 0 is without.
    """

    seed: int
    duration: float
    staff: tuple[Staff, ...]
    happenings: tuple[Happening, ...] = ()
    store: StoreKind = "shared"
    discovers: bool = True
    cache_ttl: float = 900.0
    max_stale: float = 86_400.0
    max_age: float = 0.0
    http_cache: bool = False
    names_keys: bool = True
