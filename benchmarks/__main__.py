"""Runs the benchmarks one after the other, and writes their numbers into the pages; see README.md.

The exit status is 1 if a target is missed. That keeps no other program from being run.
"""

import argparse
import subprocess
import sys
import time

from rich.console import Console

from benchmarks.command import RESULTS, command, interpreter
from benchmarks.page import written
from benchmarks.report import grid

__all__ = ["PROGRAMS"]

# Each with the interpreters that it needs beside this one.
PROGRAMS: dict[str, dict[str, str]] = {
    "fleet": {},
    "simulation": {},  # after the fleets that it is compared with
    "backends": {},
    "verify": {"--peers": "bench-peers", "--old": "bench-old"},
    "hour": {"--peers": "bench-peers", "--old": "bench-old"},
    "tenants": {},
    "refresh": {},
    "start": {},
    "middleware": {},
    "threads": {},
    "observers": {},
    "web": {},
}


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = command("", __doc__, "smallest sizes; the pages stay as they are")
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(PROGRAMS)}")
    chosen = parser.parse_args()
    if unknown := [name for name in chosen.names if name not in PROGRAMS]:
        parser.error(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(PROGRAMS)}")
    chosen.names = chosen.names or [*PROGRAMS]
    return chosen


def run(name: str, further: list[str]) -> tuple[int, float]:
    """Run a program; return its exit status, and the seconds it took."""
    pythons = [f"{option}={interpreter(home)}" for option, home in PROGRAMS[name].items()]
    began = time.monotonic()
    done = subprocess.run(  # noqa: S603 - a program of this folder
        [sys.executable, "-m", f"benchmarks.{name}", *pythons, *further], check=False
    )
    return done.returncode, time.monotonic() - began


def main() -> int:
    """Run those that are asked for; return the exit status."""
    chosen, console = options(), Console()
    further = [f"--output={chosen.output}", *(["--quick"] if chosen.quick else [])]
    done = {}
    for name in chosen.names:
        console.rule(name)
        done[name] = run(name, further)
    if chosen.output == RESULTS and not chosen.quick:
        written()
    console.rule()
    lines = [(name, f"{took:,.0f}", f"{status}") for name, (status, took) in done.items()]
    total = sum(took for _, took in done.values())
    grid("Time", ("", "s", "exit status"), [*lines, ("in all", f"{total:,.0f}", "")], console)
    return int(any(status for status, _ in done.values()))


if __name__ == "__main__":
    sys.exit(main())
