"""What `make docs` refuses, and how it lays out pages, lists and twins."""

import re
from pathlib import Path

import pytest

from tools.site.checks import faults, pages, unnamed
from tools.site.html import Page
from tools.site.llms import write_llms, write_twins
from tools.site.questions import QUESTIONS
from tools.site.staging import relinked, staged

ROOT = Path(__file__).parents[1]
HOME = """<html><head><title>Home</title>{head}</head><body>
<a class="md-nav__link" href="./">Home</a><a class="md-nav__link" href="other/">Other</a>
<article><p>For readers.</p><h2 id="here">Here</h2>{body}</article>
<a class="md-footer__link" href="other/">Next</a></body></html>"""
OTHER = """<html><head><title>Other - Home</title></head><body>
<article><p>For others.</p><h2 id="there">There</h2><p>Second.</p></article>
<a class="md-footer__link" href="../">Before</a></body></html>"""


def built(folder: Path, head: str = "", body: str = "") -> Path:
    """Return a site of two pages, with that in the first."""
    (folder / "other").mkdir()
    (folder / "index.html").write_text(HOME.format(head=head, body=body))
    (folder / "other" / "index.html").write_text(OTHER)
    (folder / "index.md").write_text("# Home\n")
    (folder / "other" / "index.md").write_text("# Other\n")
    (folder / "dot.png").write_bytes(b"")
    (folder / "site.css").write_text("body { background: url(dot.png) }")
    write_twins(folder, pages(folder))
    return folder


def test_a_good_site_has_no_fault(tmp_path: Path) -> None:
    """Pages, anchors, files and foreign links are fine, and so is data within the page."""
    body = (
        '<a href="other/#there">a</a> <a href="#here">b</a> <a href="dot.png">c</a> '
        '<a href="https://example.com/x">d</a> <img src="dot.png" alt="a dot"> '
        '<img src="data:," alt="nothing"> <pre>**not** [Markdown](x)</pre> 2**52'
    )
    assert faults(built(tmp_path, '<link rel="canonical" href="https://example.com/">', body)) == []


@pytest.mark.parametrize(
    ("head", "body", "fault"),
    [
        ("", '<a href="nowhere/">x</a>', "/: links to nowhere/, which is not there"),
        ("", '<a href="other/#x">x</a>', "/: links to other/#x, and there is no such anchor"),
        ('<script src="https://cdn.example/x.js"></script>', "",
         "/: loads https://cdn.example/x.js from the network"),
        ('<link rel="stylesheet" href="//fonts.example/x.css">', "",
         "/: loads //fonts.example/x.css from the network"),
        ("", '<img src="x.png" alt="x">', "/: loads x.png, which is not there"),
        ("", '<img src="dot.png">', "/: shows dot.png without a text in its place"),
        ("", "<p>a [link](x)</p>", "/: shows Markdown: 'For readers.a [link](x)'"),
    ],
)  # fmt: skip
def test_fault_of_a_page_is_told(head: str, body: str, fault: str, tmp_path: Path) -> None:
    """Each fault is told with its page."""
    assert fault in [each.replace("\\n", "") for each in faults(built(tmp_path, head, body))]


def test_page_must_be_listed_and_say_whom_it_is_for(tmp_path: Path) -> None:
    """A page that nobody lists is not found, and one without an opening is not read."""
    site = built(tmp_path)
    (site / "lost").mkdir()
    (site / "lost" / "index.html").write_text("<article><p>It is here.</p></article>")
    assert faults(site) == [
        "/lost: does not say whom it is for: 'It is here.'",
        "/lost: has no table of contents",
        "/lost: does not lead on",
        "/lost: has no Markdown twin",
        "/lost: is in no list of mkdocs.yml",
    ]


def test_style_must_load_nothing_from_the_network(tmp_path: Path) -> None:
    """A font of somebody else's would tell them of each reader."""
    site = built(tmp_path)
    (site / "site.css").write_text('@import "https://fonts.example/x.css";')
    assert faults(site) == ["/site.css: loads from the network"]


