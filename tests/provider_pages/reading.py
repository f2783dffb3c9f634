"""A page read from top to bottom: what its code makes, what it logs, what a mistake looks like."""

import contextlib
import json
import re
import traceback
from collections.abc import Iterator
from functools import cache
from typing import Any

import jwt
import pytest

from auth_jwks import JWKS
from auth_jwks.testing import SigningKey
from tests.issuers.shapes import Signed
from tests.issuers.sites import Site
from tests.provider_pages.expected import PAGES, Mistake
from tests.provider_pages.pages import Block, Script, blocks, is_verifier

# The pause until the next attempt is drawn at random.
PAUSE = re.compile(r"(?<=next attempt in )\d+(?= s)")


class Reading:
    """A page that is being read, over the hosts of its provider."""

    def __init__(
        self, page: str, internet: Site, files: dict[str, str], caplog: pytest.LogCaptureFixture
    ) -> None:
        self.page = PAGES[page]
        self.blocks = blocks(page)
        self.verifiers: dict[str, JWKS] = {}
        self._script = Script(files)
        self._caplog = caplog
        internet.documents = self.page.documents
        caplog.set_level("WARNING", "auth_jwks")

    @property
    def names(self) -> dict[str, Any]:
        """What the code has defined by now."""
        return self._script.names

    def run(self, code: str) -> str:
        """Run a block, and return what it logs."""
        self._caplog.clear()
        self._script.run(code)
        return self.logged()

    def logged(self) -> str:
        """Return the lines that were logged since the last block."""
        records = [each for each in self._caplog.records if each.name == "auth_jwks"]
        lines = [f"{each.levelname} {each.getMessage()}\n" for each in records]
        return self._script.as_printed(PAUSE.sub("6", "".join(lines)))

    def without_mistakes(self) -> Iterator[Block]:
        """Run the blocks of code one by one, up to the mistakes, and give each."""
        for block in self.blocks:
            if block.is_of_a_mistake:
                return
            if block.language == "python":
                self.run(block.code)
                if is_verifier(block):
                    self.verifiers[block.section] = self.names["jwks"]
            yield block

    async def told(self, heading: str, mistake: Mistake, internet: Site) -> str:
        """Return the error of a mistake and its lines in the log, once there are keys."""
        list(self.without_mistakes())
        internet.documents = internet.documents | mistake.documents
        parts = [each for each in self.blocks if each.heading == heading]
        self._caplog.clear()
        jwks = self.verifiers.get(mistake.section)
        if parts[0].language == "python":
            self.run(parts[0].code)
            jwks = self.names["jwks"]
        assert isinstance(jwks, JWKS)
        async with jwks:
            with contextlib.suppress(jwt.InvalidTokenError):
                await jwks.refresh()
            with pytest.raises(jwt.InvalidTokenError) as caught:
                await jwks.verify_token(str(mistake.token))
        error = "".join(traceback.format_exception_only(caught.value))
        return self._script.as_printed(error) + self.logged()


def printed_tokens(page: str) -> Iterator[tuple[Block, dict[str, Any], dict[str, Any]]]:
    """Return the header and the payload of each token that a page prints, and where it is."""
    printed = [each for each in blocks(page) if each.language == "json"]
    for header, payload in zip(printed[::2], printed[1::2], strict=True):
        yield header, json.loads(header.code), json.loads(payload.code)


def spoiled(token: Signed, *, any_issuer: bool) -> list[str]:
    """Return tokens that no verifier may accept."""
    forged = Signed(token.claims, token.headers, forger(token.key.algorithm, token.key.kid))
    others = [token.but(exp=1), forged]
    if not any_issuer:
        others.append(token.but(iss="https://evil.example"))
    if "aud" in token.claims:
        others.append(token.but(aud="another"))
    return [str(each) for each in others]


@cache
def forger(algorithm: str, kid: str) -> SigningKey:
    """Return a key that claims to be another."""
    return SigningKey.generate(algorithm, kid)


def present(token: Signed) -> dict[str, Any]:
    """Return the claims that a token has."""
    return {name: value for name, value in token.claims.items() if value is not None}
