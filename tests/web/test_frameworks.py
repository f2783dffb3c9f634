"""The recipes of docs/frameworks.md as they are printed, each behind a server of its own kind."""

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest
from aiohttp.web import AppRunner, SockSite
from hypercorn.asyncio import serve
from hypercorn.config import Config

from auth_jwks.testing import FakeIssuer
from tests.web.recipes import MODULE, OWN_AUDIENCE, PROVIDER, ROOT, SECTION
from tests.web.serving import serving
from tests.web.status_table import (
    AUDIENCE,
    REFUSED,
    answer_of,
    answers,
    authorization,
    challenge,
    denial,
    received,
    repeated,
)

PAGE = (ROOT / "docs" / "frameworks.md").read_text(encoding="utf-8")
SECTIONS = dict(SECTION.findall(PAGE))
IMPORT = re.compile(r"from |import |# shop/|\)$|    \w+,$")
NOBODY = (401, "Not authenticated", ['Bearer realm="shop"'])
LACKING = challenge("insufficient_scope", "Insufficient scope") + ', scope="things:write"'


# A profile whose check fails in a way that blames no token.
BROKEN = (
    "from auth_jwks.profiles import AccessToken\nfrom tests.web.status_table import wired_wrong\n",
    ", profile=AccessToken(typ={'JWT'}, check=wired_wrong)",
)


def written(section: str, folder: Path, issuer: FakeIssuer, *, broken: bool) -> None:
    """Write the package `shop` of a section, which verifies a provider's tokens."""
    imports, profile = BROKEN if broken else ("", "")
    (folder / "shop").mkdir()
    for code, name in MODULE.findall(SECTIONS[section]):
        own = code.replace(PROVIDER, issuer.url)
        own = own.replace(OWN_AUDIENCE, f'"{AUDIENCE}", retries=0, timeout=30{profile}')
        # Else Litestar changes the logging of this process, and starts a thread for it.
        own = own.replace("lambda _: jwks]", "lambda _: jwks], logging_config=None")
        (folder / name).write_text(imports + own)


@contextmanager
def imported(section: str, issuer: FakeIssuer, *, broken: bool) -> Iterator[Any]:
    """Import the application of a section, and forget it afterwards."""
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        written(section, Path(folder), issuer, broken=broken)
        patch.syspath_prepend(folder)
        try:
            yield import_module("shop.app").app
        finally:
            for name in [each for each in sys.modules if each.partition(".")[0] == "shop"]:
                del sys.modules[name]


def listener() -> socket.socket:
    """Return a socket that listens on a free port."""
    return socket.create_server(("127.0.0.1", 0))


@asynccontextmanager
async def under_hypercorn(app: Any) -> AsyncIterator[str]:
    """Serve an application; yields `host:port`."""
    config, stop = Config(), asyncio.Event()
    opened = listener()
    address = "{}:{}".format(*opened.getsockname())
    config.bind = [f"fd://{opened.detach()}"]
    config.loglevel = "CRITICAL"
    task = asyncio.create_task(serve(app, config, shutdown_trigger=stop.wait))
    try:
        yield address
    finally:
        stop.set()
        await task


@asynccontextmanager
async def under_aiohttp(app: Any) -> AsyncIterator[str]:
    """Serve an application; yields `host:port`."""
    runner = AppRunner(app, access_log=None)
    await runner.setup()
    opened = listener()
    try:
        await SockSite(runner, opened).start()
        yield "{}:{}".format(*opened.getsockname())
    finally:
        await runner.cleanup()


Server = Callable[[Any], AbstractAsyncContextManager[str]]
SERVERS: dict[str, Server] = {
    "Litestar": serving, "Quart": under_hypercorn, "aiohttp": under_aiohttp,
}  # fmt: skip


@pytest.fixture(params=SERVERS)
def section(request: pytest.FixtureRequest) -> str:
    """Return which recipe is served."""
    return str(request.param)


