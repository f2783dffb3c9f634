"""What the documents say: every example runs, every table is held against the code."""

import ast
import contextlib
import inspect
import io
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import httpx
import jwt
import pytest
from redis import Redis

import auth_jwks
from auth_jwks import JWKS, RedisKeyStore
from auth_jwks._cache.announce import announce
from auth_jwks._cache.observers import Observers
from auth_jwks._cache.store_watch import StoreWatch
from auth_jwks._cache.tally import Tally
from auth_jwks.errors import Reason
from auth_jwks.events import (
    BreakerChanged,
    DocumentFault,
    DocumentRejected,
    Event,
    KeysRefreshed,
    LeaseChanged,
    RefreshFailed,
    RefreshFault,
    StaleServed,
    StoreFailed,
    StoreFault,
    UnknownKey,
)
from auth_jwks.stores import (
    Answer,
    Busy,
    Granted,
    LeaseRequest,
    MemoryKeyStore,
    Newer,
    StoreUnavailable,
    base,
    gate,
    record,
)
from auth_jwks.testing import ChaosStore, FakeClock, FakeIssuer, SigningKey, StoreRig
from tests.servers import ValkeyServer

ROOT = Path(__file__).parents[1]
DOCUMENTS = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"))
}
README = DOCUMENTS["README.md"]
EXECUTED = (
    "README.md", "docs/cloudflare.md", "docs/django.md", "docs/errors.md", "docs/fastapi.md",
    "docs/flask.md", "docs/fleet.md", "docs/freshness.md", "docs/issuers.md", "docs/keys.md",
    "docs/metrics.md", "docs/readiness.md", "docs/several-issuers.md", "docs/stores.md",
    "docs/sync.md", "docs/testing.md", "docs/tokens.md", "docs/web.md",
)  # fmt: skip

BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROMISE = re.compile(r"^ *print\(.*\)  # (.+)$", re.MULTILINE)
LINK = re.compile(r"\]\((?![a-z]+:|#)([^)#]+)")
CHANGES = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]

# The issuer that the README names where the reader's own belongs.
PLACEHOLDER = "https://login.example.com"

# The code of each example, by file and line.
EXAMPLES = {
    f"{name}:{len(DOCUMENTS[name][: found.start(1)].splitlines()) + 1}": found[1]
    for name in EXECUTED
    for found in BLOCK.finditer(DOCUMENTS[name])
}
OF_TESTS = [place for place, code in EXAMPLES.items() if "import pytest" in code]
OF_SUITES = [place for place, code in EXAMPLES.items() if "KeyStoreContract" in code]
SCRIPTS = [place for place in EXAMPLES if place not in OF_TESTS + OF_SUITES]

BAD: dict[str, Callable[[FakeIssuer], str]] = {
    "DecodeError": lambda _: "junk",
    "InvalidAlgorithmError": lambda provider: provider.sign(headers={"alg": "none"}),
    "InvalidSignatureError": lambda provider: provider.forge(),
    "ExpiredSignatureError": lambda provider: provider.sign(exp=1),
    "ImmatureSignatureError": lambda provider: provider.sign(nbf=99_999_999_999),
    "InvalidIssuedAtError": lambda provider: provider.sign(iat="today"),
    "MissingRequiredClaimError": lambda provider: provider.sign(sub=None),
    "InvalidIssuerError": lambda provider: provider.sign(iss="https://other.example"),
    "InvalidAudienceError": lambda provider: provider.sign(aud="other"),
    "InvalidSubjectError": lambda provider: provider.sign(sub=1),
    "InvalidJTIError": lambda provider: provider.sign(jti=1),
    "InvalidTokenError": lambda provider: provider.sign(headers={"kid": 1}),
    "UnknownKeyError": lambda provider: provider.sign(key=SigningKey.generate("ES256")),
}
OCCURRENCES: tuple[Event, ...] = (
    KeysRefreshed("source", "provider", 1, (), 0.0, 1, 1.0),
    KeysRefreshed("source", "store", 1, (), 0.0, 1, 1.0),
    RefreshFailed("source", "status", "reason", 1.0),
    RefreshFailed("source", "issuer_mismatch", "reason", 1.0),
    StaleServed("source", 1.0, first=True),
    StaleServed("source", 1.0, first=False),
    UnknownKey("source", asked=True),
    StoreFailed("source", "store", "poll", "timeout", "reason"),
    DocumentRejected("source", "seal", "reason"),
    LeaseChanged("source", "granted"),
    BreakerChanged("source", "store", "opened"),
)


