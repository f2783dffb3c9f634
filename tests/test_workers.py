"""The recipes of docs/workers.md as they are printed: Lambda, Celery, commands, cron."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI
from mangum import Mangum
from mangum.types import LifespanMode

from auth_jwks import JWKS
from auth_jwks.fastapi import JWTBearer
from auth_jwks.testing import FakeClock, FakeIssuer
from tests.environment import unmeasured
from tests.servers import ValkeyServer
from tests.web.recipes import MODULE, OWN_AUDIENCE, PROVIDER, ROOT, SECTION

PAGE = (ROOT / "docs" / "workers.md").read_text(encoding="utf-8")
SECTIONS = dict(SECTION.findall(PAGE))
MANGUM, PLAIN = "AWS Lambda with Mangum", "AWS Lambda without a framework"
COMMANDS, CRON, CELERY = "Management commands", "Cron and other scripts", "Celery"
DIRECTORY = "/var/cache/shop"
NOBODY = 'Bearer realm="shop"'

Invoke = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reach the loopback without a proxy, whatever the environment says."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def issuer() -> Iterator[FakeIssuer]:
    """Return a provider that serves."""
    with FakeIssuer(algorithm="ES256") as issuer:
        yield issuer


# What a test has where the page has the reader's own, or waits too long or too briefly.
OWN = {
    f"aud={OWN_AUDIENCE}": f"aud={OWN_AUDIENCE}, retries=0, timeout=30",
    f'"aud": {OWN_AUDIENCE}': f'"aud": {OWN_AUDIENCE}, "retries": 0, "timeout": 30',
    "RedisKeyStore(REDIS": "RedisKeyStore(REDIS, timeout=0.75, connect_timeout=1.5",
}


def written(section: str, folder: Path, issuer: FakeIssuer) -> None:
    """Write the package `shop` of a section, which verifies a provider's tokens."""
    recipes = MODULE.findall(SECTIONS[section].replace("shop/management/commands/", "shop/"))
    assert recipes
    (folder / "shop").mkdir()
    places = {PROVIDER: issuer.url, f'"{DIRECTORY}"': f'"{folder / "keys"}", timeout=0.75'}
    for code, name in recipes:
        own = code
        for text, replacement in (places | OWN).items():
            own = own.replace(text, replacement)
        (folder / name).write_text(own)


@contextmanager
def imported(
    section: str, module: str, folder: Path, issuer: FakeIssuer, run: Callable[..., Any]
) -> Iterator[Any]:
    """Let `run` import a module of a section, and forget it afterwards."""
    written(section, folder, issuer)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        try:
            yield run(import_module, module)
        finally:
            for name in [each for each in sys.modules if each.partition(".")[0] == "shop"]:
                del sys.modules[name]


def event(*authorization: str) -> dict[str, Any]:
    """Return the event of `GET /me` from API Gateway, payload format 2.0."""
    headers = {"accept": "*/*", "host": "api.example.com"}
    if authorization:
        headers["authorization"] = ",".join(authorization)
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/me",
        "rawQueryString": "",
        "headers": headers,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "api",
            "domainName": "api.example.com",
            "domainPrefix": "api",
            "http": {
                "method": "GET",
                "path": "/me",
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.1",
                "userAgent": "agent",
            },
            "requestId": "JKJaXmPLvHcESHA=",
            "routeKey": "$default",
            "stage": "$default",
            "time": "10/Mar/2026:05:16:23 +0000",
            "timeEpoch": 1773119783000,
        },
        "isBase64Encoded": False,
    }


def bearer(issuer: FakeIssuer, **claims: Any) -> str:
    """Return the value of the header with a good token."""
    return f"Bearer {issuer.sign(aud='my-api', **claims)}"


@contextmanager
def sandbox(*, new_loops: bool) -> Iterator[Callable[..., Any]]:
    """Yield a function that runs another in one thread, where event loops can come and go."""
    with ThreadPoolExecutor(1) as thread:

        def renewed() -> None:
            asyncio.set_event_loop(asyncio.new_event_loop())

        def closed() -> None:
            loop = asyncio.get_event_loop()
            tasks = asyncio.all_tasks(loop)
            for task in tasks:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

        def invoke(function: Callable[..., Any], *args: Any) -> Any:
            if new_loops:
                thread.submit(closed).result()
                thread.submit(renewed).result()
            return thread.submit(function, *args).result()

        thread.submit(renewed).result()
        try:
            yield invoke
        finally:
            thread.submit(closed).result()


