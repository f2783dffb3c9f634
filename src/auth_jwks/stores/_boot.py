"""The identity of this boot of the host and the time since it: the same in all its processes."""

import time
from pathlib import Path

__all__ = ["BOOTTIME", "boot", "since_boot"]

TEN_MINUTES = 600
# It counts time in suspend too, as the age of a key set does.
BOOTTIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)


def since_boot(clock: int | None = BOOTTIME) -> float:
    """Return seconds that are the same in all processes of this host, by `clock` if given."""
    return time.monotonic() if clock is None else time.clock_gettime(clock)


def boot(path: str = "/proc/sys/kernel/random/boot_id") -> str:
    """Return an id of this boot of the machine: its random id, or else its approximate time.

    The time changes now and then, as the clocks drift apart. That costs one fetch.
    """
    try:
        return Path(path).read_text().strip()
    except OSError:
        return f"{(time.time() - time.monotonic()) // TEN_MINUTES:.0f}"