def rows(document: str, heading: str) -> list[list[str]]:
    """Return the cells of the table under that heading row."""
    _, found, rest = DOCUMENTS[document].partition(f"\n| {heading} |\n")
    assert found, f"{document} has no table under {heading!r}"
    table = rest.partition("\n\n")[0].splitlines()[1:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table]


def names(cell: str) -> list[str]:
    """Return what stands in backticks, without a module's name before a class."""
    return [name.removeprefix("jwt.") for name in re.findall(r"`([^`]+)`", cell)]


def executed(code: str) -> dict[str, Any]:
    """Run a block as a script of its own, and return its names."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(code, namespace)  # noqa: S102 - the documents' own code
    return namespace


@contextlib.asynccontextmanager
async def service(provider: FakeIssuer) -> AsyncIterator[httpx.AsyncClient]:
    """Serve the README's service, with the provider's URL for the placeholder."""
    code = BLOCK.findall(README)[0]
    assert PLACEHOLDER in code
    namespace = executed(code.replace(PLACEHOLDER, provider.url))
    transport = httpx.ASGITransport(namespace["app"])
    async with (
        namespace["jwks"],
        httpx.AsyncClient(transport=transport, base_url="http://service") as client,
    ):
        yield client


def authorization(token: str) -> dict[str, str]:
    """Return the headers of a request."""
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch: pytest.MonkeyPatch, redis_url: str) -> None:
    """Reach the loopback without a proxy, whatever the environment says, and a Redis there."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("REDIS_URL", redis_url)


@pytest.fixture
def provider() -> Iterator[FakeIssuer]:
    """Return a provider that serves."""
    with FakeIssuer(algorithm="ES256") as provider:
        yield provider


@pytest.mark.parametrize("place", SCRIPTS)
def test_example_prints_what_it_says(place: str) -> None:
    """An example runs as it stands, and prints what the comment behind each `print` says."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        executed(EXAMPLES[place])
    assert out.getvalue().splitlines() == PROMISE.findall(EXAMPLES[place])


@pytest.mark.parametrize("place", OF_TESTS)
def test_example_of_tests_passes(place: str, tmp_path: Path) -> None:
    """An example of tests passes under pytest, with none of them skipped."""
    (tmp_path / "test_service.py").write_text(EXAMPLES[place])
    assert re.search(r"= \d+ passed in ", printed_for(tmp_path))


def printed_for(folder: Path) -> str:
    """Return what pytest prints of the tests in a folder, which must pass."""
    command = [sys.executable, "-m", "pytest", "-W", "error", "-p", "no:cacheprovider", "-rs"]
    command.append("--color=no")
    command += ["-p", "no:asyncio", "--hypothesis-profile=ci"]  # the same examples each time
    command += ["-W", "ignore:The anyio:DeprecationWarning"]  # Starlette's test client
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def test_example_store_keeps_the_contract(tmp_path: Path) -> None:
    """The store that the page shows passes its tests; those it can't be put to are told."""
    store, *_ = (code for place, code in EXAMPLES.items() if place.startswith("docs/stores.md"))
    [suite] = OF_SUITES
    (tmp_path / "sqlite_store.py").write_text(store)
    (tmp_path / "test_sqlite_store.py").write_text(EXAMPLES[suite])
    printed = printed_for(tmp_path)
    assert re.search(r"= \d\d passed, \d skipped in ", printed)
    assert set(re.findall(r"not declare the capability '(\w+)'", printed)) == {
        "cut", "forge", "stall",
    }  # fmt: skip


def test_every_executed_document_has_examples() -> None:
    """No executed document is without an example, and the README's first is there by line 30."""
    assert [name for name in EXECUTED if not BLOCK.search(DOCUMENTS[name])] == []
    first = BLOCK.search(README)
    assert first is not None
    assert README.count("\n", 0, first.end()) <= 30


