"""What is wrong with the built site: links, pages in no list, what comes from the network."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from posixpath import normpath
from urllib.parse import unquote, urlsplit

from tools.site.html import Page, parsed

__all__ = ["faults", "pages", "unnamed"]

DIRECTIVE = re.compile(r"^::: ([\w.]+)$", re.MULTILINE)
FROM_NETWORK = re.compile(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//")
UNRENDERED = re.compile(r"```|\]\(|^ *(?:\*|\d\.) |^\||\*\*\w+[ .*]", re.MULTILINE)


def pages(site: Path) -> dict[str, Page]:
    """Return each page by the path of its folder, "" for the home page."""
    found = {
        path.parent.relative_to(site).as_posix().removeprefix("."): path
        for path in site.rglob("index.html")
    }
    return {name: parsed(path.read_text(encoding="utf-8")) for name, path in found.items()}


def target(name: str, link: str) -> tuple[str, str] | None:
    """Return path and anchor that a link of a page leads to, None if it leads elsewhere."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return None
    path = normpath(f"{name}/{unquote(parts.path)}" if parts.path else name or ".").lstrip("/")
    return "" if path == "." else path, unquote(parts.fragment)


def faults(site: Path) -> list[str]:
    """Return what is wrong, in words."""
    known = pages(site)
    wrong = [f"/{name}: {fault}" for name in known for fault in _of(name, known, site)]
    return [*wrong, *_unlisted(known), *_styles(site)]


def unnamed(known: dict[str, Page], sources: Path, stubs: Path) -> Iterator[str]:
    """Yield the public names that the reference leaves out of the modules that it shows."""
    shown = {each for name, page in known.items() if name.startswith("api/") for each in page.ids}
    last_parts = {each.rpartition(".")[2] for each in shown if each.startswith("auth_jwks.")}
    for stub in sorted(stubs.glob("*.md")):
        for module in DIRECTIVE.findall(stub.read_text(encoding="utf-8")):
            for name in _exported(sources / module.replace(".", "/")):
                if name not in last_parts:
                    yield f"/api/{stub.stem}: leaves out {module}.{name}"


def _exported(path: Path) -> list[str]:
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    for node in ast.parse(source.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            names: list[str] = ast.literal_eval(node.value)
            return names
    return []


def _of(name: str, known: dict[str, Page], site: Path) -> Iterator[str]:
    page = known[name]
    found = (_broken(name, link, site, known) for link in dict.fromkeys(page.links))
    yield from filter(None, found)
    yield from (fault for each in page.loaded if (fault := _absent(name, each, site)))
    yield from (f"shows {each} without a text in its place" for each in page.unlabelled)
    if unrendered := UNRENDERED.search(page.prose):
        yield f"shows Markdown: {page.prose[max(0, unrendered.start() - 40) :][:80]!r}"
    if not page.opening.startswith("For ") and name != "changelog":
        yield f"does not say whom it is for: {page.opening[:60]!r}"
    if not page.headings:
        yield "has no table of contents"
    if not page.onward:
        yield "does not lead on"
    if not (site / f"{name or 'index'}.md").is_file():
        yield "has no Markdown twin"


def _absent(name: str, resource: str, site: Path) -> str | None:
    if resource.startswith("data:"):
        return None
    where = target(name, resource)
    if where is None:
        return f"loads {resource} from the network"
    return None if (site / where[0]).is_file() else f"loads {resource}, which is not there"


def _broken(name: str, link: str, site: Path, known: dict[str, Page]) -> str | None:
    where = target(name, link)
    if where is None:
        return None
    path, anchor = where
    if path not in known:
        return None if (site / path).is_file() else f"links to {link}, which is not there"
    if anchor and anchor not in known[path].ids:
        return f"links to {link}, and there is no such anchor"
    return None


def _unlisted(known: dict[str, Page]) -> Iterator[str]:
    listed = {target("", link) for link in known[""].nav}
    for name in known.keys() - {"", *(where[0] for where in listed if where)}:
        yield f"/{name}: is in no list of mkdocs.yml"


def _styles(site: Path) -> Iterator[str]:
    for path in site.rglob("*.css"):
        if FROM_NETWORK.search(path.read_text(encoding="utf-8")):
            yield f"/{path.relative_to(site).as_posix()}: loads from the network"
