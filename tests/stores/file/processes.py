"""Worker processes that do as a test tells them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

PROGRAM = Path(__file__).with_name("worker.py")


class Worker:
    """A process with a store of its own, which does as it is told."""

    def __init__(self, directory: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", str(PROGRAM), str(directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def send(self, *command: object) -> None:
        """Give a command."""
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(map(str, command)) + "\n")
        self._process.stdin.flush()

    def told(self) -> Any:
        """Return the next answer."""
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def ask(self, *command: object) -> Any:
        """Give a command and return its answer."""
        self.send(*command)
        return self.told()

    def stop(self, number: signal.Signals) -> None:
        """Send a signal that kills or freezes it, and wait until it does."""
        self._process.send_signal(number)
        os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WSTOPPED | os.WNOWAIT)

    def go_on(self) -> None:
        """End the freeze."""
        self._process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """Kill it, frozen or not."""
        self._process.kill()
        self._process.communicate(timeout=60)


Hire = Callable[[int], list[Worker]]
