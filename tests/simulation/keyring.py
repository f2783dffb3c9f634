"""Keys and tokens, made once per run: a world uses the first few of them."""

from dataclasses import dataclass
from typing import Any

from auth_jwks.testing.keys import SigningKey
from tests.simulation.machine import EPOCH

__all__ = ["ISSUER", "OTHER_ISSUER", "Credential", "Keyring"]

ISSUER = "https://idp.example"
OTHER_ISSUER = "https://portal.example"
YEARS = 3e8
USERS = 4


@dataclass(frozen=True, slots=True)
class Credential:
    """A key as the provider publishes it: which one, and under what name, if any."""

    number: int
    kid: str | None

    def __str__(self) -> str:
        return f"key {self.number} ({'no kid' if self.kid is None else self.kid})"


class Keyring:
    """A pool of ES256 keys, with what they sign; and marks, which tell key sets apart."""

    def __init__(self, size: int = 12) -> None:
        self._keys = [SigningKey.generate("ES256", f"k{number}") for number in range(size)]
        self._mark = SigningKey.generate("Ed25519", "mark")
        self._tokens: dict[tuple[Credential, int], str] = {}
        self.size = size

    def __repr__(self) -> str:
        return f"Keyring({self.size})"

    def jwk(self, credential: Credential) -> dict[str, Any]:
        """Return the public key."""
        return self._keys[credential.number].jwk(kid=credential.kid)

    def mark(self, name: str) -> dict[str, Any]:
        """Return a key that signs nothing, whose `kid` tells in which set it was published."""
        return self._mark.jwk(kid=name, alg="Ed25519")

    def token(self, credential: Credential, user: int) -> str:
        """Return a token that is good for years, but for its key."""
        wanted = credential, user % USERS
        if wanted not in self._tokens:
            claims = {
                "iss": ISSUER, "sub": f"user{wanted[1]}", "iat": EPOCH - YEARS, "exp": EPOCH + YEARS
            }  # fmt: skip
            key = self._keys[credential.number]
            self._tokens[wanted] = key.sign(claims, {"kid": credential.kid})
        return self._tokens[wanted]

    def strange(self, kid: str) -> str:
        """Return a token under a name that nobody published; its signature is of no concern."""
        _, payload, signature = self.token(Credential(0, "k0"), 0).split(".")
        head = self._keys[0].sign(b"{}", {"kid": kid}).split(".", maxsplit=1)[0]
        return f"{head}.{payload}.{signature}"
