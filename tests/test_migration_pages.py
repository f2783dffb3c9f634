"""The pages about migration: their code runs, their tests pass, and their tables are true."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from auth_jwks import JWKS
from auth_jwks.bearer import Challenge, bearer_token, unbound
from auth_jwks.testing import FakeClock, FakeIssuer, SigningKey

FOLDER = Path(__file__).parents[1] / "docs/migrate"
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")}
INDEX = PAGES.pop("index")
BLOCK = re.compile(r"^```python\n# (\w+\.py)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OLD_BLOCK = re.compile(r"^```py\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?![a-z]+:|#)([^)#]+)")
HOUR = 3600

# What a page may list as a token, and how it is made.
TOKENS: dict[str, Callable[[FakeIssuer, int], str]] = {
    "valid": lambda provider, _: provider.sign(GOOD),
    "expired 10 seconds ago": lambda provider, now: provider.sign(GOOD, exp=now - 10),
    "expired an hour ago": lambda provider, now: provider.sign(GOOD, exp=now - HOUR),
    "`nbf` an hour ahead": lambda provider, now: provider.sign(GOOD, nbf=now + HOUR),
    "`iat` an hour ahead": lambda provider, now: provider.sign(GOOD, iat=now + HOUR),
    "another `aud`": lambda provider, _: provider.sign(GOOD, aud="other"),
    "no `aud`": lambda provider, _: provider.sign(GOOD, aud=None),
    "another `iss`": lambda provider, _: provider.sign(GOOD, iss="https://other.example"),
    "no `exp`": lambda provider, _: provider.sign(GOOD, exp=None),
    "no `sub`": lambda provider, _: provider.sign(GOOD, sub=None),
    "no `nbf`": lambda provider, _: provider.sign(GOOD, nbf=None),
    "`exp` as a string": lambda provider, now: provider.sign(GOOD, exp=str(now + HOUR)),
    "no `kid`": lambda provider, _: provider.sign(GOOD, headers={"kid": None}),
    "unknown `kid`": lambda provider, _: provider.sign(GOOD, key=SigningKey.generate("ES256")),
    "bad signature": lambda provider, _: provider.forge(GOOD),
    "`crit`": lambda provider, _: provider.sign(GOOD, headers={"crit": ["x"], "x": 1}),
    "a logout token": lambda provider, _: provider.sign(GOOD, headers={"typ": "logout+jwt"}),
    "bound to a key (`cnf`)": lambda provider, _: provider.sign(GOOD, cnf={"jkt": "x"}),
    "with `Bearer` in front": lambda provider, _: f"Bearer {provider.sign(GOOD)}",
    "with a line end behind it": lambda provider, _: provider.sign(GOOD) + "\n",
    "no token": lambda *_: "junk",
    "signed by a new key": lambda provider, _: provider.sign(
        GOOD, key=provider.rotate(SigningKey.generate("ES256"))
    ),
}
GOOD: dict[str, Any] = {"aud": "my-api", "nbf": 1}
# What a page may say of outages, and how old the keys are then, in hours; None is to have none.
OUTAGES = {
    "valid, in an outage without keys": None,
    "valid, in an outage with fresh keys": 0,
    "valid, in an outage with keys of two hours ago": 2,
    "valid, in an outage with keys of 25 hours ago": 25,
    "valid, in an outage with keys of two days ago": 48,
}
WITHDRAWN = "signed by a key that was withdrawn two hours ago"


def table(page: str) -> dict[str, tuple[str, ...]]:
    """Return what the page says of each token: before, perhaps with two libraries, and now."""
    _, _, rest = PAGES[page].partition("\n| token | ")
    rows = rest.partition("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    return {token: tuple(said) for token, *said in cells}


CASES = [
    pytest.param(page, token, said[-1], id=f"{page}-{token}")
    for page in PAGES
    for token, said in table(page).items()
]


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reach the loopback without a proxy, whatever the environment says."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture(scope="module")
def key() -> SigningKey:
    """Return a key that all tests sign with, as RSA keys take a while."""
    return SigningKey.generate("RS256")


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock that the test moves."""
    return FakeClock()


@pytest.fixture
def provider(key: SigningKey, clock: FakeClock) -> Iterator[FakeIssuer]:
    """Return a provider that serves."""
    with FakeIssuer(keys=[key], clock=clock) as provider:
        yield provider


async def status(jwks: JWKS, token: str) -> str:
    """Return what an integration makes of a request with that token."""
    try:
        unbound(await jwks.verify_token(bearer_token([f"Bearer {token}"])))
    except jwt.InvalidTokenError as error:
        return str(Challenge().refusal(error).status)
    return "accepted"


