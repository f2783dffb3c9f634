"""The demo: every step is taken, and one that does otherwise is told."""

import io
import os
import re
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

DEMO = Path(__file__).parents[1] / "examples" / "demo.py"
STEPS = """\
First token                   alice, fresh keys      200     200
The same token again          alice, fresh keys
100 tokens, new worker        alice x100             200     200
Key rotated, its first token  alice, fresh keys      200     200
Token of the old key          alice, fresh keys
Expired a minute ago          ExpiredSignatureError
100 made-up kids at once      UnknownKeyError x100   200     304
Forged under a known kid      InvalidSignatureError
Provider down, keys expired   alice, stale keys      503 x4
100 tokens in the cool-down   alice x100
New worker, provider down     KeysUnavailableError   503 x4
Keys more than a day old      KeysUnavailableError   503 x4
Provider back                 alice, fresh keys      200     304
"""
ROW = re.compile(r"^ (.*?) +\d+\.\d ms (ok|FAILED) *$", re.MULTILINE)


def run(**environment: str) -> subprocess.CompletedProcess[str]:
    """Run the demo as a user does, piped."""
    variables = {name: value for name, value in os.environ.items() if name != "FORCE_COLOR"}
    variables |= {"COLUMNS": "80", "PYTHONIOENCODING": "utf-8", **environment}
    command = [sys.executable, str(DEMO)]
    return subprocess.run(
        command, env=variables, capture_output=True, encoding="utf-8", check=False, timeout=60
    )


@pytest.fixture(scope="module")
def demo() -> subprocess.CompletedProcess[str]:
    """Return a finished run, in an environment whose proxy leads nowhere."""
    return run(HTTP_PROXY="http://proxy.invalid")


def test_every_step_does_what_it_says(demo: subprocess.CompletedProcess[str]) -> None:
    """The demo prints each step with its outcome and requests, and ends well."""
    assert (demo.returncode, demo.stderr) == (0, "")
    rows = ROW.findall(demo.stdout)
    assert [row.split() for row, _ in rows] == [row.split() for row in STEPS.splitlines()]
    assert {mark for _, mark in rows} == {"ok"}
    assert demo.stdout.endswith("\nEvery step ended as expected.\n")


def test_stale_service_is_warned_of_once(demo: subprocess.CompletedProcess[str]) -> None:
    """A hundred and one tokens were verified with stale keys, and one line of the log says so."""
    assert demo.stdout.count("serving stale keys") == 1


def test_demo_is_plain_text_when_piped(demo: subprocess.CompletedProcess[str]) -> None:
    """Into a pipe go no colours, and before the log no line beyond 80 columns."""
    assert "\x1b" not in demo.stdout
    assert max(map(len, demo.stdout.partition("Warnings")[0].splitlines())) <= 80


def test_demo_fails_where_verification_does(tmp_path: Path) -> None:
    """Without a readable CA bundle no key can be fetched: the exit status is 1.

    What an expired token is refused for, it tells without one.
    """
    failing = run(SSL_CERT_FILE=str(tmp_path / "missing.pem"))
    assert failing.returncode == 1
    good = [name for name, mark in ROW.findall(failing.stdout) if mark != "FAILED"]
    assert len(good) <= 1
    assert all("Expired" in name for name in good)
    assert failing.stdout.endswith("\nFAILED\n")


def test_one_wrong_step_fails_the_demo() -> None:
    """A step with another outcome, or with other requests, is named and fails the whole."""
    names = runpy.run_path(str(DEMO))
    report = names["report"]
    right = names["Step"]("Right", "alice", "alice", ("200", ""), ("200", ""), 0.001)
    for wrong in (
        replace(right, title="Wrong", outcome="bob"),
        replace(right, title="Wrong", asked=("200 x2", "")),
    ):
        console = Console(file=io.StringIO(), record=True)
        assert report([right], "", console)
        assert not report([right, wrong], "", console)
        assert "FAILED Wrong: expected" in console.export_text()
