"""The environment of programs that tests run."""

import os

__all__ = ["unmeasured"]


def unmeasured() -> dict[str, str]:
    """Return this process's environment, but for what has coverage measured and output coloured.

    To measure takes half as long again, and a process that is killed tells nothing of it.
    """
    left_out = {"COVERAGE_PROCESS_CONFIG", "FORCE_COLOR"}
    return {name: value for name, value in os.environ.items() if name not in left_out}
