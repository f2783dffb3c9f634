"""The pages of docs/providers, taken apart into the blocks of code that they print."""

import re
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parents[2] / "docs" / "providers"
TEXTS = {path.stem: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.md"))}
INDEX = TEXTS.pop("index")
MISTAKES = "Common mistakes"

PART = re.compile(
    r"^(?:```(?P<language>\w+)\n(?P<code>.*?)^```$|(?P<marks>##+) (?P<title>[^\n]+)$)",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    """One block of code, the headings above it, and in what language it is."""

    section: str
    heading: str
    language: str
    code: str

    @property
    def is_of_a_mistake(self) -> bool:
        """Whether the block shows what goes wrong."""
        return self.section == MISTAKES


def blocks(page: str) -> list[Block]:
    """Return the blocks of a page in their order."""
    found, section, heading = [], "", ""
    for each in PART.finditer(TEXTS[page]):
        if each["marks"] == "##":
            section, heading = each["title"], ""
        elif each["marks"]:
            heading = each["title"]
        else:
            found.append(Block(section, heading, each["language"], each["code"]))
    return found


def sections(page: str) -> list[str]:
    """Return the headings of a page's sections."""
    return re.findall(r"^## (.+)$", TEXTS[page], re.MULTILINE)


def mistakes(page: str) -> list[str]:
    """Return the headings of a page's mistakes."""
    _, _, part = TEXTS[page].partition(f"\n## {MISTAKES}\n")
    return re.findall(r"^### (.+)$", re.split(r"^## ", part, flags=re.MULTILINE)[0], re.MULTILINE)


class Script:
    """A page's code, run from top to bottom as one program, with files of the test for its own."""

    def __init__(self, files: dict[str, str], *, threads: bool = False) -> None:
        self.names: dict[str, Any] = {}
        self._files = files
        self._printed: dict[str, str] = {}
        self._threads = threads

    def run(self, code: str) -> None:
        """Run a block after those before it."""
        for constant, path in self._files.items():
            for printed in re.findall(rf'^{constant} = "(.*)"$', code, re.MULTILINE):
                self._printed[path] = printed
                code = code.replace(f'{constant} = "{printed}"', f"{constant} = {path!r}")
        if self._threads:
            code = code.replace("from auth_jwks import JWKS", "from auth_jwks.sync import SyncJWKS")
            code = code.replace("= JWKS(", "= SyncJWKS(")
        exec(code, self.names)  # noqa: S102 - the document's own code

    def as_printed(self, text: str) -> str:
        """Return a text with the page's paths for those of the files."""
        for path, printed in self._printed.items():
            text = text.replace(path, printed)
        return text


def is_verifier(block: Block) -> bool:
    """Whether a block makes a verifier."""
    return block.language == "python" and "\njwks = JWKS(" in f"\n{block.code}"


def is_guard(block: Block) -> bool:
    """Whether a block guards a route."""
    return block.language == "python" and "\napp = FastAPI()" in block.code