async def test_readme_service_lets_good_tokens_in(provider: FakeIssuer) -> None:
    """The README's service answers 200 to a token for its audience, and 401 to any other."""
    good = provider.sign(aud="my-api")
    async with service(provider) as client:
        answer = await client.get("/me", headers=authorization(good))
        assert (answer.status_code, answer.json()) == (200, {"sub": "alice"})
        for token in (provider.sign(aud="other"), provider.forge(aud="my-api"), "junk"):
            assert (await client.get("/me", headers=authorization(token))).status_code == 401
        assert (await client.get("/me")).headers["WWW-Authenticate"] == 'Bearer realm="api"'


async def test_readme_service_wants_its_scope(provider: FakeIssuer) -> None:
    """The README's service answers 403 to a token without the scope, and names the scope."""
    granted = authorization(provider.sign(aud="my-api", scope="things:read things:write"))
    other = authorization(provider.sign(aud="my-api", scope="things:read"))
    async with service(provider) as client:
        assert (await client.delete("/things", headers=granted)).status_code == 200
        refused = await client.delete("/things", headers=other)
    assert refused.status_code == 403
    assert 'scope="things:write"' in refused.headers["WWW-Authenticate"]


async def test_readme_service_blames_no_caller_for_an_outage(provider: FakeIssuer) -> None:
    """The README's service answers 503, and when to come again, while the provider is down."""
    provider.outage(retry_after=60)
    async with service(provider) as client:
        refused = await client.get("/me", headers=authorization(provider.sign(aud="my-api")))
    assert refused.status_code == 503
    assert int(refused.headers["Retry-After"]) >= 60


async def test_readme_service_blames_no_caller_for_its_settings(provider: FakeIssuer) -> None:
    """The README's service answers 503 if discovery names another issuer."""
    provider.announce(issuer="https://other.example")
    async with service(provider) as client:
        refused = await client.get("/me", headers=authorization(provider.sign(aud="my-api")))
    assert refused.status_code == 503


def test_parameter_table_is_the_signature() -> None:
    """The page lists the parameters of `JWKS` with their defaults, and no others."""
    defaults = {name: it.default for name, it in inspect.signature(JWKS).parameters.items()}
    table = rows("docs/parameters.md", "parameter | type | default | meaning")
    stated = {names(name)[0]: names(default)[0] for name, _, default, _ in table}
    assert list(stated) == list(defaults)
    for name, default in defaults.items():
        text = stated[name]
        assert text == repr(default) or ast.literal_eval(text) == default, name


def test_method_table_is_the_interface() -> None:
    """The page lists the methods of `JWKS` with their parameters and defaults, and no others."""
    stated = [names(cell)[0] for cell, _ in rows("docs/parameters.md", "method | what it does")]
    members = {
        name: each for each in reversed(JWKS.mro()[:-1]) for name, each in vars(each).items()
    }
    methods = {
        name: each for name, each in members.items() if not name.startswith("_") and callable(each)
    }
    del methods["aclose"]
    assert [call.removeprefix("await ") for call in stated] == [
        name + signature(method) for name, method in methods.items()
    ]


def signature(method: Callable[..., object]) -> str:
    """Return the parameters of a method without their types."""
    _, *parameters = inspect.signature(method).parameters.values()
    bare = [it.replace(annotation=inspect.Parameter.empty) for it in parameters]
    return str(inspect.Signature(bare))


def test_kinds_of_failures_are_told() -> None:
    """docs/freshness.md lists each kind that an event can have."""
    listed = {cell: names(kinds) for cell, kinds in rows("docs/freshness.md", "event | kinds")}
    assert listed == {
        "`RefreshFailed`": [*get_args(RefreshFault)],
        "`StoreFailed`": [*get_args(StoreFault)],
        "`DocumentRejected`": [*get_args(DocumentFault)],
    }


