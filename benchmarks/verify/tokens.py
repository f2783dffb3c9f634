"""The tokens of the verify benchmark: four algorithms, two sizes, no two alike."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from uuid import UUID

from auth_jwks.testing import FakeIssuer, SigningKey

__all__ = ["ALGORITHMS", "AUDIENCE", "SIZES", "Cell", "Mint", "keys"]

ALGORITHMS = ("RS256", "ES256", "EdDSA", "PS256")
SIZES = {"0.9 KiB": 880, "4 KiB": 4096}
AUDIENCE = "api"
LIFETIME = 3600


@dataclass(frozen=True, slots=True)
class Cell:
    """What sort of token: one of the table's columns, in one of its sizes."""

    algorithm: str
    size: str


def keys() -> list[SigningKey]:
    """Return a key for each algorithm."""
    return [SigningKey.generate(algorithm) for algorithm in ALGORITHMS]


class Mint:
    """Signs tokens of a size, as an issuer's with many groups are."""

    def __init__(self, issuer: FakeIssuer) -> None:
        self._issuer = issuer
        self._keys = {key.algorithm: key for key in issuer.keys}
        self._numbers = count()

    def tokens(self, cell: Cell, *, audience: bool = True) -> Iterator[str]:
        """Yield tokens without end."""
        padding = self._padding(cell, audience=audience)
        while True:
            yield self._token(cell.algorithm, padding, aud=AUDIENCE if audience else None)

    def bad(self, algorithm: str, *, audience: bool, claims: bool) -> dict[str, str]:
        """Return tokens that have to be refused, by what is wrong with them."""
        key, aud = self._keys[algorithm], AUDIENCE if audience else None
        forger = SigningKey.generate(algorithm, key.kid)
        tokens = {"a forged signature": self._issuer.sign(key=forger, aud=aud)}
        if claims:
            tokens["another issuer"] = self._issuer.sign(key=key, aud=aud, iss="https://else.test")
            tokens["an end in the past"] = self._issuer.sign(key=key, aud=aud, exp=1)
        if claims and audience:
            tokens["another audience"] = self._issuer.sign(key=key, aud="another")
        return tokens

    def _token(self, algorithm: str, padding: dict[str, object], **claims: object) -> str:
        number = f"{next(self._numbers):08}"
        end = int(time.time()) + LIFETIME
        return self._issuer.sign(
            {"jti": number, "exp": end, **padding, **claims}, key=self._keys[algorithm]
        )

    def _padding(self, cell: Cell, *, audience: bool) -> dict[str, object]:
        """Return as many groups as fit, and then as long a scope."""
        aud, wanted = AUDIENCE if audience else None, SIZES[cell.size]

        def fits(padding: dict[str, object]) -> bool:
            return len(self._token(cell.algorithm, padding, aud=aud)) <= wanted

        groups = _most(lambda n: fits(_padded(n, 0)))
        return _padded(groups, _most(lambda n: fits(_padded(groups, n))))


def _padded(groups: int, letters: int) -> dict[str, object]:
    names = [str(UUID(int=n * 2**100 + 4 * 2**76)) for n in range(groups)]
    return ({"groups": names} if names else {}) | ({"scope": "s" * letters} if letters else {})


def _most(fits: Callable[[int], bool]) -> int:
    """Return the largest number that fits; 0 if none does."""
    return next(n for n in count() if not fits(n + 1))
