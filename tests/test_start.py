"""What a start costs, in counts that no noise can change: modules, compiled functions, memory."""

import json
import subprocess
import sys
from typing import Any

import pytest

import auth_jwks
from auth_jwks import profiles, stores
from auth_jwks.stores import gate
from auth_jwks.testing import FakeIssuer

# Of the package, with its rooms. Fewer is better: lower them when they sink.
MODULES_OF_JWKS = 62
MODULES_OF_FIRST_TOKEN = 62
# Functions of value classes: none at import, and until the first token those of seven classes.
COMPILED_FOR_FIRST_TOKEN = 7 * 6
CALLS = 250  # Python's own functions that make a verifier: 195 in Python 3.11
BYTES = 30 * 1024  # of a verifier without keys, which has about 8,000

FOUNDATION = "import asyncio, httpx, jwt, sys\n"
SEEN = "import json; print(json.dumps([*sys.modules]))\n"


def run(program: str) -> Any:
    """Return what a fresh interpreter prints, which is JSON."""
    command = [sys.executable, "-W", "ignore", "-c", program]
    ran = subprocess.run(command, capture_output=True, check=False, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def added(statement: str) -> set[str]:
    """Return the modules that a statement loads, besides those of the dependencies."""
    return set(run(f"{FOUNDATION}{statement}\n{SEEN}")) - set(run(FOUNDATION + SEEN))


def test_the_root_imports_the_errors_alone() -> None:
    """Whoever imports any module of the package imports the root too."""
    assert added("import auth_jwks") == {"auth_jwks", "auth_jwks._version", "auth_jwks.errors"}


@pytest.mark.parametrize("package", ["profiles", "stores"])
def test_a_package_imports_no_module_of_its_own(package: str) -> None:
    """One thread may import the package while another one imports a module of it."""
    name = f"auth_jwks.{package}"
    assert added(f"import {name}") - added("import auth_jwks") == {name}


def test_a_verifier_imports_what_it_uses() -> None:
    """No other verifier, no store that others may use, no web framework, no ML-DSA."""
    loaded = added("from auth_jwks import JWKS")
    ours = {name for name in loaded if name.startswith("auth_jwks")}
    assert len(ours) <= MODULES_OF_JWKS, sorted(ours)
    assert {f"auth_jwks.{name}" for name in UNUSED} & ours == set()
    foreign = {name.partition(".")[0] for name in loaded - ours}
    assert foreign & {"cachetools", "redis", "valkey", "starlette", "django", "rich"} == set()
    assert "cryptography.hazmat.primitives.asymmetric.mldsa" not in loaded


def test_a_first_token_imports_no_more() -> None:
    """With that, nothing that is imported late was put off only."""
    with FakeIssuer() as provider:
        program = FIRST_TOKEN.format(provider.discovery_url, provider.issuer, provider.sign())
        loaded, compilers = run(FOUNDATION + COUNT_COMPILED + program)
    ours = [name for name in loaded if name.startswith("auth_jwks")]
    assert len(ours) <= MODULES_OF_FIRST_TOKEN, sorted(ours)
    assert {f"auth_jwks.{name}" for name in UNUSED} & {*ours} == set()
    compiled = [name for name in compilers if name.endswith("_values.py")]  # else httpx's
    assert 0 < len(compiled) <= COMPILED_FOR_FIRST_TOKEN


FIRST_TOKEN = """
jwks = JWKS("{}", issuer="{}")
asyncio.run(jwks.verify_token("{}"))
import json; print(json.dumps([[*sys.modules], compilers]))
"""

UNUSED = (
    "_asgi", "_background_loop", "_cache.local_source", "_issuers",
    "_jose.tenants", "_provider.local", "_provider.made_client", "bearer", "cli", "health",
    "stores.file", "stores.redis", "sync",
)  # fmt: skip

COUNT_COMPILED = """
compilers = []

def note(event, arguments):
    if event == "compile" and arguments[1] == "<string>" and "(self" in str(arguments[0]):
        frame = sys._getframe()
        while "auth_jwks" not in frame.f_code.co_filename:
            frame = frame.f_back
        compilers.append(frame.f_code.co_filename)

sys.addaudithook(note)
from auth_jwks import JWKS
"""


def test_no_value_class_is_compiled_at_import() -> None:
    """The standard library's dataclasses compile six functions for each of 23 classes."""
    show = "import json; print(json.dumps(compilers))"
    assert run(FOUNDATION + COUNT_COMPILED + show) == []


MANY = """
import json, logging, tracemalloc
from auth_jwks import JWKS

logging.disable()
calls = 0

def note(frame, event, argument):
    global calls
    calls += event == "call"

def made(number):
    return JWKS(issuer=f"https://{number}.example.com", aud="api")

kept = [made(0), made(1)]
sys.setprofile(note)
kept.append(made(2))
sys.setprofile(None)
tracemalloc.start()
before, _ = tracemalloc.get_traced_memory()
kept += [made(number) for number in range(1000)]
after, _ = tracemalloc.get_traced_memory()
print(json.dumps([calls, (after - before) / 1000]))
"""


def test_many_verifiers_fit_into_a_process() -> None:
    """One for each tenant, say."""
    calls, size = run(FOUNDATION + MANY)
    assert calls <= CALLS
    assert size <= BYTES


REDIS = """
from auth_jwks import RedisKeyStore

calls = 0
def note(frame, event, argument):
    global calls
    calls += event == "call"

kept = [RedisKeyStore("redis://127.0.0.1", integrity_key=bytes(32))]
before = set(sys.modules)
sys.setprofile(note)
kept.append(RedisKeyStore("redis://127.0.0.1", integrity_key=bytes(32)))
sys.setprofile(None)
import json; print(json.dumps([calls, sorted(set(sys.modules) - before)]))
"""


def test_a_store_on_redis_is_made_quickly() -> None:
    """Beyond redis-py, the first imports its driver alone, and a second one nothing."""
    program = "import redis.asyncio; from auth_jwks import JWKS, RedisKeyStore"
    store = f"{program}; RedisKeyStore('redis://127.0.0.1', integrity_key=bytes(32))"
    ours = added(store) - added(program)
    assert ours == {"auth_jwks.stores._driver"}
    calls, more = run(FOUNDATION + REDIS)
    assert calls <= CALLS
    assert more == []


NAMES = ["events", "profiles", "stores", *auth_jwks.__all__]


def test_names_of_the_root_are_there_when_asked_for() -> None:
    """In a program that has imported nothing else, and in this one; `dir` shows them."""
    program = "import auth_jwks, json\n"
    program += f"print(json.dumps([name in dir(auth_jwks) for name in {NAMES}]))\n"
    program += "".join(f"assert auth_jwks.{name} is auth_jwks.{name}\n" for name in NAMES)
    assert all(run(program))
    assert set(NAMES) <= set(dir(auth_jwks))
    assert auth_jwks.__getattr__("stores") is stores


def test_stores_are_there_when_asked_for() -> None:
    """The store on files too, though it is imported late; other names are refused.

    Type checkers refuse those too: else they would find that they need not ignore them here.
    """
    assert set(stores.__all__) <= set(dir(stores))
    assert stores.gate is gate
    assert set(profiles.__all__) <= set(dir(profiles))
    with pytest.raises(AttributeError, match=r"'auth_jwks\.profiles' has no attribute 'Token'"):
        _ = profiles.Token  # type: ignore[attr-defined]
    assert stores.FileKeyStore is auth_jwks.FileKeyStore
    with pytest.raises(AttributeError, match=r"'auth_jwks\.stores' has no attribute 'Stores'"):
        _ = stores.Stores  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match=r"'auth_jwks\.stores\.gate' has no attribute 'FULL'"):
        _ = gate.FULL  # type: ignore[attr-defined]
    assert gate.__getattr__("EMPTY") is gate.EMPTY == gate.Record()
