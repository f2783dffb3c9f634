"""`llms.txt` (llmstxt.org) and the Markdown twins: the site for readers that are programs."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tools.site.html import Page

__all__ = ["listed", "write_llms", "write_twins"]

Nav = list[Any]


def listed(nav: Nav) -> Iterator[tuple[str, str]]:
    """Yield title and path of each page of a list, those of lists within it included."""
    for entry in nav:
        if isinstance(entry, str):
            yield "", entry
            continue
        for title, what in entry.items():
            if isinstance(what, str):
                yield title, what
            else:
                yield from listed(what)


def settings(root: Path) -> dict[str, Any]:
    """Return what mkdocs.yml says; its tags of Python stay unread."""
    loaded: dict[str, Any] = YAML(typ="rt").load(root / "mkdocs.yml")
    return loaded


def write_twins(site: Path, pages: dict[str, Page]) -> None:
    """Give each page a twin beside its folder: `fleet.md` beside `fleet/`."""
    for name in filter(None, pages):
        shutil.copyfile(site / name / "index.md", site / f"{name}.md")


def write_llms(root: Path, site: Path, pages: dict[str, Page]) -> None:
    """Write the list of all twins, in the order and under the titles of the site's navigation."""
    said = settings(root)
    lines = [f"# {said['site_name']}", "", f"> {' '.join(str(said['site_description']).split())}"]
    for section in said["nav"]:
        for title, what in section.items():
            lines += ["", f"## {title}", ""]
            for short, path in listed(what):
                page = pages[path.removesuffix(".md").removesuffix("index").rstrip("/")]
                named = short or page.title.partition(" - ")[0]
                lines.append(
                    f"- [{named}]({said['site_url']}{path}): {' '.join(page.opening.split())}"
                )
    (site / "llms.txt").write_text("\n".join([*lines, ""]), encoding="utf-8")
