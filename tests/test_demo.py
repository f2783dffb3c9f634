"""The demo: every step is taken, and one that does otherwise is told."""

import io
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from examples.demo import Step, report

ROOT = Path(__file__).parents[1]
STEPS = """\
First token                   alice, fresh keys      200     200
The same token again          alice, fresh keys
100 tokens, new worker        alice x100             200     200
First token of a new key      alice, fresh keys      200     200
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
ROW = re.compile(r"^(\w.*?) +\d+\.\d ms (ok|FAILED)$", re.MULTILINE)
ALONE = re.compile(r"^  PyJWT alone +(\w.*)$", re.MULTILINE)


def run(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the demo as a user does, piped."""
    variables = {name: value for name, value in os.environ.items() if name != "FORCE_COLOR"}
    variables |= {"COLUMNS": "80", "PYTHONIOENCODING": "utf-8", **environment}
    return subprocess.run(
        [sys.executable, "-m", "examples.demo", *options], cwd=ROOT, env=variables,
        capture_output=True, encoding="utf-8", check=False, timeout=170,
    )  # fmt: skip


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
    assert demo.stdout.endswith("\nAll 13 steps ended as expected.\n")


def test_each_step_says_what_it_is_without_the_library(
    demo: subprocess.CompletedProcess[str],
) -> None:
    """What PyJWT alone did with the same tokens was measured, not written down."""
    alone = [line.split() for line in ALONE.findall(demo.stdout)]
    assert len(alone) == len(STEPS.splitlines())
    assert alone[0] == ["alice", "200"]
    assert "alice" not in alone[8] + alone[9]


def test_stale_service_is_warned_of_once(demo: subprocess.CompletedProcess[str]) -> None:
    """A hundred and one tokens were verified with stale keys, and one line of the log says so."""
    assert demo.stdout.count("serving stale keys") == 1


def test_demo_is_plain_text_when_piped(demo: subprocess.CompletedProcess[str]) -> None:
    """Into a pipe go no colours, no line beyond 80 columns, and no blanks at its end."""
    assert "\x1b" not in demo.stdout
    lines = demo.stdout.splitlines()
    assert [line for line in lines if len(line) > 80 or line != line.rstrip()] == []


def test_words_are_explained_before_they_are_used(demo: subprocess.CompletedProcess[str]) -> None:
    """The first line is a title; the statuses are told above the table; log lines stay whole."""
    before, _, after = demo.stdout.partition("First token")
    assert before.startswith("One worker and its provider, step by step\n")
    assert {"200:", "304:", "503"} <= {*before.split()}
    addresses = re.findall(r"http\S+", after)
    assert addresses
    assert all(".well-known/openid-configuration" in address for address in addresses)


def test_help_starts_nothing() -> None:
    """It says what the demo shows and how long it takes, and nothing runs."""
    demo = run("--help")
    assert (demo.returncode, demo.stderr) == (0, "")
    assert "few seconds" in demo.stdout
    assert "First token" not in demo.stdout


def test_demo_fails_where_verification_does() -> None:
    """With a proxy that nobody can use no key is fetched: the exit status is 1.

    What an expired token is refused for, it tells without one.
    """
    failing = run(HTTP_PROXY="ftp://proxy.invalid")
    assert failing.returncode == 1
    good = [name for name, mark in ROW.findall(failing.stdout) if mark != "FAILED"]
    assert len(good) <= 1
    assert all("Expired" in name for name in good)
    assert failing.stdout.endswith(" of 13 steps did not end as expected.\n")


def test_one_wrong_step_fails_the_demo() -> None:
    """A step with another outcome, or with other requests, is named and fails the whole."""
    right = Step("Right", "alice", "alice", ("200", ""), ("200", ""), 0.001)
    for wrong in (
        replace(right, title="Wrong", outcome="bob"),
        replace(right, title="Wrong", asked=("200 x2", "")),
    ):
        output = io.StringIO()
        console = Console(file=output)
        assert report([right], "", console)
        assert not report([right, wrong], "", console)
        assert "FAILED Wrong: expected" in output.getvalue()
