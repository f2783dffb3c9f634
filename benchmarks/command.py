"""The command line that every benchmark has."""

import argparse
import os
import sys
from pathlib import Path

__all__ = ["OLD", "RESULTS", "command", "interpreter"]

RESULTS = Path(__file__).with_name("results")
ENVIRONMENTS = RESULTS.parents[1] / ".venv"


def _python(environment: str) -> Path:
    return ENVIRONMENTS / environment / "bin" / "python"


# The interpreter that has auth-jwks 0.4.0, which has our import name; `make bench` makes it.
OLD = _python("bench-040")


def interpreter(environment: str) -> str:
    """Return the interpreter of an environment that `make bench` makes; this one without it."""
    python = _python(environment)
    return str(python) if python.exists() else sys.executable


def command(name: str, description: str | None, quick: str) -> argparse.ArgumentParser:
    """Return the parser for `python -m benchmarks.NAME`; `quick` says what that leaves out."""
    # In no process that is measured: others than the first one compile no module.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    program = f"python -m benchmarks.{name}".rstrip(".")
    parser = argparse.ArgumentParser(prog=program, description=description)
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for the results")
    return parser