def check_lambda(handle: Invoke, issuer: FakeIssuer) -> None:
    """Check what a function answers; it fetches the keys once."""
    for name in ("alice", "bob", "carol"):
        answer = handle(event(bearer(issuer, sub=name)), None)
        assert (answer["statusCode"], json.loads(answer["body"])) == (200, {"sub": name})
    assert len(issuer.requests) == 2
    good = bearer(issuer)
    refused = {
        (): (401, "Not authenticated"),
        ("Bearer junk",): (401, "Invalid token"),
        (f"Bearer {issuer.forge(aud='my-api')}",): (401, "Invalid token"),
        (bearer(issuer, exp=1),): (401, "The token has expired"),
        (bearer(issuer, cnf={"jkt": "0ZcOCORZNYy"}),): (401, "Invalid token"),
        (good, good): (400, "Malformed credentials"),
    }
    for values, expected in refused.items():
        answer = handle(event(*values), None)
        assert (answer["statusCode"], json.loads(answer["body"])["detail"]) == expected
        told = {name.lower(): value for name, value in answer["headers"].items()}
        assert told["www-authenticate"].startswith(NOBODY)


@pytest.mark.parametrize("new_loops", [False, True], ids=["one loop", "a loop each"])
def test_mangum(issuer: FakeIssuer, tmp_path: Path, *, new_loops: bool) -> None:
    """The application of the page answers events, whatever loops they run on."""
    with (
        sandbox(new_loops=new_loops) as invoke,
        imported(MANGUM, "shop.app", tmp_path, issuer, invoke) as app,
    ):
        check_lambda(lambda *args: invoke(app.handler, *args), issuer)


@pytest.mark.parametrize("new_loops", [False, True], ids=["one loop", "a loop each"])
@pytest.mark.parametrize("lifespan", ["auto", "on"])
def test_mangum_with_a_lifespan(
    issuer: FakeIssuer, lifespan: LifespanMode, *, new_loops: bool
) -> None:
    """A verifier that is closed after each invocation is entered again, and keeps its keys."""
    clock = FakeClock()
    jwks = JWKS(issuer=issuer.issuer, aud="my-api", retries=0, timeout=30, clock=clock)
    entered: list[object] = []

    @asynccontextmanager
    async def around(app: FastAPI) -> Any:
        entered.append(app)
        async with jwks:
            yield

    bearer_of = JWTBearer(jwks)
    app = FastAPI(lifespan=around)

    @app.get("/me")
    async def me(claims: Annotated[dict[str, Any], Depends(bearer_of)]) -> Any:
        return {"sub": claims["sub"]}

    def token() -> str:
        now = int(clock.time())
        return bearer(issuer, iat=now, exp=now + 60)

    with sandbox(new_loops=new_loops) as invoke:
        handler = invoke(lambda: Mangum(app, lifespan=lifespan))
        for _ in range(3):
            assert invoke(handler, event(token()), None)["statusCode"] == 200
        assert (len(entered), len(issuer.requests)) == (3, 2)
        clock.advance(3_600)  # as in a frozen sandbox
        assert invoke(handler, event(token()), None)["statusCode"] == 200
        assert len(issuer.requests) == 4


def test_mangum_in_an_outage(issuer: FakeIssuer, tmp_path: Path) -> None:
    """It is no fault of the caller."""
    issuer.outage(retry_after=60)
    with (
        sandbox(new_loops=False) as invoke,
        imported(MANGUM, "shop.app", tmp_path, issuer, invoke) as app,
    ):
        answer = invoke(app.handler, event(bearer(issuer)), None)
    assert answer["statusCode"] == 503
    assert int(answer["headers"]["retry-after"]) >= 60


def call(function: Callable[..., Any], *args: Any) -> Any:
    """Call a function here."""
    return function(*args)


