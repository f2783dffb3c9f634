"""docs/command-line.md shows what the command prints, and lists what its JSON has."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from auth_jwks import JWKS, FileKeyStore
from auth_jwks.cli._control import FAULTS, OTHERS
from auth_jwks.testing import FakeIssuer, SigningKey
from tests.cli.conftest import Command

PAGE = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text("utf-8")
BLOCK = re.compile(r"^```console\n\$ auth-jwks (.*)\n((?:.*\n)*?)```$", re.MULTILINE)
SHOWN = dict(BLOCK.findall(PAGE))
PLACE, FOLDER = "http://127.0.0.1:8080", "/run/auth-jwks"
BLANKS = re.compile(r"\s+")
VARYING = re.compile(r"(?<=ETag'\")[0-9a-f]+|\d+")


@pytest.fixture(scope="module")
def shown_provider() -> Iterator[FakeIssuer]:
    """Return the provider of the page."""
    keys = [SigningKey.generate("RS256", "2026-11"), SigningKey.generate("ES384", "2026-12")]
    with FakeIssuer(keys=keys) as provider:
        provider.publish(keys[0].jwk(kid="enc", use="enc", alg="RSA-OAEP"))
        provider.cache("max-age=3600")
        yield provider


@pytest.fixture
def folder(shown_provider: FakeIssuer, tmp_path: Path) -> Path:
    """Return the directory of the page, filled by a worker."""

    async def work() -> None:
        store = FileKeyStore(tmp_path / "store")
        async with store, JWKS(issuer=shown_provider.issuer, aud="x", store=store) as jwks:
            await jwks.refresh()

    asyncio.run(work())
    return tmp_path / "store"


def printed(line: str, provider: FakeIssuer, folder: Path, command: Command) -> str:
    """Return what the command of the page prints here, with the names of the page."""
    words, _, token = line.partition(" < ")
    argv = words.replace(PLACE, provider.url).replace(FOLDER, str(folder)).split()
    run = command(*argv, stdin=provider.sign(aud="account") if token else "")
    return (run.out + run.err).replace(provider.url, PLACE).replace(str(folder), FOLDER)


def bare(text: str) -> str:
    """Return a text without what differs from run to run: blanks, ports, numbers, hashes."""
    text = BLANKS.sub("", text.replace(PLACE.partition("//")[2], "HOST"))
    return VARYING.sub("N", text)


@pytest.mark.posix
@pytest.mark.parametrize("line", [line for line in SHOWN if not line.startswith("issuer")])
def test_output_of_the_page(
    line: str, shown_provider: FakeIssuer, folder: Path, command: Command
) -> None:
    """It is what the command prints, but for numbers and where lines are wrapped."""
    real = printed(line, shown_provider, folder, command)
    host = shown_provider.url.partition("//")[2]
    assert bare(SHOWN[line]) == bare(real.replace(host, "HOST"))
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
