"""docs/security.md: every attack has an answer, and a test that exists."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/security.md").read_text(encoding="utf-8")
POLICY = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
HEADING = "| attack | known from | what stops it here | shown by |"
NAMED = re.compile(r"`([\w/]+\.py)::(test_\w+)`")


def tables(heading: str) -> list[list[str]]:
    """Return the cells of each row below that heading, wherever it stands."""
    found = []
    for rest in PAGE.split(f"\n{heading}\n")[1:]:
        lines = rest.partition("\n\n")[0].splitlines()[1:]
        found += [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return found


ATTACKS = tables(HEADING)


@cache
def defined_in(path: Path) -> frozenset[str]:
    """Return the names of the tests that pytest collects from a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in tree.body if isinstance(node, functions))


@pytest.mark.parametrize("row", ATTACKS, ids=lambda row: row[0][:40])
def test_attack_has_an_answer_and_tests_that_exist(row: list[str]) -> None:
    """No cell is empty, and the last one names tests and nothing else."""
    assert len(row) == 4
    assert all(row), row
    shown = row[3].split("<br>")
    named = [NAMED.fullmatch(each) for each in shown]
    assert all(named), row[3]
    for path, name in NAMED.findall(row[3]):
        assert name in defined_in(ROOT / "tests" / path), f"{path}::{name}"


def test_no_attack_is_listed_twice() -> None:
    """Each has one line."""
    attacks = [row[0] for row in ATTACKS]
    assert len(attacks) == len(set(attacks)) > 70


def test_advisories_are_well_formed() -> None:
    """Each has the number of a CVE, and the library it is of stands behind it."""
    for _, known, _, _ in ATTACKS:
        without = re.sub(r"CVE-\d{4}-\d{4,7}(, CVE-\d{4}-\d{4,7})* \([\w. ,-]+\)", "", known)
        assert "CVE" not in without, known


def test_every_section_of_the_best_practices_is_there() -> None:
    """All threats and rules of RFC 8725, and what its successor adds."""
    stated = set(re.findall(r"§([23]\.\d+)", " ".join(row[1] for row in ATTACKS)))
    threats = {f"2.{number}" for number in range(1, 14)}
    assert threats <= stated
    rules = tables("| rule | here |")
    assert [re.findall(r"§(3\.\d+)", rule) for rule, _ in rules] == [
        [f"3.{number}"] for number in range(1, 15)
    ]
    assert all(here for _, here in rules)


def test_every_attacker_has_limits() -> None:
    """Who can what, and who can't; only what remains may be nothing."""
    attackers = tables("| attacker | can | cannot | what remains, and what you can do |")
    assert len(attackers) >= 5
    assert all(len(row) == 4 and all(row[:3]) for row in attackers)


def test_policy_and_page_lead_to_each_other() -> None:
    """One tells how to report, the other what is promised, and neither repeats the other."""
    assert "(docs/security.md)" in POLICY
    assert "(../SECURITY.md)" in PAGE
    assert "| attacker |" not in POLICY
    assert "days" not in PAGE.partition("## What is trusted")[0]
