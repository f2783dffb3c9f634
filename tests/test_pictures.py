"""The pictures of the documentation are what the program draws from the code's own numbers."""

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tools.pictures import FOLDER, PICTURES

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
