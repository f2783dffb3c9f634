"""One TLS context for each process and environment, whoever asks for it."""

import asyncio
import ssl
import subprocess
import sys
import threading

import pytest

from auth_jwks._provider.tls import SharedTLS


class Maker:
    """Makes contexts, and counts them and the threads that they were made in."""

    def __init__(self) -> None:
        self.threads: list[int] = []
        self.fault: Exception | None = None

    def __call__(self) -> ssl.SSLContext:
        """Make one, or fail."""
        self.threads.append(threading.get_ident())
        if self.fault is not None:
            raise self.fault
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


async def test_those_who_ask_at_once_share_one_context() -> None:
    """It is made outside the event loop's thread, once."""
    make = Maker()
    shared = SharedTLS(make)
    assert repr(shared) == "SharedTLS(made=False)"
    contexts = await asyncio.gather(*(shared.context() for _ in range(20)))
    assert {*map(id, contexts)} == {id(await shared.context())}
    assert len(make.threads) == 1
    assert threading.get_ident() not in make.threads
    assert repr(shared) == "SharedTLS(made=True)"


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
async def test_another_environment_has_another_context(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """As the variables say which authorities are trusted."""
    shared = SharedTLS(make := Maker())
    monkeypatch.delenv(variable, raising=False)
    first = await shared.context()
    monkeypatch.setenv(variable, "/nowhere")
    second = await shared.context()
    assert second is not first
    assert await shared.context() is second
    assert len(make.threads) == 2


async def test_a_failure_is_not_kept() -> None:
    """The next one who asks has it made again."""
    make = Maker()
    shared = SharedTLS(make)
    make.fault = OSError("no such file")
    with pytest.raises(OSError, match="no such file"):
        await shared.context()
    make.fault = None
    assert await shared.context() is await shared.context()
    assert len(make.threads) == 2


FORKING = """
import asyncio, os, ssl
from auth_jwks._provider.tls import SharedTLS

made = []

def make():
    made.append(os.getpid())
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

shared = SharedTLS(make)
asyncio.run(shared.context())
child = os.fork()
asyncio.run(shared.context())
if not child:
    os._exit(len(made))
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 2
assert made == [os.getpid()]
"""


def run(text: str) -> str:
    """Return what a program prints."""
    command = [sys.executable, "-W", "ignore", "-c", text]
    program = subprocess.run(command, capture_output=True, check=False, text=True, timeout=60)
    assert program.returncode == 0, program.stderr
    return program.stdout


def test_a_child_has_a_context_of_its_own() -> None:
    """That of the parent may have been in use by another thread at the moment of the fork."""
    run(FORKING)


VERIFIERS = """
import asyncio, threading
from auth_jwks import JWKS, KeysUnavailableError
from auth_jwks.sync import SyncJWKS

loaded = []

def count(frame, event, argument):
    if event == "c_call" and argument.__name__ == "load_verify_locations":
        loaded.append(argument)

async def refresh():
    try:
        await JWKS(jwks_uri="https://127.0.0.1:9/", retries=0).refresh()
    except KeysUnavailableError:
        pass

async def together():
    await asyncio.gather(refresh(), refresh())

threading.setprofile(count)
asyncio.run(together())
asyncio.run(refresh())
try:
    SyncJWKS(jwks_uri="https://127.0.0.1:9/", retries=0).refresh()
except KeysUnavailableError:
    pass
print(len(loaded))
"""


def test_all_verifiers_of_a_process_share_one() -> None:
    """In whatever event loop or thread."""
    assert run(VERIFIERS) == "1\n"