@asynccontextmanager
async def service(
    section: str, issuer: FakeIssuer, *, broken: bool = False
) -> AsyncIterator[httpx.AsyncClient]:
    """Serve the recipe of a section; yields a client of it."""
    with imported(section, issuer, broken=broken) as app:
        async with (
            SERVERS[section](app) as address,
            httpx.AsyncClient(base_url=f"http://{address}", trust_env=False, timeout=60) as client,
        ):
            yield client


def bearer(issuer: FakeIssuer, **claims: Any) -> dict[str, str]:
    """Return the headers of a request with a good token."""
    return authorization(issuer.sign(aud=AUDIENCE, **claims))


@pytest.mark.parametrize("name", [name for name in SECTIONS if MODULE.search(SECTIONS[name])])
def test_a_recipe_has_30_lines(name: str) -> None:
    """Without its imports, and what is served."""
    [code] = [code for code, module in MODULE.findall(SECTIONS[name]) if module == "shop/auth.py"]
    lines = [line for line in code.splitlines() if line and not IMPORT.match(line)]
    assert len(lines) <= 30


async def test_what_is_answered(section: str, issuer: FakeIssuer) -> None:
    """Good tokens get in, all others are refused as on docs/web.md; public paths ask for none."""
    async with service(section, issuer) as client:
        found = {
            name: answer_of(await client.get("/me", headers=repeated(row.headers(issuer))))
            for name, row in REFUSED.items()
        }
        assert found == answers(REFUSED)
        good = await client.get("/me", headers=bearer(issuer, sub="bob"))
        assert (good.status_code, good.json()) == (200, {"sub": "bob"})
        for method in ("GET", "POST", "HEAD", "OPTIONS"):
            for path in ("/me", "/things", "//health", "/nowhere"):
                refused = await client.request(method, path)
                assert refused.status_code in {401, 404, 405}, (method, path)
        for path in ("/me", "/schema"):  # Litestar's own page
            assert answer_of(await client.get(path)) == NOBODY
        open_to_all = await client.get("/health", headers={"Authorization": "Bearer junk"})
        assert (open_to_all.status_code, open_to_all.json()) == (200, {"status": "ok"})


async def test_scopes(section: str, issuer: FakeIssuer) -> None:
    """A token that was granted too little is told what lacks."""
    async with service(section, issuer) as client:
        for claims in ({}, {"scope": "things:read"}, {"scp": "things:writer"}):
            refused = await client.delete("/things", headers=bearer(issuer, **claims))
            assert answer_of(refused) == (403, "Insufficient scope", [LACKING])
        granted = bearer(issuer, scope="things:read things:write")
        assert (await client.delete("/things", headers=granted)).json() == {"removed": True}


async def test_websockets(section: str, issuer: FakeIssuer) -> None:
    """A handshake is checked like a request."""
    async with service(section, issuer) as client:
        address = f"{client.base_url.netloc.decode()}/feed"
        assert await received(address, bearer(issuer, sub="bob")) == "bob"
        assert answer_of(await denial(address)) == NOBODY
        refused = await denial(address, authorization(issuer.forge(aud=AUDIENCE)))
        assert refused.status_code == 401


async def test_an_outage_is_no_fault_of_the_caller(section: str, issuer: FakeIssuer) -> None:
    """It is answered 503 with `Retry-After`, and lets no one in."""
    issuer.outage(retry_after=60)
    async with service(section, issuer) as client:
        refused = await client.get("/me", headers=bearer(issuer))
        assert answer_of(refused) == (503, "Temporarily unavailable", [])
        assert int(refused.headers["Retry-After"]) >= 60


async def test_another_issuer_is_no_fault_of_the_caller(section: str, issuer: FakeIssuer) -> None:
    """A wrong setting is answered 503, and lets no one in."""
    issuer.announce(issuer="https://other.example")
    async with service(section, issuer) as client:
        refused = await client.get("/me", headers=bearer(issuer))
        assert answer_of(refused) == (503, "Temporarily unavailable", [])


async def test_a_fault_of_the_program_lets_no_one_in(section: str, issuer: FakeIssuer) -> None:
    """It is answered 500, and tells nothing."""
    async with service(section, issuer, broken=True) as client:
        refused = await client.get("/me", headers=bearer(issuer))
    assert refused.status_code == 500
    assert "alice" not in refused.text


