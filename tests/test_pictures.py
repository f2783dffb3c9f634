"""The pictures of the documentation are what the program draws from the code's own numbers."""

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tools.pictures import FOLDER, PICTURES
from tools.pictures.outages import rows

DOCS = Path(__file__).parents[1] / "docs"
SHOWN = re.compile(r"!\[(.*?)\]\([^)]*?([\w-]+)\.svg\)")


@pytest.mark.parametrize("name", PICTURES)
def test_committed_picture_is_what_is_drawn(name: str) -> None:
    """A rule that changes a number draws another picture: python -m tools.pictures."""
    drawn = str(PICTURES[name]())
    assert (FOLDER / f"{name}.svg").read_text(encoding="utf-8") == drawn
    assert ET.fromstring(drawn).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314


def test_each_picture_is_shown_with_a_text_for_those_who_do_not_see_it() -> None:
    """Each drawing is on a page, and no page shows a picture without a text in its place."""
    texts = [path.read_text(encoding="utf-8") for path in DOCS.rglob("*.md")]
    shown = [found for text in texts for found in SHOWN.findall(text)]
    assert PICTURES.keys() <= {name for _, name in shown}
    assert [name for text, name in shown if len(text) < 20] == []


def test_outages_are_those_of_the_specification() -> None:
    """A token is refused in the picture where the table of failures says so, and nowhere else."""
    text = (DOCS / "design.md").read_text(encoding="utf-8")
    _, found, rest = text.partition("\n| store | provider | keys in the worker | effect |\n")
    assert found
    table = [line.strip("|").split("|") for line in rest.partition("\n\n")[0].splitlines()[1:]]
    drawn = {name: {caption: kind for kind, caption, _ in cells} for name, cells, _ in rows()}
    down = {"up down": "The provider is down", "down up": "The store is down",
            "down down": "Both are down"}  # fmt: skip
    for store, provider, keys, effect in table:
        cells = drawn.get(down.get(f"{store.strip()} {provider.strip()}", ""), {})
        if keys.strip() == "yes" and cells:
            assert (cells["keys fresh"], cells["keys stale"]) == ("good", "wait")
            assert "KeysUnavailableError" not in effect
        elif cells:
            assert (cells["no keys"] == "bad") == ("KeysUnavailableError" in effect)
    assert {*down.values()} <= drawn.keys()
