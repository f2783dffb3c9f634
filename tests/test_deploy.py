"""The files for Prometheus and Grafana: they name metrics and labels that exist."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from ruamel.yaml import YAML

from auth_jwks.errors import Reason
from auth_jwks.events import (
    BreakerChanged,
    KeysRefreshed,
    Operation,
    RefreshFailed,
)
from auth_jwks.prometheus import PrometheusObserver

ROOT = Path(__file__).parents[1]
RULES = ROOT / "deploy" / "prometheus" / "auth-jwks.rules.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "auth-jwks.json"
RUNBOOKS = "https://github.com/auth-jwks/auth-jwks/blob/main/docs/runbooks.md"
PAGE = (ROOT / "docs" / "metrics.md").read_text("utf-8")

SCRAPED = {"job", "instance"}  # by Prometheus, of every metric
OPERATIONS: tuple[Operation, ...] = ("refresh", "fetch", "poll", "commit", "fail")
KEYWORDS = {
    "and", "by", "group_right", "histogram_quantile", "increase", "max", "min", "on", "rate", "sum",
    "time",
}  # fmt: skip
SELECTOR = re.compile(r"(\w+)\{([^}]*)\}|\b(auth_jwks_\w+)")
MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"([^"]*)"')
GROUPING = re.compile(r"\b(?:by|on|group_right) \(([^)]*)\)")

Labels = dict[str, dict[str, set[str]]]


def exported() -> Labels:
    """Return the values that each label of each metric has, after all that can happen."""
    registry, source = CollectorRegistry(), "source"
    observer = PrometheusObserver(registry)
    observer.counter(source)("ok")
    observer(KeysRefreshed(source, "provider", 1, (), 0.0, version=1, usable_for=1.0))
    observer(RefreshFailed(source, "timeout", "a reason", 1.0))
    observer(BreakerChanged(source, "redis", "opened"))
    for operation in OPERATIONS:
        with observer.during(operation, source):
            pass
    found: Labels = {}
    for sample in (sample for metric in registry.collect() for sample in metric.samples):
        values = found.setdefault(sample.name, {})
        for label, value in sample.labels.items():
            values.setdefault(label, set()).add(value)
    return found


EXPORTED = exported()


def rules() -> list[dict[str, Any]]:
    """Return the alerts."""
    [group] = YAML(typ="safe", pure=True).load(RULES)["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def panels() -> list[dict[str, Any]]:
    """Return the panels of the dashboard that show something."""
    found = json.loads(DASHBOARD.read_text("utf-8"))["panels"]
    return [panel for panel in found if panel["type"] != "row"]


def queries() -> dict[str, str]:
    """Return each PromQL expression, by where it stands."""
    alerts = {rule["alert"]: rule["expr"] for rule in rules()}
    shown = {
        f"{panel['title']}: {target['refId']}": target["expr"]
        for panel in panels()
        for target in panel["targets"]
    }
    return alerts | shown


QUERIES = queries()


def matches(operator: str, pattern: str, values: Iterable[str]) -> bool:
    """Tell whether what a matcher names is among the values, whatever it does with it."""
    wanted = pattern.split("|") if "~" in operator else [pattern]
    return pattern.startswith("$") or set(wanted) <= {*values}


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_query_names_what_is_exported(query: str) -> None:
    """Metrics, labels, values of labels, and functions are all known."""
    selectors = [(name or bare, inside) for name, inside, bare in SELECTOR.findall(query)]
    assert selectors
    for name, inside in selectors:
        labels = EXPORTED[name]
        for label, operator, value in MATCHER.findall(inside):
            assert label in labels.keys() | SCRAPED
            assert label in SCRAPED or matches(operator, value, labels[label])
    known = SCRAPED.union(*(EXPORTED[name] for name, _ in selectors))
    grouped = {label for each in GROUPING.findall(query) for label in re.findall(r"\w+", each)}
    assert grouped <= known
    bare = GROUPING.sub("", re.sub(r"\{[^}]*\}|\[[^\]]*\]", "", query))
    assert {*re.findall(r"\b[a-z]\w+", bare)} <= KEYWORDS | EXPORTED.keys()


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_query_is_balanced(query: str) -> None:
    """Its brackets close in their order, and a range is a duration."""
    brackets = re.sub(r'"[^"]*"|[^][(){}"]', "", query)
    for _ in brackets:
        brackets = re.sub(r"\(\)|\[\]|\{\}", "", brackets)
    assert brackets == ""
    assert all(
        re.fullmatch(r"\d+m|\$__rate_interval", each) for each in re.findall(r"\[(.*?)\]", query)
    )


def test_every_metric_is_shown() -> None:
    """The dashboard leaves none out."""
    names = {re.sub(r"_(bucket|sum|count|created)$", "", name) for name in EXPORTED}
    names -= {name.removesuffix("_total") for name in names if name.endswith("_total")}
    shown = " ".join(QUERIES.values())
    assert [name for name in names if name not in shown] == []


def test_every_label_value_is_one_of_a_list() -> None:
    """None comes from a token: but for the source, all of them are known before."""
    results = EXPORTED["auth_jwks_verifications_total"]["result"]
    assert results == {"ok", "seen", *Reason}
    assert {label for labels in EXPORTED.values() for label in labels} == {
        "source", "result", "origin", "operation", "reason", "le",
    }  # fmt: skip


def test_the_page_has_every_metric() -> None:
    """With its type and its labels, and a gauge with what several processes make of it."""
    table = re.findall(r"^\| `(auth_jwks_\w+)` \| (\w+) \| (.*?) \| (\w+) \|", PAGE, re.MULTILINE)
    types = {name: (kind, {*re.findall(r"\w+", labels)}) for name, kind, labels, _ in table}
    suffix = {"counter": "_total", "histogram": "_bucket", "gauge": ""}
    named = {name + suffix[kind].removeprefix("_total"): name for name, (kind, _) in types.items()}
    assert {named[name]: {*EXPORTED[name]} - {"le"} for name in named if name in EXPORTED} == {
        name: labels for name, (_, labels) in types.items()
    }
    left = {re.sub(r"_(bucket|sum|count)$", "", name) for name in EXPORTED} - types.keys()
    assert {name for name in left if not name.endswith("_created")} == set()
    assert all((kind == "gauge") == (several != "sum") for _, kind, _, several in table)


def test_alerts_are_documented() -> None:
    """The page has each with its severity, and each links to a runbook of its name."""
    listed = dict(re.findall(r"^\| `(\w+)` \| (critical|warning) \|", PAGE, re.MULTILINE))
    assert listed == {rule["alert"]: rule["labels"]["severity"] for rule in rules()}
    for rule in rules():
        annotations = rule["annotations"]
        assert annotations.keys() == {"summary", "description", "runbook_url"}
        assert annotations["runbook_url"] == f"{RUNBOOKS}#{rule['alert'].lower()}"


def test_alerts_lead_to_a_runbook() -> None:
    """Whoever is woken finds the section."""
    runbooks = (ROOT / "docs" / "runbooks.md").read_text("utf-8")
    assert [it["alert"] for it in rules() if f'id="{it["alert"].lower()}"' not in runbooks] == []


def test_panels_are_complete() -> None:
    """Each has a number of its own, a place of its own, a unit and a word on what it shows."""
    shown = panels()
    assert len({panel["id"] for panel in shown}) == len(shown)
    places = [(each["gridPos"]["x"], each["gridPos"]["y"]) for each in shown]
    assert len({*places}) == len(places)
    assert all(panel["description"] and panel["title"] for panel in shown)
    assert all(panel["fieldConfig"]["defaults"]["unit"] for panel in shown)
