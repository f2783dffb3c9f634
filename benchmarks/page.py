"""Writes the measured numbers into README.md and docs/performance.md, and draws the pictures.

`<!-- question: token -->` is followed by the table of that question, `<!-- fleet -->` by all rows
of results/fleet.json, `<!-- cost: RS256 -->` by what such a token costs here and with PyJWT.
`<!-- end -->` ends each.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

from benchmarks.charts import bars
from benchmarks.command import RESULTS
from benchmarks.questions import LIMIT, QUESTIONS, Question
from benchmarks.report import Row, failed, multiple, number

__all__ = ["PAGES", "drawn", "found", "rendered", "results", "written"]

ROOT = RESULTS.parents[1]
PAGES = (ROOT / "README.md", ROOT / "docs" / "performance.md")
TABLE = re.compile(r"(<!-- (\w+)(?:: ([^\n]+))? -->\n).*?(<!-- end -->)", re.DOTALL)
SIGHTS = {"seen before": "A repeat", "seen first": "A token at first sight"}
BESIDE = {
    "bare cryptography": "bare check of the signature", "PyJWT": "PyJWT",
    "PyJWKClient": "PyJWT with its PyJWKClient",
}  # fmt: skip
HEAD = "| | measured | target, or beside what | ratio | |\n|---|--:|--:|--:|---|\n"


def rendered(page: str) -> str:
    """Return the page with the numbers of the last run."""

    def table(place: re.Match[str]) -> str:
        match place[2]:
            case "cost":
                text = _cost(place[3])
            case "question":
                text = _answer(QUESTIONS[place[3]])
            case name:
                rows = results(name)
                shown = {f"{row.scenario}: {row.what}": row for row in rows}
                text = f"{_measured_on([name])}\n\n{_table(shown)}"
        return f"{place[1]}{text}\n{place[4]}"

    return TABLE.sub(table, page)


def found(row: str) -> Row | None:
    """Return a row of the results as `PROGRAM | SCENARIO | NAME` tells it; None if it is missing.

    `limit of` such a row has as measured what that row is held to.
    """
    program, _, name = row.removeprefix(LIMIT).partition(" | ")
    for each in results(program):
        if fnmatchcase(f"{each.scenario} | {each.what}", name):
            return replace(each, measured=each.limit) if row.startswith(LIMIT) else each
    return None


def drawn(question: Question) -> list[Row]:
    """Return the bars of its picture; what was not measured has none."""
    return [
        replace(row, scenario=panel, what=words)
        for panel, names in question.panels.items()
        for words, name in names.items()
        if (row := found(name))
    ]


def written() -> None:
    """Write the pages and the pictures."""
    for page in PAGES:
        page.write_text(rendered(page.read_text("utf-8")), "utf-8")
    for name, question in QUESTIONS.items():
        if rows := drawn(question):
            bars(RESULTS / f"{name}.svg", question.title, rows, ours=question.ours)


def _content(name: str) -> dict[str, Any]:
    file = RESULTS / f"{name}.json"
    return json.loads(file.read_text("utf-8")) if file.exists() else {"rows": []}


def results(name: str) -> list[Row]:
    """Return the rows of a program's results."""
    calculated = {"ratio", "ok"}
    return [
        Row(**{key: value for key, value in row.items() if key not in calculated})
        for row in _content(name)["rows"]
    ]


def _cost(token: str) -> str:
    lines = []
    for sight, words in SIGHTS.items():
        rows = {row.what: row for row in results("verify") if row.scenario == f"{sight}, {token}"}
        took = [
            f"{name} {number(rows[each].measured)} µs"
            for each, name in BESIDE.items()
            if each in rows and (sight == "seen first" or each != "bare cryptography")
        ]
        ours = number(rows["auth-jwks"].measured)
        lines.append(f"* **{words}: {ours} µs.** Beside it: {', '.join(took)}.")
    return "\n".join([*lines, "", _measured_on(["verify"])])


def _answer(question: Question) -> str:
    shown = {words: row for words, name in question.rows.items() if (row := found(name))}
    others = [row for each in question.programs for row in results(each) if row.rule != "beside"]
    others = [row for row in others if row not in shown.values()]
    told = f"{_measured_on(question.programs)}\n\n{_table(shown)}"
    missed = [f"* {row.scenario}, {row.what}: {_held(row)}" for row in failed(others)]
    if missed:
        return "\n".join(
            [f"{told}\n\nOf {len(others)} further targets these are missed:\n", *missed]
        )
    return f"{told}\n\nAll {len(others)} further targets are kept." if others else told


def _held(row: Row) -> str:
    return f"{_number(row.measured, row)}, {row.rule} {_number(row.limit, row)}"


def _measured_on(programs: Iterable[str]) -> str:
    machines = [machine for each in programs if (machine := _content(each).get("machine"))]

    def told(values: Iterator[Any]) -> str:
        return " and ".join(dict.fromkeys(str(value) for value in values))

    computer = told(f"{each['cpu']}, {each['cores']} cores" for each in machines)
    pythons = told(each["python"] for each in machines)
    days = told(each["date"].partition("T")[0] for each in sorted(machines, key=_date))
    return f"Measured on {computer}, with Python {pythons}, on {days}."


def _date(machine: dict[str, Any]) -> str:
    return str(machine["date"])


def _table(rows: dict[str, Row]) -> str:
    return HEAD + "\n".join(_line(words, row) for words, row in rows.items())


def _line(words: str, row: Row) -> str:
    held_to = f"{row.rule} {_number(row.limit, row)}"
    if row.reference:
        held_to = f"{row.reference}: {_number(row.limit, row)}"
    ratio = "" if row.ratio is None or row.rule == "exactly" else multiple(row.ratio)
    mark = "" if row.rule == "beside" else "kept" if row.ok else "**missed**"
    return f"| {words} | {_number(row.measured, row)} | {held_to} | {ratio} | {mark} |"


def _number(value: float, row: Row) -> str:
    return f"{number(value)} {row.unit}".rstrip()


if __name__ == "__main__":
    written()