def test_error_table_covers_what_is_exported() -> None:
    """The page lists our three errors and PyJWT's, all of them `jwt.InvalidTokenError`."""
    table = rows("docs/parameters.md", "raised | when | HTTP status")
    listed = {name: status for cell, _, status in table for name in names(cell)}
    ours = {name for name in auth_jwks.__all__ if name.endswith("Error")}
    assert listed.keys() == {"InvalidTokenError"} | ours
    for name in ours:
        assert issubclass(getattr(auth_jwks, name), jwt.InvalidTokenError)
    unavailable = {name for name, status in listed.items() if status.startswith("503")}
    assert unavailable == {"KeysUnavailableError", "IssuerMismatchError"}


@pytest.mark.parametrize("name", BAD)
async def test_class_of_the_error_table_is_raised(name: str, provider: FakeIssuer) -> None:
    """There is a token that raises each class which the table holds against tokens."""
    async with JWKS(provider.discovery_url, issuer=provider.issuer) as jwks:
        audience = "my-api" if name == "InvalidAudienceError" else None
        with pytest.raises(jwt.InvalidTokenError) as raised:
            await jwks.verify_token(BAD[name](provider), audience)
    assert raised.type.__name__ == name


def test_error_classes_are_complete() -> None:
    """The table of classes holds those that tokens raise, and the two that they don't."""
    listed = [names(cell)[0] for cell, _ in rows("docs/errors.md", "class | the cause")]
    assert listed == [*BAD, "KeysUnavailableError", "IssuerMismatchError"]


def test_reason_table_has_every_reason() -> None:
    """The table lists each, in the order of the enumeration."""
    table = rows("docs/errors.md", "reason | the token, or the service")
    assert [names(cell)[0] for cell, _ in table] == [*Reason]


