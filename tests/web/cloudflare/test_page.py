"""docs/cloudflare.md lists the parameters, the fields and the calls."""

import inspect
import re
from pathlib import Path

import pytest

from auth_jwks.cloudflare import CfaAuthMiddleware, CloudFlareTokenValidation, Identity

PAGE = (Path(__file__).parents[3] / "docs" / "cloudflare.md").read_text(encoding="utf-8")


def parameters_of(section: str) -> dict[str, object]:
    """Return the parameters that a section's first such table lists, with their defaults."""
    start = PAGE.index("\n| parameter | default |", PAGE.index(f"\n## {section}\n"))
    table = PAGE[start : PAGE.index("\n\n", start)]
    rows = re.findall(r"^\| `(\w+)` \| (?:`(.+?)`)? ?\| .+ \|$", table, re.MULTILINE)
    return {name: default or "inspect._empty" for name, default in rows}


@pytest.mark.parametrize(
    ("section", "documented"),
    [("Calls", CloudFlareTokenValidation), ("The middleware", CfaAuthMiddleware)],
)
def test_the_page_lists_the_parameters(section: str, documented: type) -> None:
    """With their defaults, in order, and no others."""
    actual = inspect.signature(documented).parameters
    stated = parameters_of(section)
    assert list(stated) == list(actual)
    for name, each in actual.items():
        default = each.default
        shown = "inspect._empty" if default is inspect.Parameter.empty else repr(default)
        assert str(stated[name]).replace('"', "'") == shown, name


def test_the_page_lists_the_fields() -> None:
    """All those of a profile, and the public methods."""
    table = PAGE.partition("\n| field of `Identity` |")[2].partition("\n\n")[0]
    first_cells = [row.split("|")[1] for row in table.splitlines()[2:]]
    fields = [name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)]
    assert sorted(fields) == sorted(Identity.__match_args__)
    table = PAGE.partition("\n| call | what it returns |")[2].partition("\n\n")[0]
    methods = re.findall(r"^\| `(?:await )?(\w+)\(", table, re.MULTILINE)
    functions = {name for name, it in vars(CloudFlareTokenValidation).items() if callable(it)}
    assert set(methods) == {name for name in functions if name[0] != "_"} - {"aclose"}
