"""One page of the built site, as far as the checks ask."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

__all__ = ["Page", "parsed"]

# Attributes by which a page loads something by itself.
LOADING = {
    "audio": "src", "embed": "src", "iframe": "src", "img": "src", "link": "href", "object": "data",
    "script": "src", "source": "src", "video": "src",
}  # fmt: skip
# What a `link` names for whoever wants it, without loading it.
NAMING = {"alternate", "canonical", "describedby", "next", "prev"}
# Words that are no running text, where a mark of Markdown is what it says.
VERBATIM = {"code", "h1", "h2", "h3", "h4", "pre", "script", "style"}


@dataclass
class Page:
    """What a page has."""

    title: str = ""
    opening: str = ""
    prose: str = ""
    headings: int = 0
    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    nav: list[str] = field(default_factory=list)
    onward: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)
    unlabelled: list[str] = field(default_factory=list)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.page = Page()
        self.open: list[str] = []
        self.inside_article = False
        self.paragraphs = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        page, classes = self.page, given.get("class", "").split()
        page.ids |= {given[name] for name in ("id", "name") if name in given}
        if tag in LOADING and given.get("rel", "") not in NAMING and given.get(LOADING[tag]):
            page.loaded.append(given[LOADING[tag]])
        if tag == "a" and "href" in given:
            page.links.append(given["href"])
            if "md-nav__link" in classes:
                page.nav.append(given["href"])
            if "md-footer__link" in classes:
                page.onward.append(given["href"])
        if tag == "img" and not given.get("alt"):
            page.unlabelled.append(given.get("src", ""))
        if tag == "article":
            self.inside_article = True
        if self.inside_article:
            self.paragraphs += tag == "p"
            page.headings += tag == "h2"
        if tag not in {"br", "hr", "img", "input", "link", "meta"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag == "article":
            self.inside_article = False
        while tag in self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "title" in self.open and "svg" not in self.open:
            self.page.title += data
        if not self.inside_article:
            return
        if self.paragraphs == 1 and "p" in self.open:
            self.page.opening += data
        if not VERBATIM.intersection(self.open):
            self.page.prose += data


def parsed(text: str) -> Page:
    """Return what the HTML has."""
    reader = _Reader()
    reader.feed(text)
    return reader.page