def test_a_plain_handler(issuer: FakeIssuer, tmp_path: Path) -> None:
    """It answers likewise."""
    with imported(PLAIN, "shop.handler", tmp_path, issuer, call) as module, module.jwks:
        check_lambda(module.handler, issuer)


def test_a_plain_handler_in_an_outage(issuer: FakeIssuer, tmp_path: Path) -> None:
    """It is no fault of the caller."""
    issuer.outage(retry_after=60)
    with imported(PLAIN, "shop.handler", tmp_path, issuer, call) as module, module.jwks:
        answer = module.handler(event(bearer(issuer)), None)
    assert answer["statusCode"] == 503
    assert int(answer["headers"]["Retry-After"]) >= 60


def ran(folder: Path, command: list[str], token: str) -> tuple[int, str, str]:
    """Run a program with a token on its standard input; returns its status and what it prints."""
    environment = unmeasured() | {
        "PYTHONPATH": f"{folder}",
        "DJANGO_SETTINGS_MODULE": "shop.settings",
    }
    run = subprocess.run(
        [sys.executable, "-W", "error", *command], input=f"{token}\n", env=environment,
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return run.returncode, run.stdout, run.stderr


PROGRAMS = {
    CRON: ["-m", "shop.nightly"],
    COMMANDS: ["-m", "django", "whose"],
}


@pytest.mark.parametrize("section", PROGRAMS)
def test_scripts(section: str, issuer: FakeIssuer, tmp_path: Path) -> None:
    """The second run fetches nothing; a bad token and an outage have a status of their own."""
    written(section, tmp_path, issuer)
    if section == COMMANDS:
        commands = tmp_path / "shop/management/commands"
        commands.mkdir(parents=True)
        (tmp_path / "shop/whose.py").rename(commands / "whose.py")
        with (tmp_path / "shop/settings.py").open("a") as settings:
            settings.write('SECRET_KEY = "of no use here"\nUSE_TZ = True\n')
    good = issuer.sign(aud="my-api", sub="bob")
    program = PROGRAMS[section]
    for _ in range(2):
        assert ran(tmp_path, program, good) == (0, "bob\n", "")
    assert len(issuer.requests) == 2
    bad = issuer.forge(aud="my-api")
    status, out, told = ran(tmp_path, program, bad)
    assert (status, out) == (1, "")
    assert "the token is refused: " in told
    assert bad not in told
    issuer.outage()
    for path in (tmp_path / "keys").iterdir():
        path.unlink()
    status, out, _ = ran(tmp_path, program, good)
    assert (status, out) == (75, "")


# What a test adds to the tasks: two of them wait for each other, so that each child has one.
TOGETHER = """

from redis import Redis


@app.task
def together(token: str, mine: str, other: str) -> list[object]:
    with Redis.from_url(REDIS) as redis:
        redis.rpush(mine, 1)
        assert redis.blpop(other, timeout=120)
    return [os.getpid(), jwks.verify_token(token)["sub"]]
"""
# Prints what both say, and what a bad token ends in.
BOTH = """
import json, sys
from shop.tasks import report, together

token, bad = sys.stdin.read().split()
results = [together.delay(token, *names) for names in ("ab", "ba")]
found = [result.get(timeout=120) for result in results]
refused = report.apply_async((bad,), argsrepr="('<token>',)").get(timeout=120, propagate=False)
print(json.dumps([found, type(refused).__name__]))
"""
# Prints once that a task is tried again, and then its result.
AGAIN = """
import json, sys
from redis import Redis
from shop.tasks import REDIS, report

token = sys.stdin.readline().strip()
with Redis.from_url(REDIS) as redis, redis.pubsub() as states:
    states.subscribe("celery-task-meta-first")
    for message in states.listen():
        if message["type"] == "subscribe":
            result = report.apply_async((token,), argsrepr="('<token>',)", task_id="first")
        elif json.loads(message["data"])["status"] == "RETRY":
            break
print("tried again", flush=True)
sys.stdin.readline()
print(result.get(timeout=120))
"""


# Prints how a task is sent again, and what it fails with after its last attempt.
IN_ONE_PROCESS = """
import sys
from celery.signals import before_task_publish
from shop.tasks import report

token = sys.stdin.readline().strip()


@before_task_publish.connect
def sent(headers, **_):
    print(headers["argsrepr"])


for retries in (0, report.max_retries):
    report.push_request(
        id="first", args=(token,), kwargs={}, retries=retries, called_directly=False,
        delivery_info={}, argsrepr="('<token>',)",
    )
    try:
        report.run(token)
    except Exception as error:
        print(type(error).__name__, token in repr(error))
"""


@contextmanager
def celery(
    pool: str, folder: Path, issuer: FakeIssuer, server: ValkeyServer
) -> Iterator[dict[str, str]]:
    """Run a worker; yields the environment of its clients."""
    written(CELERY, folder, issuer)
    with (folder / "shop/tasks.py").open("a") as tasks:
        tasks.write(TOGETHER)
    environment = unmeasured() | {
        "PYTHONPATH": str(folder), "REDIS_URL": server.connection_url,
        "JWKS_INTEGRITY_KEY": "an example of 32 bytes or longer, which is no secret",
    }  # fmt: skip
    command = [
        sys.executable, "-m", "celery", "-A", "shop.tasks", "worker", "-P", pool, "-c", "2",
        "--loglevel", "INFO", "--logfile", str(folder / "log"),
    ]  # fmt: skip
    quiet = subprocess.DEVNULL
    worker = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=quiet, stderr=quiet, start_new_session=True
    )
    try:
        yield environment
    finally:
        os.killpg(worker.pid, signal.SIGKILL)  # its children too
        worker.wait()


