"""Forks, and the end of a program."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from auth_jwks.testing import FakeIssuer

PROGRAM = """
import os, signal, sys, threading, time, traceback, warnings
warnings.filterwarnings("ignore", ".*use of fork", DeprecationWarning)
import logging
logging.getLogger("asyncio").setLevel(logging.ERROR)  # a slow machine is no fault
from auth_jwks import RedisKeyStore
from auth_jwks.sync import SyncJWKS

url, issuer, redis, *tokens = sys.argv[1:]
store = RedisKeyStore(redis, integrity_key="k" * 32) if redis else None
jwks = SyncJWKS(url, "api", issuer=issuer, store=store, retries=0, token_cache_size=2)

def say(*words):
    print(*words, flush=True)

def told():
    assert sys.stdin.readline()

def fork(work):
    child = os.fork()
    if child:
        return child
    signal.alarm(15)  # by default it kills
    try:
        work()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)

def ended(child):
    assert os.waitpid(child, 0)[1] == 0

def verify(token=tokens[0]):
    assert jwks.verify_token(token)["sub"] == "alice"

def refresh():
    verify()
    jwks.refresh(force=True)

def background():
    return sum(thread.name == "auth_jwks" for thread in threading.enumerate())
"""


class Program:
    """A program with the names above, as a test sees it."""

    def __init__(
        self, issuer: FakeIssuer, text: str, redis: str = "", *, measured: bool = True
    ) -> None:
        tokens = [issuer.sign(aud="api", jti=str(number)) for number in range(4)]
        environment = {
            name: value
            for name, value in os.environ.items()
            if measured or not name.startswith("COVERAGE")
        }
        self._process = subprocess.Popen(
            [
                sys.executable, "-X", "dev", "-W", "error", "-c", PROGRAM + text,
                issuer.discovery_url, issuer.issuer, redis, *tokens,
            ],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True, env=environment,
        )  # fmt: skip

    def tell(self) -> None:
        """Let it go on."""
        assert self._process.stdin
        self._process.stdin.write("go on\n")
        self._process.stdin.flush()

    def said(self) -> str:
        """Return the next line that it prints."""
        assert self._process.stdout
        return self._process.stdout.readline().strip()

    def end(self) -> str:
        """Return what else it prints, and check that it ends well and has nothing to complain."""
        try:
            self._process.wait(30)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            output, errors = self._process.communicate()
        assert errors == ""
        assert self._process.returncode == 0
        return output


def test_a_child_has_the_keys(provider: FakeIssuer) -> None:
    """And the tokens, and so needs no thread for them; a child of its own likewise."""
    program = Program(
        provider,
        """
def child():
    verify()
    assert not background()
    assert jwks.status().kids == ("first",)
    before = threading.stack_size(1 << 46)
    verify(tokens[1])
    threading.stack_size(before)
    ended(fork(grandchild))
    refresh()
    assert background() == 1
    ended(fork(grandchild))
    jwks.close()
    assert not background()

def grandchild():
    verify()
    assert not background()
    refresh()

verify()
ended(fork(child))
refresh()
""",
    )
    assert program.end() == ""
    assert provider.jwks_requests == 1 + 1 + 1 + 1 + 1


def test_a_child_without_a_thread(provider: FakeIssuer) -> None:
    """If it can have none, keys that should be refreshed serve as long as they are fresh."""
    program = Program(
        provider,
        """
from auth_jwks.testing import FakeClock

clock = FakeClock(time.time())
jwks = SyncJWKS(url, "api", issuer=issuer, retries=0, clock=clock)

def child():
    clock.advance(850)
    clock.set_time(time.time())
    before = threading.stack_size(1 << 46)
    verify()
    threading.stack_size(before)
    verify(tokens[1])
    while not background():
        verify()
        clock.advance(0.01)

verify()
ended(fork(child))
""",
    )
    assert program.end() == ""


def test_a_fork_amid_a_refresh(provider: FakeIssuer) -> None:
    """The child makes its own, and waits for nothing of its parent, whose refresh goes on."""
    provider.hang(times=1)
    program = Program(
        provider,
        """
waiting = threading.Thread(target=verify)
waiting.start()
told()
ended(fork(refresh))
say("child")
waiting.join()
verify()
assert background() == 1
say("parent")
""",
    )
    asyncio.run(provider.arrived(1))
    program.tell()
    assert program.said() == "child"
    provider.release()
    assert program.said() == "parent"
    assert program.end() == ""
    assert provider.jwks_requests == 3


@pytest.mark.parametrize("store", ["", "redis"])
def test_a_fork_amid_the_first_fetch(
    request: pytest.FixtureRequest, provider: FakeIssuer, store: str
) -> None:
    """It imports nothing any more, which the child would have half of."""
    program = Program(
        provider,
        """
before = {*sys.modules}
verify()
print(*{*sys.modules} - before)
""",
        request.getfixturevalue("redis_url") if store else "",
    )
    assert program.end() == "\n"


def test_forks_amid_verifications(provider: FakeIssuer) -> None:
    """Fifty of them, while threads verify without a pause: each child answers."""
    program = Program(
        provider,
        """
over = False

def hammer():
    while not over:
        for token in tokens:
            verify(token)

def child():
    for token in tokens:
        verify(token)
    if number % 10 == 0:
        refresh()

verify()
sys.setswitchinterval(1e-5)
hammers = [threading.Thread(target=hammer, daemon=True) for _ in range(2)]
for each in hammers:
    each.start()
for number in range(50):
    ended(fork(child))
over = True
for each in hammers:
    each.join()
refresh()
""",
        measured=False,  # the tracer's own lock may be held at a fork
    )
    assert program.end() == ""
    assert provider.jwks_requests == 1 + 5 + 1


@pytest.mark.parametrize("store", ["", "redis"])
@pytest.mark.parametrize(
    "ending",
    [
        "verify()",
        "verify(); jwks.close()",
        "verify(); import atexit; atexit.register(jwks.close)",
        "threading.Thread(target=verify, daemon=True).start(); told()",
        "verify(); del jwks, verify, refresh",
    ],
    ids=["open", "closed", "closed at exit", "hanging", "dropped"],
)
def test_the_end_of_a_program(
    request: pytest.FixtureRequest, provider: FakeIssuer, ending: str, store: str
) -> None:
    """It ends at once and without a word, whether the verifier was closed or is at work."""
    redis = request.getfixturevalue("redis_url") if store else ""
    hangs = "told" in ending
    if hangs:
        provider.hang()
    program = Program(provider, f"{ending}\nsay('done')", redis)
    if hangs:
        asyncio.run(provider.arrived(1))
        program.tell()
    assert program.said() == "done"
    began = time.monotonic()
    assert program.end() == ""
    assert time.monotonic() - began < 2
