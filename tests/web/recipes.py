"""The recipes of docs/flask.md and docs/django.md as they are deployed, behind a real server.

Each is a package `shop`.
"""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from auth_jwks.testing import FakeIssuer
from tests.web.status_table import AUDIENCE, REFUSED, STRANGE, Answer, answer_of, answers, repeated

ROOT = Path(__file__).parents[2]
PAGES = {
    name: (ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("flask.md", "django.md")
}
SECTION = re.compile(r"^## (.+?)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
SECTIONS = {name: text for page in PAGES.values() for name, text in SECTION.findall(page)}
MODULE = re.compile(r"^```py(?:thon)?\n(# (shop/\w+\.py)\n.*?)^```$", re.MULTILINE | re.DOTALL)
# What the page has where the reader's own belongs.
PROVIDER, OWN_AUDIENCE = "https://login.example.com", '"my-api"'

SERVERS = {
    "sync": ("gunicorn", "-k", "sync"),
    "gthread": ("gunicorn", "-k", "gthread", "--threads", "4", "--preload"),
}

NO_TOKEN = 'Bearer realm="shop"'
# Under WSGI several headers arrive as one, and the first of these is of another scheme.
TABLE = REFUSED | {"two schemes": STRANGE}


@dataclass(frozen=True)
class Site:
    """A recipe that is served for `issuer`."""

    client: httpx.Client
    issuer: FakeIssuer

    def bearer(self, **claims: Any) -> dict[str, str]:
        """Return the headers of a request with a good token."""
        return {"Authorization": f"Bearer {self.issuer.sign(aud=AUDIENCE, **claims)}"}

    def by(self, verifier: str) -> dict[str, str]:
        """Return the headers of a request with a good token that another verifier is to check."""
        return {"X-Verifier": verifier, **self.bearer(scope="things:write")}


def modules(section: str) -> dict[str, str]:
    """Return the code of each module that a section of the page prints."""
    return {name: code for code, name in MODULE.findall(SECTIONS[section])}


def written(section: str, folder: Path, provider: str, rest: Mapping[str, str]) -> None:
    """Write the modules of a section for a provider, and after them the rest of a project."""
    for name, code in modules(section).items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(code.replace(PROVIDER, provider).replace(OWN_AUDIENCE, f'"{AUDIENCE}"'))
    for name, code in rest.items():
        with (folder / name).open("a") as module:
            module.write(code)


def answers_at_all(client: httpx.Client) -> bool:
    """Wait for the first answer, and return whether there is one."""
    with suppress(httpx.TransportError):
        return client.get("/health").is_success
    return False


@contextmanager
def serving(command: tuple[str, ...], folder: Path, **environment: str) -> Iterator[httpx.Client]:
    """Run a server in that folder; yields a client of it.

    `{fd}` in the command becomes the number of its listening socket, so nobody waits for it.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener, (folder / "log").open("wb") as log:
        number, port = listener.fileno(), listener.getsockname()[1]
        process = subprocess.Popen(
            [sys.executable, "-m", *(word.format(fd=number) for word in command)],
            cwd=folder, pass_fds=[number], stdout=log, stderr=log, start_new_session=True,
            env=os.environ | {"PYTHONPATH": f"{folder}:{ROOT}", "no_proxy": "*", **environment},
        )  # fmt: skip
    try:
        url = f"http://127.0.0.1:{port}"
        with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
            assert answers_at_all(client), (folder / "log").read_text()
            yield client
    finally:
        process.terminate()
        try:
            process.wait(timeout=60)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def served(section: str, server: str, folder: Path, *, factory: str) -> Iterator[Site]:
    """Serve a recipe with gunicorn; `factory` makes its application, as `module:name`."""
    with ExitStack() as stack:
        issuer, down, misled = (
            stack.enter_context(FakeIssuer(algorithm="ES256")) for _ in range(3)
        )
        down.outage(retry_after=60)
        misled.announce(issuer="https://other.example")
        written(section, folder, issuer.url, {})
        environment = {
            "FACTORY": factory, "DOWN": down.discovery_url, "MISLED": misled.discovery_url,
        }  # fmt: skip
        command = (*SERVERS[server], "--bind", "fd://{fd}", "tests.web.switched:application")
        client = stack.enter_context(serving(command, folder, **environment))
        yield Site(client, issuer)


def refusals(site: Site) -> dict[str, Answer]:
    """Return how each bad request of the table is refused, and one without credentials."""
    requests = {name: repeated(row.headers(site.issuer)) for name, row in TABLE.items()}
    return {
        name: answer_of(site.client.delete("/things", headers=headers))
        for name, headers in {"none": [], **requests}.items()
    }


def expected(anonymous: str) -> dict[str, Answer]:
    """Return how they should be, given the text for a request that brings no bearer token."""
    nobody = (401, anonymous, [NO_TOKEN])
    return answers(TABLE) | dict.fromkeys(("none", "another scheme", "two schemes"), nobody)


def check_good_token(site: Site) -> None:
    """A good token gets to the view, which finds the claims; without one nobody does."""
    assert site.client.get("/me").status_code == 401
    answer = site.client.get("/me", headers=site.bearer(sub="bob"))
    assert (answer.status_code, answer.json()) == (200, {"sub": "bob"})


def check_scopes(site: Site) -> None:
    """A token that was granted what the view asks for is let in, another one told what lacks."""
    answer = site.client.delete("/things", headers=site.bearer(scope="things:read things:write"))
    assert (answer.status_code, answer.json()) == (200, {"removed": True})
    refused: tuple[dict[str, str], ...] = ({}, {"scope": "things:read"}, {"scp": "things:writer"})
    for claims in refused:
        told = 'error="insufficient_scope", error_description="Insufficient scope"'
        assert answer_of(site.client.delete("/things", headers=site.bearer(**claims))) == (
            403, "Insufficient scope", [f'{NO_TOKEN}, {told}, scope="things:write"'],
        )  # fmt: skip


def check_public(site: Site) -> None:
    """A public view answers anyone, whatever they bring."""
    for headers in ({}, {"Authorization": "Bearer junk"}, site.by("down")):
        answer = site.client.get("/health", headers=headers)
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def check_faults(site: Site) -> None:
    """What is not the caller's fault is answered 503 or 500, and never lets anyone in."""
    down, misled, broken = (
        site.client.delete("/things", headers=site.by(verifier))
        for verifier in ("down", "misled", "broken")
    )
    for answer in (down, misled):
        assert answer_of(answer) == (503, "Temporarily unavailable", [])
    assert 60 <= int(down.headers["Retry-After"]) <= 300
    assert "Retry-After" not in misled.headers
    assert broken.status_code == 500
    assert "wires" not in broken.text
