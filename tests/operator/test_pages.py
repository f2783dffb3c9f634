"""The pages for operators name the fields, sections and events that there are."""

import re
from dataclasses import fields
from pathlib import Path
from typing import get_args

from auth_jwks._cache.status import Status, StoreStatus
from auth_jwks.events import Event
from auth_jwks.stores.redis import FORMAT, script

DOCS = Path(__file__).parents[2] / "docs"
SECTIONS = (
    "token-is-refused", "keys-unavailable", "redis-down", "key-leaked", "integrity-key",
    "fleet-not-converged", "what-is-in-redis",
)  # fmt: skip


def page(name: str) -> str:
    """Return the text of a page."""
    return (DOCS / name).read_text(encoding="utf-8")


def names(name: str, heading: str) -> list[str]:
    """Return the first cells of the table under that heading."""
    table = page(name).partition(f"\n| {heading} |\n")[2].partition("\n\n")[0]
    return re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)


def test_fields_in_redis_are_the_scripts() -> None:
    """Field by field, and the parts of the gate in their order."""
    (stated,) = re.findall(r"hash: (.*?)KEYS\[2\]", script(), re.DOTALL)
    bare = re.sub(r"\(.*?\)|--", "", stated, flags=re.DOTALL)
    in_script = {word.strip() for word in bare.split(",")}
    told = names("runbooks.md", "field of the hash | meaning")
    assert set(told) == in_script
    (parts,) = re.findall(r"time to live: ([\w:]+),", script())
    assert names("runbooks.md", "part of the string | meaning") == parts.split(":")
    assert f"PREFIX:{FORMAT}:" in page("runbooks.md")


def test_every_field_of_the_status_is_told() -> None:
    """In the order that it has."""
    told = names("readiness.md", "field | meaning")
    assert told == [field.name for field in fields(Status)]
    told = names("readiness.md", "field of `store` | meaning")
    assert told == [field.name for field in fields(StoreStatus)]


def test_every_field_of_an_event_is_told() -> None:
    """By its name."""
    table = page("freshness.md").partition("\n| event | its fields |\n")[2].partition("\n\n")[0]
    told = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", table, re.MULTILINE))
    assert told.keys() == {event.__name__ for event in get_args(Event)}
    for event in get_args(Event):
        missing = {each.name for each in fields(event)} - set(
            re.findall(r"`(\w+)`", told[event.__name__])
        )
        assert not missing, event


def test_sections_are_where_alerts_lead() -> None:
    """Each has the anchor that others link to."""
    headings = re.findall(r"^## (.+)$", page("runbooks.md"), re.MULTILINE)
    anchors = [heading.lower().replace(" ", "-") for heading in headings]
    assert anchors == [*SECTIONS, "faults"]
