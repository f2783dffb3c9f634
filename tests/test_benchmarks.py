"""The benchmarks: they say what was measured, and what was missed. Nothing here is timed."""

import json
import re
import subprocess
import sys
from collections import Counter
from itertools import groupby
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchmarks.__main__ import PROGRAMS
from benchmarks.command import RESULTS
from benchmarks.page import PAGES, drawn, found, rendered, results
from benchmarks.questions import QUESTIONS
from benchmarks.report import Row, failed, number, saved
from tests.environment import unmeasured

ROOT = Path(__file__).parents[1]


def run(*words: object) -> subprocess.CompletedProcess[str]:
    """Run the fleet benchmark at its smallest size, piped."""
    command = [sys.executable, "-m", "benchmarks.fleet", "--quick", *map(str, words)]
    return subprocess.run(
        command, cwd=ROOT, env=unmeasured() | {"COLUMNS": "80"}, capture_output=True, check=False,
        encoding="utf-8", timeout=120,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["cold", "hour"])
def test_fleet_is_measured(tmp_path: Path, name: str) -> None:
    """It prints a table, and writes the same as JSON, with the machine, where it is told to."""
    done = run("--output", tmp_path, "--slack", 60, name)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("\nEvery target is met.\n")
    result = json.loads((tmp_path / "fleet.json").read_text("utf-8"))
    assert {"cpu", "cores", "python", "libraries", "date"} <= result["machine"].keys()
    for row in result["rows"]:
        assert row["ok"]
        assert row["what"] in done.stdout
        assert row["scenario"] in done.stdout


def test_missed_target_is_told(tmp_path: Path) -> None:
    """No worker is served a minute before it starts: the table says so, and the exit status."""
    done = run("--output", tmp_path, "--slack", -60, "cold")
    assert done.returncode == 1
    assert "MISSED cold start, 2 processes: last one served: " in done.stdout
    result = json.loads((tmp_path / "fleet.json").read_text("utf-8"))
    assert "last one served" in {row["what"] for row in result["rows"] if not row["ok"]}


def test_unknown_scenario_is_refused(tmp_path: Path) -> None:
    """A slip of the keyboard measures nothing."""
    done = run("--output", tmp_path, "could")
    assert done.returncode == 2
    assert "no such scenario: could" in done.stderr


def test_targets_are_kept_or_missed() -> None:
    """A count is held to exactly its target, a time to at most that, a comparison to nothing."""
    kept = [
        Row("a", "count", 1, "exactly", 1),
        Row("a", "time", 1.0, "at most", 1.1, "s"),
        Row("a", "other", 5, "beside", 1),
    ]
    missed = [Row("a", "count", 2, "exactly", 1), Row("a", "time", 1.2, "at most", 1.1, "s")]
    assert failed(kept + missed) == missed
    assert [row.ratio for row in kept[:2]] == [1.0, pytest.approx(1 / 1.1)]


def test_results_have_what_is_kept(tmp_path: Path) -> None:
    """A row with a target is kept always, a comparison if it says so; each is one line."""
    rows = [
        Row("a", "target", 1.23456789, "at most", 2, "s", kept=False),
        Row("a", "headline", 3, "beside", 2, "", "another"),
        Row("a", "detail", 3, "beside", 2, kept=False),
    ]
    saved(tmp_path, "some", rows, {"cpu": "some"}, rounds=3)
    text = (tmp_path / "some.json").read_text("utf-8")
    content = json.loads(text)
    assert content["settings"] == {"rounds": 3}
    assert [row["what"] for row in content["rows"]] == ["target", "headline"]
    assert content["rows"][0]["measured"] == 1.23457
    assert content["rows"][1]["reference"] == "another"
    assert len(text.splitlines()) == len(content["rows"]) + 6


def test_results_are_short() -> None:
    """Somebody reads them, and their differences."""
    lines = [
        line for file in RESULTS.glob("*.json") for line in file.read_text("utf-8").split("\n")
    ]
    assert len(lines) < 1500


