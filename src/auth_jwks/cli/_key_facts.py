"""What each JWK of a set is, and whether its tokens can be verified. Pure."""

from base64 import urlsafe_b64decode
from binascii import Error
from dataclasses import asdict, dataclass
from typing import Any

from auth_jwks._jose.jwk import NOT_ALLOWED, SkipError, fitting_algorithms, parse_key, stated
from auth_jwks.cli._texts import shown

__all__ = ["KeyFacts", "facts_of"]

BITS = {
    "P-256": 256, "P-384": 384, "P-521": 521, "secp256k1": 256, "Ed25519": 256, "Ed448": 456,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """One JWK. `algorithms` are those by which it verifies tokens; `fault` says why by none.

    `instead` are algorithms that would have to be allowed.
    """

    kid: str | None
    kty: str | None
    crv: str | None
    alg: str | None
    use: str | None
    bits: int | None
    algorithms: tuple[str, ...]
    fault: str | None
    instead: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the key as JSON has it."""
        return {**asdict(self), "usable": self.fault is None}

    def row(self) -> tuple[str, ...]:
        """Return the key as a row of a table."""
        kind = " ".join(part for part in (self.kty, self.crv) if part) or "none"
        bits = "" if self.bits is None else f"{self.bits} bits"
        text = f"verifies {', '.join(self.algorithms)}" if self.fault is None else self.fault
        mark = "ok" if self.fault is None else "warn"
        return mark, shown(self.kid), kind, self.alg or "no alg", self.use or "no use", bits, text


def facts_of(member: object, allowed: frozenset[str]) -> KeyFacts:
    """Return what a member of a key set is, under the allowed algorithms."""
    jwk = stated(member)
    algorithms: tuple[str, ...] = ()
    fault, instead = None, tuple[str, ...]()
    try:
        algorithms = tuple(key.alg for key in parse_key(jwk, allowed))
    except SkipError as skip:
        fault = str(skip)
    if fault == NOT_ALLOWED:
        instead = tuple(sorted(fitting_algorithms(jwk or {})))
    jwk = jwk or {}
    kid, kty, crv, alg, use = (_text(jwk.get(name)) for name in ("kid", "kty", "crv", "alg", "use"))
    return KeyFacts(kid, kty, crv, alg, use, _bits(jwk), algorithms, fault, instead)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _bits(jwk: dict[str, Any]) -> int | None:
    modulus = jwk.get("n")
    if jwk.get("kty") != "RSA" or not isinstance(modulus, str):
        crv = jwk.get("crv")
        return BITS.get(crv) if isinstance(crv, str) else None
    try:
        padded = modulus + "=" * (-len(modulus) % 4)
        return int.from_bytes(urlsafe_b64decode(padded.encode())).bit_length()
    except (Error, ValueError):
        return None
