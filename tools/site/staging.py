"""Lays out what the generator reads: the pages, with links that hold on the site.

A page links to files of the repository by relative paths, as code hosts read them. On the site, a
link to a page stays a link to that page, a picture from elsewhere is copied, and a link to any
other file leads to the repository.
"""

import re
import shutil
from os.path import normpath, relpath
from pathlib import Path, PurePosixPath

__all__ = ["REPOSITORY", "relinked", "staged"]

REPOSITORY = "https://github.com/auth-jwks/auth-jwks"
# Files of the root that are pages of the site, too.
FROM_ROOT = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "reporting.md",
}
LINK = re.compile(r"(?P<head>!?\[(?:[^\[\]]|\[[^\]]*\])*\]\()(?P<target>[^)\s]+)(?P<tail>\))")
FENCED = re.compile(r"(^ *(`{3,}).*?^ *\2`*$)", re.MULTILINE | re.DOTALL)
PICTURES = {".png", ".svg"}
# Code hosts take two or three blanks for a level of a list, Python's Markdown takes four.
LEVELS = ((re.compile(r"^ {4,5}(?=\S)", re.MULTILINE), " " * 8),
          (re.compile(r"^ {2,3}(?=\S)", re.MULTILINE), " " * 4))  # fmt: skip


def place(path: str) -> str | None:
    """Return where on the site a file of the repository is, None if it is not there."""
    if path in FROM_ROOT:
        return FROM_ROOT[path]
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    if PurePosixPath(path).suffix in PICTURES:
        return f"elsewhere/{path}"
    return None


def relinked(text: str, source: str, root: Path) -> str:
    """Return a page's text with the links that hold on the site; `source` is its path in `root`."""
    here = PurePosixPath(place(source) or source).parent

    def link(found: re.Match[str]) -> str:
        path, mark, anchor = found["target"].partition("#")
        if not path or ":" in path:
            return found[0]
        wanted = normpath(PurePosixPath(source).parent / path).replace("\\", "/")
        if not (root / wanted).exists():
            return found[0]  # the generator reports it
        target = place(wanted) if (root / wanted).is_file() else None
        if target is None:
            kind = "blob" if (root / wanted).is_file() else "tree"
            return f"{found['head']}{REPOSITORY}/{kind}/main/{wanted}{mark}{anchor}{found['tail']}"
        return f"{found['head']}{relpath(target, here)}{mark}{anchor}{found['tail']}"

    parts = FENCED.split(text)  # prose, a fenced block, its fence, prose, ...
    return "".join(
        indented(LINK.sub(link, part)) if number % 3 == 0 else shifted(part)
        for number, part in enumerate(parts)
        if number % 3 != 2
    )


def indented(prose: str) -> str:
    """Return prose with four blanks for each level of a list."""
    for level, blanks in LEVELS:
        prose = level.sub(blanks, prose)
    return prose


def shifted(block: str) -> str:
    """Return a fenced block with four blanks in front, if it is within a list."""
    depth = len(block) - len(block.lstrip(" "))
    return (
        re.sub(r"^(?=.)", " " * (4 - depth), block, flags=re.MULTILINE)
        if depth in {2, 3}
        else block
    )


def staged(root: Path, folder: Path) -> None:
    """Make `folder` anew: the pages of `root` and what they show."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(root / "docs", folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    sources = [path.relative_to(root).as_posix() for path in (root / "docs").rglob("*.md")]
    for source in [*sources, *FROM_ROOT]:
        target = place(source)
        if target is None:
            continue
        text = (root / source).read_text(encoding="utf-8")
        (folder / target).write_text(relinked(text, source, root), encoding="utf-8")
        for picture in elsewhere(text, source, root):
            copy = folder / f"elsewhere/{picture}"
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / picture, copy)


def elsewhere(text: str, source: str, root: Path) -> set[str]:
    """Return the pictures outside of `docs` that a page shows."""
    targets = {found["target"] for found in LINK.finditer(text) if ":" not in found["target"]}
    paths = {normpath(PurePosixPath(source).parent / each).replace("\\", "/") for each in targets}
    return {
        path for path in paths
        if PurePosixPath(path).suffix in PICTURES
        and not path.startswith("docs/")
        and (root / path).is_file()
    }  # fmt: skip
