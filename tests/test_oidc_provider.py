"""Against a certified OpenID provider: npm's oidc-provider, started here on loopback."""

import hashlib
import json
import re
import select
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import httpx
import jwt
import pytest

from auth_jwks import JWKS, IssuerMismatchError, UnknownKeyError

PROGRAM = Path(__file__).with_name("oidc_provider")
STAMP = PROGRAM / "node_modules" / ".installed"
NPM_CI = ("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--engine-strict")
NPM_LIMITS = ("--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-timeout=20000")
# No network, or a Node that oidc-provider can't run on; anything else is a failure.
CANNOT_INSTALL = re.compile(
    r"EAI_AGAIN|EBADENGINE|ECONN\w+|E(?:HOST|NET)UNREACH|ENOTFOUND|ETIMEDOUT|ERR_SOCKET_TIMEOUT"
)
ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA", "Ed25519")


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
    """Install the locked packages, once for each state of the lock file."""
    locked = hashlib.sha256((PROGRAM / "package-lock.json").read_bytes()).hexdigest()
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


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    """Run one provider for all tests of this module."""
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


def altered(token: str, segment: int, **members: str) -> str:
    """Return the token with members of its header (0) or payload (1) replaced."""
    segments = token.split(".")
    content = json.loads(jwt.utils.base64url_decode(segments[segment])) | members
    segments[segment] = jwt.utils.base64url_encode(json.dumps(content).encode()).decode()
    return ".".join(segments)


@pytest.mark.parametrize("alg", ALGORITHMS)
async def test_an_access_token_of_each_algorithm_is_verified(provider: Provider, alg: str) -> None:
    """Discovery, the key set and the token fit together, and the claims come out as issued."""
    token = await provider.token(alg)
    async with provider.verifier(alg) as jwks:
        claims = await jwks.verify_token(token)
    assert jwt.get_unverified_header(token)["alg"] == alg
    assert claims == jwt.decode(token, options={"verify_signature": False})
    assert (claims["iss"], claims["aud"]) == (provider.issuer, f"urn:api:{alg}")


async def test_the_published_encryption_key_verifies_nothing(provider: Provider) -> None:
    """The `use: enc` key of the set is left out alone, and a token that names it finds no key."""
    kids = {key["kid"]: key["use"] for key in await provider.published_keys()}
    (encryption,) = (kid for kid, use in kids.items() if use == "enc")
    async with provider.verifier("RS256") as jwks:
        with pytest.raises(UnknownKeyError):
            await jwks.verify_token(altered(await provider.token("RS256"), 0, kid=encryption))
        assert set(jwks.status().kids) == kids.keys() - {encryption}


async def test_a_rotation_is_followed_within_the_key_set_lifetime(provider: Provider) -> None:
    """The first token under a new key is verified at once, and those under the old one still."""
    old = await provider.token("RS256")
    async with provider.verifier("RS256") as jwks:
        await jwks.verify_token(old)
        provider.tell("rotate")
        new = await provider.token("RS256")
        assert (await jwks.verify_token(new))["jti"] != (await jwks.verify_token(old))["jti"]
    kids = {jwt.get_unverified_header(token)["kid"] for token in (old, new)}
    assert len(kids) == 2


async def test_a_withdrawn_key_is_gone_after_a_forced_refresh(provider: Provider) -> None:
    """Once the provider has withdrawn a key and the set is fetched anew, its tokens are refused."""
    token = await provider.token("ES256")
    async with provider.verifier("ES256") as jwks:
        await jwks.verify_token(token)
        provider.tell("rotate")
        provider.tell("withdraw")
        await jwks.refresh(force=True)
        with pytest.raises(UnknownKeyError):
            await jwks.verify_token(token)
        await jwks.verify_token(await provider.token("ES256"))


async def test_a_tampered_token_is_refused(provider: Provider) -> None:
    """A payload changed after signing fails the signature check."""
    forged = altered(await provider.token("ES256"), 1, sub="admin")
    async with provider.verifier("ES256") as jwks:
        with pytest.raises(jwt.InvalidSignatureError):
            await jwks.verify_token(forged)


async def test_a_token_for_another_resource_server_is_refused(provider: Provider) -> None:
    """The audience is the resource server the token was asked for, and no other."""
    async with provider.verifier("RS256") as jwks:
        with pytest.raises(jwt.InvalidAudienceError):
            await jwks.verify_token(await provider.token("ES256"))


async def test_an_issuer_that_is_not_the_configured_one_is_refused(provider: Provider) -> None:
    """A slash too many in the configured issuer, and no key of the provider is trusted."""
    token = await provider.token("RS256")
    async with JWKS(provider.discovery_url, issuer=f"{provider.issuer}/") as jwks:
        with pytest.raises(IssuerMismatchError):
            await jwks.verify_token(token)
