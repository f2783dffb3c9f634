"""Writes the measured numbers into README.md and docs/performance.md, where a comment names them.

`<!-- fleet -->` is followed by all rows of results/fleet.json, `<!-- verify: RS256 -->` by those of
the scenarios that begin with RS256. `<!-- cost: RS256 -->` is followed by what such a token costs,
here and with PyJWT: a line for a token seen before, a line for one seen first. `<!-- end -->` ends
each.
"""

import json
import re
from itertools import groupby
from typing import Any

from benchmarks.command import RESULTS
from benchmarks.report import multiple, number

__all__ = ["PAGES", "rendered"]

ROOT = RESULTS.parents[1]
PAGES = (ROOT / "README.md", ROOT / "docs" / "performance.md")
TABLE = re.compile(r"(<!-- (\w+)(?:: ([^\n]+))? -->\n).*?(<!-- end -->)", re.DOTALL)
SIGHTS = {"seen before": "seen before", "seen first": "seen for the first time"}


def rendered(page: str) -> str:
    """Return the page with the numbers of the last run."""

    def table(found: re.Match[str]) -> str:
        if found[2] == "cost":
            return f"{found[1]}{_cost(found[3])}\n{found[4]}"
        content = json.loads((RESULTS / f"{found[2]}.json").read_text("utf-8"))
        rows = [row for row in content["rows"] if row["scenario"].startswith(found[3] or "")]
        return f"{found[1]}{_measured_on(content['machine'])}\n\n{_table(rows)}\n{found[4]}"

    return TABLE.sub(table, page)


def _cost(token: str) -> str:
    rows = json.loads((RESULTS / "verify.json").read_text("utf-8"))["rows"]
    lines = []
    for sight, words in SIGHTS.items():
        of = {row["what"]: row for row in rows if row["scenario"] == f"{sight}, {token}"}
        ours, pyjwt, client = (
            f"{number(of[name]['measured'])} µs" for name in ("auth-jwks", "PyJWT", "PyJWKClient")
        )
        took = f"PyJWT takes {pyjwt}, PyJWT with its PyJWKClient {client}."
        lines.append(f"* **A token {words}: {ours}.** {took}")
    return "\n".join(lines)


def _measured_on(machine: dict[str, Any]) -> str:
    day = machine["date"].partition("T")[0]
    cores, python = machine["cores"], machine["python"]
    return f"{machine['cpu']}, {cores} cores, Python {python}, {day}:"


def _table(rows: list[dict[str, Any]]) -> str:
    lines = ["| | measured | held to | ratio | |", "|---|--:|--:|--:|---|"]
    for scenario, group in groupby(rows, lambda row: str(row["scenario"])):
        lines.append(f"| **{scenario}** | | | | |")
        lines += [_line(row) for row in group]
    return "\n".join(lines)


def _line(row: dict[str, Any]) -> str:
    measured, limit = (
        f"{number(row[name])} {row['unit']}".rstrip() for name in ("measured", "limit")
    )
    ratio = "" if row["ratio"] is None else multiple(row["ratio"])
    mark = "" if row["rule"] == "beside" else "ok" if row["ok"] else "**missed**"
    return f"| {row['what']} | {measured} | {row['rule']} {limit} | {ratio} | {mark} |"


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(rendered(page.read_text("utf-8")), "utf-8")
