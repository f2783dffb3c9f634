"""docs/command-line.md: what it shows, and how to write it anew (`python -m tests.cli.page`)."""

import asyncio
import io
import os
import re
import tempfile
from pathlib import Path

from auth_jwks import JWKS, FileKeyStore
from auth_jwks.cli import main
from auth_jwks.testing import FakeIssuer, SigningKey

PATH = Path(__file__).parents[2] / "docs" / "command-line.md"
PLACE, FOLDER = "http://127.0.0.1:8080", "/run/auth-jwks"
BLOCK = re.compile(r"^```console\n\$ auth-jwks (.*)\n((?:.*\n)*?)```$", re.MULTILINE)


def provider_of_the_page(port: int = 0) -> FakeIssuer:
    """Return the provider that the page is about."""
    keys = [SigningKey.generate("RS256", "2026-11"), SigningKey.generate("ES384", "2026-12")]
    provider = FakeIssuer(keys=keys, port=port)
    provider.publish(keys[0].jwk(kid="enc", use="enc", alg="RSA-OAEP"))
    provider.cache("max-age=3600")
    return provider


def fill(folder: str | Path, provider: FakeIssuer) -> None:
    """Let a worker store the keys in a directory."""

    async def work() -> None:
        store = FileKeyStore(folder)
        async with store, JWKS(issuer=provider.issuer, aud="x", store=store) as jwks:
            await jwks.refresh()

    asyncio.run(work())


def printed(line: str, provider: FakeIssuer, folder: str | Path) -> str:
    """Return what a command of the page prints here, with the directory's name on the page."""
    words, _, token = line.partition(" < ")
    argv = words.replace(PLACE, provider.url).replace(FOLDER, str(folder)).split()
    out, err = io.StringIO(), io.StringIO()
    main(argv, io.StringIO(provider.sign(aud="account") if token else ""), out, err)
    return (out.getvalue() + err.getvalue()).replace(str(folder), FOLDER)


def write() -> None:
    """Write the outputs on the page anew, but for that of the process."""
    os.environ["COLUMNS"] = "80"
    with tempfile.TemporaryDirectory() as folder, provider_of_the_page(8080) as provider:
        fill(folder, provider)

        def block(found: re.Match[str]) -> str:
            line, before = found.groups()
            output = before if line.startswith("issuer") else printed(line, provider, folder)
            return f"```console\n$ auth-jwks {line}\n{output}```"

        PATH.write_text(BLOCK.sub(block, PATH.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    write()