def test_name_that_the_reference_leaves_out_is_told(tmp_path: Path) -> None:
    """A name of `__all__` that has no docstring is not shown, unless the page asks for it."""
    (tmp_path / "auth_jwks" / "y").mkdir(parents=True)
    (tmp_path / "auth_jwks" / "x.py").write_text('__all__ = ["A", "B"]\n')
    (tmp_path / "auth_jwks" / "y" / "__init__.py").write_text("A = 1\n")
    (tmp_path / "x.md").write_text("::: auth_jwks.x\n\n::: auth_jwks.y\n")
    known = {"api/x": Page(ids={"auth_jwks.x.A"}), "other": Page(ids={"auth_jwks.x.B"})}
    told = list(unnamed(known, tmp_path, tmp_path))
    assert told == ["/api/x: leaves out auth_jwks.x.B"]


def test_questions_are_those_of_the_home_page() -> None:
    """`make docs-find` asks what the home page promises an answer to, and for the same answer."""
    home = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    promised = re.findall(r"^\| (.*\?) \| .*?\]\(([^)#]+)\.md", home, re.MULTILINE)
    assert {asked.replace("`", ""): page for asked, page in promised} == {
        question: page for question, (_, page) in QUESTIONS.items()
    }


def test_links_hold_where_the_pages_are_laid_out(tmp_path: Path) -> None:
    """Pages link to pages, pictures come along, and the rest of the repository is linked to."""
    root, folder = tmp_path / "root", tmp_path / "laid"
    (root / "docs" / "start").mkdir(parents=True)
    (root / "src").mkdir()
    (root / "src" / "x.py").write_text("")
    (root / "src" / "x.png").write_bytes(b"png")
    for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"):
        (root / name).write_text("[a](docs/a.md#x)\n")
    (root / "docs" / "a.md").write_text("")
    (root / "docs" / "start" / "b.md").write_text(
        "[a](../a.md#x) [c](../../CHANGELOG.md) [s](../../src/x.py#L1) [f](../../src) [u](https://e)"
        " [n](nowhere.md) [h](#here) ![p](../../src/x.png)\n\n```\n[a](../../src/x.py)\n```\n"
    )
    staged(root, folder)
    repository = "https://github.com/auth-jwks/auth-jwks"
    assert (folder / "start" / "b.md").read_text() == (
        f"[a](../a.md#x) [c](../changelog.md) [s]({repository}/blob/main/src/x.py#L1)"
        f" [f]({repository}/tree/main/src) [u](https://e) [n](nowhere.md) [h](#here)"
        " ![p](../elsewhere/src/x.png)\n\n```\n[a](../../src/x.py)\n```\n"
    )
    assert (folder / "changelog.md").read_text() == "[a](a.md#x)\n"
    assert (folder / "elsewhere" / "src" / "x.png").read_bytes() == b"png"


def test_lists_are_nested_where_the_pages_are_laid_out() -> None:
    """A nested list, a second paragraph and a block of code stay within their item."""
    page = (
        "* a\n  b\n\n  c\n  * d\n    e\n\n1. f\n\n   ```\n   g\n     h\n\n   ```\n\n```\n  i\n```\n"
    )
    assert relinked(page, "docs/a.md", ROOT) == (
        "* a\n    b\n\n    c\n    * d\n        e\n\n1. f\n\n    ```\n    g\n      h\n\n    ```\n\n"
        "```\n  i\n```\n"
    )


def test_programs_get_a_list_and_a_twin_of_each_page(tmp_path: Path) -> None:
    """llms.txt has the sections of the navigation; each entry is a twin and whom it is for."""
    site = tmp_path / "site"
    site.mkdir()
    built(site)
    (tmp_path / "mkdocs.yml").write_text(
        "site_name: It\nsite_description: Does\n  this.\nsite_url: https://e.example/\n"
        "slugify: !!python/object/apply:x.y {kwds: {}}\n"
        "nav:\n  - Home: [index.md]\n  - More:\n      - In full:\n          - Another: other.md\n"
    )
    write_llms(tmp_path, site, pages(site))
    assert (site / "llms.txt").read_text() == (
        "# It\n\n> Does this.\n\n## Home\n\n- [Home](https://e.example/index.md): For readers.\n\n"
        "## More\n\n- [Another](https://e.example/other.md): For others.\n"
    )
    assert (site / "other.md").read_text() == "# Other\n"
