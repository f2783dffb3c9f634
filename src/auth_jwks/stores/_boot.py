"""What all processes of a host have in common: which boot it is, and how long ago it was."""

import time
from pathlib import Path

__all__ = ["BOOTTIME", "boot", "since_boot"]

TEN_MINUTES = 600
# It counts while the machine sleeps, as the age of a key set does.
BOOTTIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)


def since_boot(clock: int | None = BOOTTIME) -> float:
    """Return seconds that all processes of this host count alike, by that clock if there is one."""
    return time.monotonic() if clock is None else time.clock_gettime(clock)


def boot(path: str = "/proc/sys/kernel/random/boot_id") -> str:
    """Return what names this boot of the machine: its random id, or else about when it was.

    The second changes now and then, when clocks drift apart; that costs one fetch.
    """
    try:
        return Path(path).read_text().strip()
    except OSError:
        return f"{(time.time() - time.monotonic()) // TEN_MINUTES:.0f}"