def test_event_table_is_what_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The table of events lists each one, with the levels it is logged at."""
    levels: defaultdict[str, set[str]] = defaultdict(set)
    with caplog.at_level("DEBUG", "auth_jwks"):
        for event in OCCURRENCES:
            caplog.clear()
            announce(event, None)
            levels[type(event).__name__] |= {record.levelname for record in caplog.records}
        caplog.clear()
        watch = StoreWatch(MemoryKeyStore(), "source", FakeClock(), None)
        watch.failed("poll", "unavailable", "reason", opened=True)
        watch.answered()
        for record in caplog.records:
            # Of these events another line is logged beside the event itself.
            if record.levelname != "DEBUG":
                name = "StoreFailed" if "failed to" in record.getMessage() else "BreakerChanged"
                levels[name] |= {record.levelname}
        caplog.clear()
        Tally(Observers(), "source", FakeClock()).refused(jwt.InvalidTokenError())
        levels["TokenRefused"] = {record.levelname for record in caplog.records}
    assert levels.keys() == {event.__name__ for event in get_args(Event)}
    table = rows("docs/freshness.md", "event | when | level")
    assert levels == {names(event)[0]: set(re.findall("[A-Z]{4,}", it)) for event, _, it in table}


def test_fault_table_is_the_fake_issuers() -> None:
    """The table of faults lists methods of `FakeIssuer`, with parameters that they have."""
    for cell, _ in rows("docs/testing.md", "method | the provider"):
        call = ast.parse(names(cell)[0], mode="eval").body
        assert isinstance(call, ast.Call)
        assert isinstance(call.func, ast.Name)
        stated = {ast.unparse(it) for it in call.args} | {str(it.arg) for it in call.keywords}
        taken = inspect.signature(getattr(FakeIssuer, call.func.id)).parameters
        assert stated <= taken.keys() or "members" in taken, call.func.id


@pytest.mark.parametrize(
    ("heading", "kind"),
    [("method | what it does to the store", StoreRig), ("method | the store", ChaosStore)],
)
def test_tables_of_the_store_kit_are_its_methods(heading: str, kind: type) -> None:
    """They list those that do something to a store, with their parameters, and no others."""
    stated = {names(cell)[0].partition("(")[0] for cell, _ in rows("docs/stores.md", heading)}
    methods = {name for name, it in vars(kind).items() if inspect.isfunction(it)}
    others = {"open", "release", "recover", "poll", "commit", "fail", "aclose"}
    assert stated == {name for name in methods - others if not name.startswith("_")}
    for cell, _ in rows("docs/stores.md", heading):
        name, _, words = names(cell)[0].rstrip(")").partition("(")
        given = [word.strip() for word in words.split(",") if word]
        taken = list(inspect.signature(getattr(kind, name)).parameters)[1:]
        assert given == [word for word in taken if word not in {"times", "on"}]


@pytest.mark.parametrize("module", [base, gate, record], ids=lambda module: module.__name__)
def test_what_authors_of_stores_import_is_documented(module: ModuleType) -> None:
    """The page names all that the modules of the rules offer, with the parameters it has."""
    page = DOCUMENTS["docs/stores.md"]
    offered = [name for name in module.__all__ if module is not base or name.isupper()]
    assert [name for name in offered if not re.search(rf"`{name}\b", page)] == []
    for name, words in re.findall(r"^\| `(\w+)\((.*?)\)` \|", page, re.MULTILINE):
        if name in module.__all__:
            taken = inspect.signature(getattr(module, name)).parameters
            assert re.findall(r"\w+", words) == list(taken)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name: str) -> None:
    """Every relative link names a file of this repository."""
    folder = (ROOT / name).parent
    assert [link for link in LINK.findall(DOCUMENTS[name]) if not (folder / link).exists()] == []


def test_changelog_keeps_its_form() -> None:
    """The changelog begins with what is unreleased, in sections of Keep a Changelog."""
    versions = re.findall(r"^## (.+)$", DOCUMENTS["CHANGELOG.md"], re.MULTILINE)
    sections = re.findall(r"^### (.+)$", DOCUMENTS["CHANGELOG.md"], re.MULTILINE)
    assert versions[0] == "[Unreleased]"
    assert sections == [section for section in CHANGES if section in sections]


# The fleet.


def redis_acl() -> list[str]:
    """Return the words of the ACL rule that docs/fleet.md gives."""
    found = re.search(r"^ACL SETUSER auth-jwks (.*)$", DOCUMENTS["docs/fleet.md"], re.MULTILINE)
    assert found is not None
    return found[1].split()


async def used(url: str) -> None:
    """Do with a store all that a worker does."""
    async with RedisKeyStore(url, integrity_key=b"k" * 32) as store:
        known = 0
        for outcome in ("commit", "fail", "commit"):
            request = LeaseRequest(outcome, 0.05, "unknown_kid")
            granted: Answer = Busy(0.0)
            while not isinstance(granted, Granted):
                granted = await store.poll("key", known=known, lease=request)
            if outcome == "fail":
                await store.fail(granted.lease, retry_after=0.001)
            else:
                known = await store.commit(granted.lease, b"x", ttl=60, window=0.01) or 0
        assert isinstance(await store.poll("key", known=0, lease=None), Newer)


async def test_redis_acl_is_enough(valkey: ValkeyServer) -> None:
    """A user with the documented rights and no others can do all that a store does."""
    with Redis.from_url(valkey.connection_url) as admin:
        admin.execute_command("ACL", "SETUSER", "auth-jwks", *redis_acl())
    await used(valkey.connection_url.replace("//", "//auth-jwks:change-me@"))


@pytest.mark.parametrize("right", [word for word in redis_acl() if word[0] in "+~"])
async def test_redis_acl_has_no_right_too_many(valkey: ValkeyServer, right: str) -> None:
    """Without any one of them something fails."""
    rights = [word for word in redis_acl() if word != right]
    with Redis.from_url(valkey.connection_url) as admin:
        admin.execute_command("ACL", "SETUSER", "auth-jwks", *rights)
        admin.set("auth-jwks:2:{key}", "of another type")
    with pytest.raises(StoreUnavailable):
        await used(valkey.connection_url.replace("//", "//auth-jwks:change-me@"))


def test_fleet_parameter_table_is_the_signature() -> None:
    """The page lists the parameters of `RedisKeyStore` that users need, with their defaults."""
    parameters = inspect.signature(RedisKeyStore).parameters
    for name, default, _ in rows("docs/fleet.md", "parameter | default | meaning"):
        stated = inspect.Parameter.empty if not default else ast.literal_eval(names(default)[0])
        assert parameters[names(name)[0]].default == stated, name
