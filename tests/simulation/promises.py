"""The numbers that the oracle holds the library to, in seconds unless they say otherwise."""

from dataclasses import dataclass

__all__ = ["PROMISES", "Promises"]


@dataclass(frozen=True, slots=True)
class Promises:
    """What `docs/design.md` says, or is going to say.

    `look` and `lease` are how long a withdrawn key may live beyond `cache_ttl`; `stale_wait` is
    the longest wait of a caller whose key is at hand; `new_key` is how long tokens of a new key
    may be refused; `recovery` is how long keys may be unavailable when the provider is back;
    `slack` is added where something takes its time on the wire.

    A cold worker that waits for another one asks the store each 0.2 to 0.4 s, which is 200 times a
    minute, and more often when a wait begins: hence `store_calls_a_minute`.
    """

    look: float = 75.0
    lease: float = 3.0
    stale_wait: float = 0.5
    new_key: float = 10.0
    recovery: float = 35.0
    slack: float = 2.0
    soonest_refresh: float = 0.75
    latest_refresh: float = 0.9
    shortest_life: float = 1.0
    least_life: float = 300.0
    noise_window: float = 10.0
    noise_refreshes: int = 2
    longest_cooldown: float = 30.0
    tries: int = 4
    store_calls_a_minute: int = 230
    quiet_store_calls: int = 75


PROMISES = Promises()
