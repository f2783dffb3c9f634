"""docs/command-line.md shows what the command prints, and lists what its JSON has."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from auth_jwks.cli._control import FAULTS, OTHERS
from auth_jwks.testing import FakeIssuer
from tests.cli.conftest import Command
from tests.cli.page import BLOCK, PATH, PLACE, fill, printed, provider_of_the_page

PAGE = PATH.read_text("utf-8")
SHOWN = dict(BLOCK.findall(PAGE))
BLANKS = re.compile(r"\s+")
VARYING = re.compile(r"(?<=ETag'\")[0-9a-f]+|\d+")


@pytest.fixture(scope="module")
def shown_provider() -> Iterator[FakeIssuer]:
    """Return the provider of the page."""
    with provider_of_the_page() as provider:
        yield provider


@pytest.fixture
def folder(shown_provider: FakeIssuer, tmp_path: Path) -> Path:
    """Return the directory of the page, filled by a worker."""
    fill(tmp_path / "store", shown_provider)
    return tmp_path / "store"


def bare(text: str, url: str) -> str:
    """Return a text without what differs from run to run: blanks, ports, numbers, hashes."""
    return VARYING.sub("N", BLANKS.sub("", text.replace(url.partition("//")[2], "HOST")))


@pytest.mark.posix
@pytest.mark.parametrize("line", [line for line in SHOWN if not line.startswith("issuer")])
def test_output_of_the_page(line: str, shown_provider: FakeIssuer, folder: Path) -> None:
    """It is what the command prints, but for numbers and where lines are wrapped."""
    real = printed(line, shown_provider, folder)
    assert bare(SHOWN[line], PLACE) == bare(real, shown_provider.url)
    assert max(map(len, SHOWN[line].splitlines())) <= 80


def test_output_of_the_issuer() -> None:
    """It is a process, whose lines another test reads; the page has them too."""
    [lines] = [text for line, text in SHOWN.items() if line.startswith("issuer")]
    assert lines.splitlines()[0] == PLACE
    assert "/control/token?sub=alice&aud=my-api'" in lines


def test_every_control_is_on_the_page() -> None:
    """No action of the fake provider is left out."""
    assert [name for name in (*FAULTS, *OTHERS) if not re.search(rf"[/`]{name}\b", PAGE)] == []


def listed(payload: str) -> list[str]:
    """Return the fields that the page lists for a payload."""
    [cells] = re.findall(rf"^\| {re.escape(payload)} \| (.*) \|$", PAGE, re.MULTILINE)
    return re.findall(r"`(\w+)`", re.sub(r"\(.*?\)", "", cells))


@pytest.mark.posix
def test_fields_of_the_page(shown_provider: FakeIssuer, folder: Path, command: Command) -> None:
    """Each payload has exactly the fields that the page promises, in their order."""
    url, token = shown_provider.url, shown_provider.sign()
    doctor = command("doctor", url, "--token-file", "-", "--json", stdin=token).json
    store = [command("store", name, str(folder), "--json") for name in ("show", "purge")]
    refresh = command("store", "refresh", str(folder), "--issuer", url, "--json").json
    demo = command("demo", "--json").json
    payloads = {
        "`doctor`": doctor,
        "a finding": doctor["findings"][0],
        "`keys`": command("keys", url, "--json").json,
        "a key": doctor["keys"][0],
        "`verify`, and `token` of `doctor`": doctor["token"],
        "a check": doctor["token"]["checks"][0],
        "`inspect`": command("inspect", "--unverified", "--json", stdin=token).json,
        "`store show`": store[0].json,
        "`store refresh`": refresh,
        "`store purge`": store[1].json,
        "a source": refresh["sources"][0],
        "`demo`": demo,
        "a step": demo["steps"][0],
    }
    assert {name: listed(name) for name in payloads} == {
        name: [*payload] for name, payload in payloads.items()
    }
