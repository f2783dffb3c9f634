"""The environment of programs that tests run."""

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

__all__ = ["running", "unmeasured"]


def unmeasured() -> dict[str, str]:
    """Return this process's environment, but for what has coverage measured and output coloured.

    To measure takes half as long again, and a process that is killed tells nothing of it.
    """
    left_out = {"COVERAGE_PROCESS_CONFIG", "FORCE_COLOR"}
    return {name: value for name, value in os.environ.items() if name not in left_out}


@contextmanager
def running(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server that starts processes of its own; it is told to end, and leaves none behind."""
    process = subprocess.Popen(command, start_new_session=True, **options)
    try:
        yield process
        process.terminate()
        process.wait(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
