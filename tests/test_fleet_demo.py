"""The fleet demo: every scene is played, one that ends otherwise is told, all ends."""

import io
import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from auth_jwks.testing import FakeIssuer
from examples.demo import ForwardClock
from examples.fleet_demo import Fleet, running_valkey
from examples.fleet_table import Counts, Scene, report
from tests.environment import unmeasured

ROOT = Path(__file__).parents[1]
DEMO = [sys.executable, "-m", "examples.fleet_demo"]
SCENES = """\
Cold start            fresh x8          1 + 1  1  7
Rotation              fresh x8          1 + 1  1  7
Fetcher killed        fresh x7, killed  2 + 1  1  6
Store down            fresh x7          0 + 0  0  0
New worker, no store  fresh             1 + 1  1  0
Store back, empty     fresh x8          1 + 1  1  7
Provider down         stale x8          2 + 0  0  0
Provider back         fresh x8          1 + 1  1  7
"""
ALL = "8 workers x 2 documents = 16 requests instead of 2"
CONTRAST = {
    "Cold start": ALL,
    "Rotation": ALL,
    "Fetcher killed": "7 workers x 2 documents = 14 requests instead of 3",
    "Store down": "70 good tokens refused",
    "New worker, no store": "1 good token refused",
    "Store back, empty": ALL,
    "Provider down": "80 good tokens refused",
    "Provider back": ALL,
}
SCENE = re.compile(r"^ (\w.*?) +\d+\.\d\d s +\d+\.\d\d s (ok|FAILED) *$", re.MULTILINE)
FETCH = re.compile(r"^ The provider saw worker \d+: discovery, keys\.", re.MULTILINE)
WORKER = re.compile(r"^  (\d+) +(\d+) +(\w+)(.*)$", re.MULTILINE)


def environment(**changes: str) -> dict[str, str]:
    """Return the variables for a run: a proxy that leads nowhere, and no colours by force."""
    plain = {"COLUMNS": "80", "PYTHONIOENCODING": "utf-8", "HTTP_PROXY": "http://proxy.invalid"}
    return unmeasured() | plain | changes