def test_every_program_is_run() -> None:
    """What `make bench` leaves out only prints, and takes more than a minute."""
    programs = {file.parent.name for file in RESULTS.parent.glob("*/__main__.py")}
    assert programs == {*PROGRAMS, "leaked_key"}


def test_unknown_program_is_refused() -> None:
    """A slip of the keyboard measures nothing, and is told what there is."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "verfiy"], cwd=ROOT, capture_output=True, check=False,
        encoding="utf-8", timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert f"no such benchmark: verfiy; there are {', '.join(PROGRAMS)}" in done.stderr


def test_pages_show_what_was_measured() -> None:
    """Their numbers are those of the last run, and of nothing else; no result is left out."""
    texts = [page.read_text("utf-8") for page in PAGES]
    assert [rendered(text) for text in texts] == texts
    shown = re.findall(r"^<!-- (\w+)(?:: (.+))? -->$", "".join(texts), re.MULTILINE)
    assert {name for kind, name in shown if kind == "question"} == QUESTIONS.keys()
    programs = {each for question in QUESTIONS.values() for each in question.programs}
    named = {kind for kind, _ in shown} - {"question", "cost", "end"}
    assert {file.stem for file in RESULTS.glob("*.json")} == programs | named


def test_each_question_has_one_screen() -> None:
    """It has a few sentences, a picture with a text in its place, and a table of ten rows."""
    _, *sections = PAGES[1].read_text("utf-8").split("\n## ")
    for section in sections:
        assert len(re.findall(r"^!\[.{20,}\]\(\S+\)$", section, re.MULTILINE)) == 1
        assert section.count("![") == 1
        assert section.count("\n<!-- end -->") == 1
        lines = re.findall(r"^\|.*\|$", section, re.MULTILINE)
        assert 3 <= len(lines) <= 2 + 10
        words = section.partition("![")[0]
        assert words.count("\n") < 8


@pytest.mark.parametrize("name", QUESTIONS)
def test_answer_is_complete(name: str) -> None:
    """Every row of its table was measured, and every bar of its picture."""
    question = QUESTIONS[name]
    names = [
        *question.rows.values(),
        *(row for bars in question.panels.values() for row in bars.values()),
    ]
    assert [row for row in names if found(row) is None] == []
    assert {row.what for row in drawn(question)} >= {*question.ours}


@pytest.mark.parametrize("name", QUESTIONS)
def test_picture_shows_what_was_measured(name: str) -> None:
    """It has every bar's name and number, in one order: python -m benchmarks.page."""
    drawing = ET.fromstring((RESULTS / f"{name}.svg").read_text("utf-8"))  # noqa: S314 - our own
    texts = [text.strip() for text in drawing.itertext()]
    bars = drawn(QUESTIONS[name])
    names = [text for text in texts if text in {bar.what for bar in bars}]
    assert Counter(names) == Counter(bar.what for bar in bars)
    assert Counter(texts) >= Counter(number(bar.measured) for bar in bars)
    order = [*dict.fromkeys(bar.what for bar in bars)]
    for _, panel in groupby(bars, lambda bar: bar.scenario):
        shown, names = names[: (length := len([*panel]))], names[length:]
        assert shown == sorted(shown, key=order.index)


def test_missed_targets_stay_visible() -> None:
    """One that is in no table is told below it."""
    page = PAGES[1].read_text("utf-8")
    for question in QUESTIONS.values():
        shown = [found(row) for row in question.rows.values()]
        for row in failed([row for each in question.programs for row in results(each)]):
            told = f"{row.scenario}, {row.what}: {number(row.measured)}"
            assert row in shown or told in page
    missed = [row for question in QUESTIONS.values() for row in map(found, question.rows.values())]
    assert page.count("**missed**") >= len(failed([row for row in missed if row]))
