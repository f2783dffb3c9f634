"""All random tests, with seeds of this run's own, over and over: python tests/fuzz.py MINUTES."""

import os
import secrets
import shlex
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[1]
# A round with many examples takes its time; what hangs is ended nevertheless.
COMMAND = (
    "-m", "pytest", "-m", "hypothesis", "--hypothesis-profile=fuzz",
    "-o", "faulthandler_timeout=1800", "-p", "no:cacheprovider",
)  # fmt: skip


def is_passed(seed: int) -> bool:
    """Run each random test with that seed, and print how it went."""
    command = [sys.executable, *COMMAND, f"--hypothesis-seed={seed}"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    *_, last = run.stdout.splitlines() or ["nothing was printed"]
    print(f"seed {seed}: {last.strip('= ')}", flush=True)
    if run.returncode:
        print(f"{run.stdout}\n{run.stderr}\nThe same again; the name of a test narrows it:")
        print(f"  {shlex.join(command)}", flush=True)
    return not run.returncode


def failures_until(deadline: float) -> int:
    """Run one round after another, and return how many failed."""
    failed = 0
    while time.monotonic() < deadline:
        failed += not is_passed(secrets.randbits(32))
    return failed


def main() -> int:
    """Keep every core busy until the time is over; the rounds that have begun are finished."""
    minutes = float(sys.argv[1])
    cores = os.cpu_count() or 1
    deadline = time.monotonic() + 60 * minutes
    with ThreadPoolExecutor(cores) as pool:
        failed = sum(pool.map(failures_until, [deadline] * cores))
    print(f"{failed} rounds failed" if failed else "no round failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
