"""Keys without a network, in threads."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from auth_jwks import KeysUnavailableError, UnknownKeyError
from auth_jwks.sync import SyncJWKS
from auth_jwks.testing import FakeClock, FakeIssuer
from tests.sync.threads import KEY, OTHER, threads, until

ISSUER = "https://idp.test"


def document(*keys: Any) -> str:
    """Return a key set."""
    return json.dumps({"keys": [key.jwk() for key in keys]})


@pytest.fixture
def signer(clock: FakeClock) -> FakeIssuer:
    """Return what signs, and serves nothing."""
    return FakeIssuer(issuer=ISSUER, keys=[KEY], clock=clock)


def test_given_keys_need_no_background_thread(clock: FakeClock, signer: FakeIssuer) -> None:
    """Neither for tokens they verify, nor for those they don't, nor at any time."""
    with SyncJWKS(jwks=json.loads(document(KEY)), issuer=ISSUER, clock=clock) as jwks:
        for _ in range(3):
            assert jwks.verify_token(signer.sign())["iss"] == ISSUER
            with pytest.raises(UnknownKeyError):
                jwks.verify_token(signer.sign(key=OTHER))
            clock.advance(1e6)
        assert threads() == 0
        jwks.refresh(force=True)
        assert jwks.verify_token(signer.sign())


def test_a_file_is_read_in_the_background(
    tmp_path: Path, clock: FakeClock, signer: FakeIssuer
) -> None:
    """At first a thread waits for it, later none does; an unknown key looks at once."""
    path = tmp_path / "keys.json"
    with SyncJWKS(jwks_file=path, issuer=ISSUER, clock=clock) as jwks:
        with pytest.raises(KeysUnavailableError, match="No such file or directory"):
            jwks.verify_token(signer.sign())
        path.write_text(document(KEY))
        clock.advance(10)
        assert jwks.verify_token(signer.sign())["iss"] == ISSUER
        path.write_text(document(OTHER))
        clock.advance(1)
        jwks.verify_token(signer.sign())
        until(lambda: jwks.status().kids == ("second",))
        with pytest.raises(UnknownKeyError):
            jwks.verify_token(signer.sign())
        path.write_text(document(KEY, OTHER))
        assert jwks.verify_token(signer.sign())


PROGRAM = """
import os, sys, time, warnings
warnings.filterwarnings("ignore", ".*use of fork", DeprecationWarning)
import logging
from auth_jwks.sync import SyncJWKS

logging.getLogger("asyncio").setLevel(logging.ERROR)  # a slow machine is no fault
path, issuer, first, second, document = sys.argv[1:]
jwks = SyncJWKS(jwks_file=path, issuer=issuer, cache_ttl=0.01, aud="api")
jwks.verify_token(first)
with open(path, "w") as file:
    file.write(document)
if child := os.fork():
    assert os.waitpid(child, 0)[1] == 0
    jwks.verify_token(second)
    jwks.close()
    print("parent")
else:
    try:
        jwks.verify_token(second)
        print("child", flush=True)
        jwks.close()
    finally:
        os._exit(0)
"""


@pytest.mark.posix
def test_after_a_fork_each_reads_for_itself(tmp_path: Path) -> None:
    """The thread that read for the parent is gone in the child."""
    signer = FakeIssuer(issuer=ISSUER, keys=[KEY])
    path = tmp_path / "keys.json"
    path.write_text(document(KEY))
    tokens = signer.sign(aud="api"), signer.sign(aud="api", key=OTHER)
    words = [str(path), ISSUER, *tokens, document(KEY, OTHER)]
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", PROGRAM, *words]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (run.stderr, run.stdout.split()) == ("", ["child", "parent"])