GRPC = ("gRPC on asyncio", "gRPC in threads")
Call = Callable[..., Any]


@contextmanager
def calling(section: str, issuer: FakeIssuer, *, broken: bool = False) -> Iterator[Call]:
    """Serve a recipe for gRPC in a process of its own; yields a function that calls it."""
    with TemporaryDirectory() as folder:
        written(section, Path(folder), issuer, broken=broken)
        command = [sys.executable, "-m", "tests.web.grpc_calls", folder]
        with subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=os.environ | {"no_proxy": "*", "GRPC_VERBOSITY": "NONE"},
        ) as process:  # fmt: skip
            said, answered = process.stdin, process.stdout
            assert said
            assert answered

            def call(method: str, *values: str) -> Any:
                metadata = [("authorization", value) for value in values]
                print(json.dumps([method, metadata]), file=said, flush=True)
                return json.loads(answered.readline())

            try:
                yield call
            finally:
                process.kill()


@pytest.mark.parametrize("section", GRPC)
def test_grpc(section: str, issuer: FakeIssuer) -> None:
    """Calls of every kind are refused before a message is read, and let in by a good token."""
    good = f"Bearer {issuer.sign(aud=AUDIENCE, sub='bob')}"
    with calling(section, issuer) as call:
        for method in ("Me", "Upload"):
            assert call(f"/shop.Shop/{method}", good) == ["OK", "", {}, ["bob"]]
        for method in ("Feed", "Chat"):
            assert call(f"/shop.Shop/{method}", good) == ["OK", "", {}, ["bob", "bob"]]
        for method in ("Me", "Feed", "Upload", "Chat"):
            assert call(f"/shop.Shop/{method}") == [
                "UNAUTHENTICATED", "Not authenticated", {"www-authenticate": NOBODY[2][0]}, [],
            ]  # fmt: skip
        for name, row in REFUSED.items():
            code, details, told, messages = call("/shop.Shop/Me", *row.headers(issuer))
            assert (code, details, messages) == ("UNAUTHENTICATED", row.detail, []), name
            assert told["www-authenticate"] == row.challenge
        # What exists is told to nobody, or to everybody.
        assert call("/shop.Shop/Unlisted")[0] in {"UNAUTHENTICATED", "UNIMPLEMENTED"}
        assert call("/shop.Shop/Unlisted", good)[0] == "UNIMPLEMENTED"
        wanting = [
            "PERMISSION_DENIED", "Insufficient scope", {"www-authenticate": LACKING}, [],
        ]  # fmt: skip
        assert call("/shop.Shop/Remove", good) == wanting
        writer = f"Bearer {issuer.sign(aud=AUDIENCE, scope='things:write')}"
        assert call("/shop.Shop/Remove", writer) == ["OK", "", {}, ["alice"]]
        public = "/grpc.health.v1.Health/Check"
        assert call(public, "Bearer junk") == ["OK", "", {}, ["nobody"]]


@pytest.mark.parametrize("section", GRPC)
def test_grpc_in_an_outage(section: str, issuer: FakeIssuer) -> None:
    """It is no fault of the caller, and lets no one in."""
    issuer.outage(retry_after=60)
    with calling(section, issuer) as call:
        for method in ("Me", "Chat"):
            token = issuer.sign(aud=AUDIENCE)
            code, details, told, messages = call(f"/shop.Shop/{method}", f"Bearer {token}")
            assert (code, details, messages) == ("UNAVAILABLE", "Temporarily unavailable", [])
            assert int(told["retry-after"]) >= 60


@pytest.mark.parametrize("section", GRPC)
def test_grpc_on_a_fault_of_the_program(section: str, issuer: FakeIssuer) -> None:
    """It blames no caller, and lets no one in."""
    with calling(section, issuer, broken=True) as call:
        for method in ("Me", "Chat"):
            token = issuer.sign(aud=AUDIENCE)
            code, _, _, messages = call(f"/shop.Shop/{method}", f"Bearer {token}")
            assert (code, messages) == ("UNKNOWN", [])