def client(code: str, folder: Path, environment: dict[str, str]) -> "subprocess.Popen[str]":
    """Start a client of the worker."""
    return subprocess.Popen(
        [sys.executable, "-c", code], cwd=folder, env=environment, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip


def test_celery_prefork(issuer: FakeIssuer, tmp_path: Path, valkey: ValkeyServer) -> None:
    """Two processes fetch the keys once, and no log shows a token."""
    good, bad = issuer.sign(aud="my-api"), issuer.sign(aud="other")
    with celery("prefork", tmp_path, issuer, valkey) as environment:
        with client(BOTH, tmp_path, environment) as process:
            printed, _ = process.communicate(f"{good} {bad}")
        [[first, one], [second, other]], refused = json.loads(printed)
    assert first != second
    assert (one, other, refused) == ("alice", "alice", "InvalidAudienceError")
    log = (tmp_path / "log").read_text()
    # On a busy machine a call of the store may take too long, which is told.
    assert len(issuer.requests) == 2 or "the key store" in log
    assert bad not in log


def test_celery_threads(issuer: FakeIssuer, tmp_path: Path, valkey: ValkeyServer) -> None:
    """A task is tried again after an outage."""
    issuer.outage()
    with (
        celery("threads", tmp_path, issuer, valkey) as environment,
        client(AGAIN, tmp_path, environment) as process,
    ):
        assert process.stdin
        assert process.stdout
        print(issuer.sign(aud="my-api"), file=process.stdin, flush=True)
        assert process.stdout.readline() == "tried again\n"
        issuer.recover()
        printed, _ = process.communicate("\n")
    assert printed == "alice\n"


def test_celery_tells_no_token_when_it_tries_again(issuer: FakeIssuer, tmp_path: Path) -> None:
    """Neither in what the monitors show of the next attempt, nor in the error after the last."""
    issuer.outage()
    written(CELERY, tmp_path, issuer)
    tasks = tmp_path / "shop/tasks.py"
    # A broker within the process, and keys that no other process needs.
    here = tasks.read_text().replace("backend=REDIS", "backend=None")
    here = re.sub(r"^store = .*$", "store = None", here, flags=re.MULTILINE)
    tasks.write_text(here)
    environment = unmeasured() | {
        "PYTHONPATH": str(tmp_path), "REDIS_URL": "memory://", "JWKS_INTEGRITY_KEY": "k" * 32,
    }  # fmt: skip
    with client(IN_ONE_PROCESS, tmp_path, environment) as process:
        printed, _ = process.communicate(issuer.sign(aud="my-api"))
    assert printed.splitlines() == [
        "('<token>',)", "Retry False", "KeysUnavailableError False",
    ]  # fmt: skip