def run(*options: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run the demo as a user does, piped."""
    return subprocess.run(
        [*DEMO, *options], cwd=ROOT, env=environment(**changes), capture_output=True,
        encoding="utf-8", check=False, timeout=170,
    )  # fmt: skip


def is_running(pid: int) -> bool:
    """Tell whether there is a process of that id."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_every_scene_ends_as_it_must() -> None:
    """Piped, the demo prints each scene with its workers and counts as plain text, and ends well.

    One run for all of it, which takes a quarter of a minute.
    """
    demo = run()
    assert (demo.returncode, demo.stderr) == (0, "")
    scenes = SCENE.findall(demo.stdout)
    assert [row.split() for row, _ in scenes] == [row.split() for row in SCENES.splitlines()]
    assert {mark for _, mark in scenes} == {"ok"}
    assert demo.stdout.endswith("\nAll 8 scenes ended as expected.\n")
    states = [state for _, _, state, _ in WORKER.findall(demo.stdout)]
    assert [states.count(state) for state in ("fresh", "stale", "killed")] == [54, 8, 1]
    assert len(states) == 63
    assert len(FETCH.findall(demo.stdout)) == 5
    contrasts = re.findall(r"^ With.*: (\d.*)\.$", demo.stdout, re.MULTILINE)
    assert contrasts == [CONTRAST[scene] for scene in CONTRAST]
    assert "Worker 9 starts" in demo.stdout
    assert "\x1b" not in demo.stdout
    assert [line for line in demo.stdout.splitlines() if line != line.rstrip()] == []
    assert max(map(len, demo.stdout.splitlines())) <= 80
    pids = {int(pid) for _, pid, _, _ in WORKER.findall(demo.stdout)}
    assert len(pids) == 9
    assert not any(map(is_running, pids))


async def test_deviation_ends_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider that is down from the start makes the first scene fail, and no other is played."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    clock, output = ForwardClock(), io.StringIO()
    console = Console(file=output, width=200)
    with FakeIssuer(algorithm="ES256", clock=clock) as provider, running_valkey() as valkey:
        provider.outage(503)
        fleet = Fleet(provider, clock, valkey)
        await fleet.run(console)
    [scene] = fleet.scenes
    assert scene.counts == Counts("KeysUnavailableError x8", 4, 0, fetched=0, stored=0)
    assert not report(fleet.scenes, console)
    text = output.getvalue()
    assert "The provider saw worker" in text
    assert "discovery (503)." in text
    assert "\nFAILED Cold start: expected Counts(workers='fresh x8'" in text
    assert text.endswith("\n1 of 1 scenes did not end as expected.\n")


@pytest.mark.parametrize(
    "change",
    [{"workers": "fresh x7, stale"}, {"discovery": 2}, {"keys": 0}, {"fetched": 8}, {"stored": 0}],
)
def test_one_wrong_count_fails_the_demo(change: dict[str, object]) -> None:
    """Whichever count it is, its scene is named, and the whole has failed."""
    counts = Counts("fresh x8", 1, 1, fetched=1, stored=7)
    right = Scene("Right", counts, counts, 0.1, 0.2)
    wrong = replace(right, title="Wrong", counts=replace(counts, **change))  # type: ignore[arg-type]
    output = io.StringIO()
    console = Console(file=output)
    assert report([right], console)
    assert not report([right, wrong], console)
    assert "FAILED Wrong: expected" in output.getvalue()


def test_help_starts_nothing() -> None:
    """It says what the demo shows and how long it takes, and nothing runs."""
    demo = run("--help")
    assert (demo.returncode, demo.stderr) == (0, "")
    assert "half a minute" in demo.stdout
    assert "Cold start" not in demo.stdout


def test_worker_that_does_not_start_fails_the_demo(tmp_path: Path) -> None:
    """Without a readable CA bundle no worker gets ready: the exit status is 1."""
    demo = run(SSL_CERT_FILE=str(tmp_path / "missing.pem"))
    assert demo.returncode == 1
    assert "did not start: ended (1)" in demo.stderr


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_nothing_outlives_the_demo(ending: signal.Signals) -> None:
    """Stopped amid a scene, it takes its workers and its servers with it, without a traceback."""
    with subprocess.Popen(
        DEMO, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        encoding="utf-8", start_new_session=True,
    ) as demo:  # fmt: skip
        assert demo.stdout is not None
        scene = ""
        while "The provider saw" not in scene:
            line = demo.stdout.readline()
            assert line, "the demo has ended"
            scene += line
        demo.send_signal(ending)
        _, errors = demo.communicate(timeout=60)
    assert (demo.returncode, errors) == (130, "")
    pids = [int(pid) for _, pid, _, _ in WORKER.findall(scene)]
    assert len(pids) == 8
    assert not any(map(is_running, pids))
    # Valkey is of the demo's own process group.
    with pytest.raises(ProcessLookupError):
        os.killpg(demo.pid, 0)


def test_worker_ends_with_its_standard_input() -> None:
    """Nobody is left who could tell it anything."""
    url = "http://127.0.0.1:9"
    settings = {"name": "worker", "discovery_url": url, "issuer": url}
    settings |= {"store": "redis://127.0.0.1:9", "seal": "s" * 32}
    command = [sys.executable, "-m", "examples.fleet_worker"]
    worker = subprocess.run(
        command, cwd=ROOT, input=json.dumps(settings) + "\n", capture_output=True,
        encoding="utf-8", check=False, timeout=60,
    )  # fmt: skip
    assert (worker.returncode, worker.stderr) == (0, "")
    assert json.loads(worker.stdout) == ["settled", "ready"]
