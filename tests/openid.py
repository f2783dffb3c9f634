"""npm's oidc-provider, a certified OpenID provider, as a process on loopback."""

import fcntl
import hashlib
import json
import re
import select
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import httpx
import pytest

from auth_jwks import JWKS

__all__ = ["ALGORITHMS", "SWAGGER_UI", "Provider", "running"]

PROGRAM = Path(__file__).with_name("oidc_provider")
LOCK = PROGRAM / "package-lock.json"
STAMP = PROGRAM / "node_modules" / ".installed"
NPM_CI = ("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--engine-strict")
NPM_LIMITS = ("--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-timeout=20000")
# No network, or a Node that oidc-provider can't run on; anything else is a failure.
CANNOT_INSTALL = re.compile(
    r"EAI_AGAIN|EBADENGINE|ECONN\w+|E(?:HOST|NET)UNREACH|ENOTFOUND|ETIMEDOUT|ERR_SOCKET_TIMEOUT"
)
ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA", "Ed25519")
# What FastAPI's page loads from a network that tests do not have.
SWAGGER_UI = PROGRAM / "node_modules" / "swagger-ui-dist"


class Provider:
    """A running provider: what it said of itself, and the commands it takes."""

    def __init__(self, commands: IO[str], answers: IO[str]) -> None:
        self.commands = commands
        self.answers = answers
        said = json.loads(self.answer())
        self.issuer: str = said["issuer"]
        self.client = (said["client_id"], said["client_secret"])
        self.discovery_url = f"{self.issuer}/.well-known/openid-configuration"

    def answer(self) -> str:
        """Return the next line it says."""
        assert select.select([self.answers], [], [], 60)[0], "the provider says nothing"
        line = self.answers.readline()
        assert line, "the provider has ended: see its standard error"
        return line

    def tell(self, command: str) -> None:
        """Have it `rotate` its signing keys or `withdraw` the previous ones."""
        self.commands.write(f"{command}\n")
        self.commands.flush()
        assert json.loads(self.answer()) == command

    async def token(self, alg: str) -> str:
        """Return an access token for the resource server that wants `alg`."""
        form = {"grant_type": "client_credentials", "resource": f"urn:api:{alg}"}
        async with httpx.AsyncClient(trust_env=False) as client:
            reply = await client.post(f"{self.issuer}/token", auth=self.client, data=form)
        token: str = reply.raise_for_status().json()["access_token"]
        return token

    async def published_keys(self) -> list[dict[str, Any]]:
        """Return the members of its key set."""
        async with httpx.AsyncClient(trust_env=False) as client:
            reply = await client.get(f"{self.issuer}/jwks")
        keys: list[dict[str, Any]] = reply.raise_for_status().json()["keys"]
        return keys

    def verifier(self, alg: str) -> JWKS:
        """Return a verifier for that resource server's tokens."""
        return JWKS(
            self.discovery_url,
            aud=f"urn:api:{alg}",
            allowed_algorithms=set(ALGORITHMS),
            issuer=self.issuer,
        )


def install(npm: str) -> None:
    """Install the locked packages, once for each state of the lock file.

    Test processes that come to it at once wait for the first.
    """
    with LOCK.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        _install(npm, hashlib.sha256(file.read()).hexdigest())


def _install(npm: str, locked: str) -> None:
    if STAMP.is_file() and STAMP.read_text() == locked:
        return
    done = subprocess.run(
        [npm, *NPM_CI, *NPM_LIMITS],
        cwd=PROGRAM,
        capture_output=True,
        text=True,
        timeout=80,
        check=False,
    )
    if done.returncode and (why := CANNOT_INSTALL.search(done.stderr)):
        pytest.skip(f"npm ci can't install oidc-provider: {why[0]}")
    assert done.returncode == 0, done.stderr
    STAMP.write_text(locked)


@contextmanager
def running() -> Iterator[Provider]:
    """Run a provider; skip the test where it can't be installed."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("oidc-provider needs node and npm on the PATH")
    install(npm)
    with subprocess.Popen(
        [node, "provider.mjs"],
        cwd=PROGRAM,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Provider(process.stdin, process.stdout)
        finally:
            process.kill()
