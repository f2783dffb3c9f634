"""npm's oidc-provider, a certified OpenID provider, as a process on loopback."""

import json
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
from tests.npm import install

__all__ = ["ALGORITHMS", "SWAGGER_UI", "Provider", "running"]

PROGRAM = Path(__file__).with_name("oidc_provider")
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
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            reply = await client.post(f"{self.issuer}/token", auth=self.client, data=form)
        token: str = reply.raise_for_status().json()["access_token"]
        return token

    async def published_keys(self) -> list[dict[str, Any]]:
        """Return the members of its key set."""
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
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
            timeout=30,
        )


@contextmanager
def running() -> Iterator[Provider]:
    """Run a provider; skip the test where it can't be installed."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("oidc-provider needs node on the PATH")
    install(PROGRAM)
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