async def raised(jwks: JWKS, token: str) -> str:
    """Return the class that the verifier raises."""
    try:
        await jwks.verify_token(token)
    except jwt.InvalidTokenError as error:
        return f"`{type(error).__name__}`"
    return "accepted"


@pytest.mark.parametrize(("page", "token", "said"), CASES)
async def test_table_says_what_happens_now(
    page: str, token: str, said: str, provider: FakeIssuer, clock: FakeClock
) -> None:
    """The last column is what the library does with the token, or in the outage."""
    answer = status if page in {"fastapi-azure-auth", "fastmcp"} else raised
    options: dict[str, Any] = {"aud": "my-api", "clock": clock, "retries": 0}
    if page == "fastmcp":
        options["leeway"] = 0  # FastMCP has none on `exp`, as the page's own tests show
    async with JWKS(issuer=provider.issuer, **options) as jwks:
        if OUTAGES.get(token, 0) is not None:
            assert await answer(jwks, provider.sign(GOOD, jti="the first one")) == "accepted"
        if token in OUTAGES:
            provider.outage()
            clock.advance((OUTAGES[token] or 0) * HOUR)
            signed = provider.sign(GOOD)
        elif token == WITHDRAWN:
            old = provider.signing_key
            provider.rotate(SigningKey.generate("ES256"), keep=False)
            clock.advance(2 * HOUR)
            signed = provider.sign(GOOD, key=old)
        else:
            signed = TOKENS[token](provider, int(clock.time()))
        assert await answer(jwks, signed) == said


def test_tables_have_the_same_rows() -> None:
    """Each page judges the tokens that all of them have in common."""
    rare = {"no `nbf`", "bound to a key (`cnf`)", "signed by a new key"}
    forms = {"with `Bearer` in front", "with a line end behind it"}  # what no HTTP server passes on
    for page in PAGES:
        assert TOKENS.keys() - rare - forms <= table(page).keys(), page


@pytest.mark.full
@pytest.mark.once
@pytest.mark.parametrize("page", PAGES)
def test_tests_of_the_page_pass_with_its_new_code(page: str, tmp_path: Path) -> None:
    """The new code is what the tests on the page import, and all of them pass."""
    blocks = BLOCK.findall(PAGES[page])
    assert len(blocks) == PAGES[page].count("```python")
    assert [name for name, _ in blocks][:: len(blocks) - 1] == ["service.py", "test_service.py"]
    for name, code in blocks:
        (tmp_path / name).write_text(code)
    imports = "\n".join(f"import {name.removesuffix('.py')}" for name, _ in blocks)
    (tmp_path / "test_blocks.py").write_text(f"{imports}\n\ndef test_imported() -> None: ...\n")
    command = [sys.executable, "-m", "pytest", "-W", "error", "-p", "no:cacheprovider", "-q"]
    command.append("--color=no")
    command += ["-p", "anyio", "-p", "pytest_auth_jwks"]  # and no other plugin, to be quick
    command += ["-W", "ignore:The anyio:DeprecationWarning"]  # Starlette's test client
    alone = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    run = subprocess.run(
        command, cwd=tmp_path, env=alone, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.search(r"^\d+ passed in ", run.stdout, re.MULTILINE)


def test_old_code_of_pyjwt_does_what_its_table_says(key: SigningKey) -> None:
    """PyJWT is always there, so its old code is run too, with each token that needs no outage."""
    [code] = OLD_BLOCK.findall(PAGES["pyjwt"])
    with FakeIssuer(keys=[key]) as provider:
        names: dict[str, Any] = {}
        exec(code.replace("https://login.example.com", provider.issuer), names)  # noqa: S102
        for token, (before, _) in table("pyjwt").items():
            if token in TOKENS:
                signed = TOKENS[token](provider, int(time.time()))
                assert old_verdict(names["verify"], signed) == before, token


def old_verdict(verify: Callable[[str], object], token: str) -> str:
    """Return the class that the old code raises."""
    try:
        verify(token)
    except jwt.PyJWTError as error:
        return f"`{type(error).__name__}`"
    return "accepted"


def test_index_names_every_page() -> None:
    """Whoever comes from another library finds its page."""
    linked = set(re.findall(r"\]\(([\w.-]+)\.md\)", INDEX))
    assert linked == PAGES.keys()


@pytest.mark.parametrize("page", [*PAGES, "index"])
def test_links_lead_somewhere(page: str) -> None:
    """Every relative link names a file of this repository."""
    text = PAGES.get(page, INDEX)
    assert [link for link in LINK.findall(text) if not (FOLDER / link).exists()] == []
