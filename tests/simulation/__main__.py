"""Run random worlds for as long as told: `python -m tests.simulation --minutes 10`."""

import argparse
import sys
import time

from tests.simulation.draw import draw
from tests.simulation.keyring import Keyring
from tests.simulation.world import simulate


def main() -> int:
    """Run, and tell what was found."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    ring, days, began, seed, found = Keyring(), 0.0, time.monotonic(), options.seed, {}
    while time.monotonic() - began < 60 * options.minutes:
        outcome = simulate(draw(seed), ring)
        days += outcome.worker_days
        for name, violation in outcome.violations.items():
            found.setdefault(name, []).append(seed)
            if len(found[name]) == 1:
                print(f"seed {seed}: {violation}", flush=True)
        seed += 1
    took = time.monotonic() - began
    print(f"{seed - options.seed} worlds, {days:.1f} worker-days, {days / took:.1f} a second")
    for name, seeds in found.items():
        print(name, len(seeds), seeds[:8])
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
