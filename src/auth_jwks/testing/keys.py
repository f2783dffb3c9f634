"""Keys that sign valid and invalid tokens, and their public JWKs."""

import json
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import OKPAlgorithm, get_default_algorithms

__all__ = ["SigningKey"]

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

# RFC 9864 names the curve, PyJWT only the family.
_SIGNERS: dict[str, Any] = get_default_algorithms() | {"Ed25519": OKPAlgorithm()}

_GENERATORS: dict[str, Callable[[], PrivateKey]] = {
    **dict.fromkeys(
        ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
        partial(rsa.generate_private_key, public_exponent=65537, key_size=2048),
    ),
    "ES256": partial(ec.generate_private_key, ec.SECP256R1()),
    "ES256K": partial(ec.generate_private_key, ec.SECP256K1()),
    "ES384": partial(ec.generate_private_key, ec.SECP384R1()),
    "ES512": partial(ec.generate_private_key, ec.SECP521R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
}


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key, the algorithm it signs with and the `kid` it is published under."""

    algorithm: str
    kid: str
    private_key: PrivateKey = field(repr=False)

    @classmethod
    def generate(cls, algorithm: str = "RS256", kid: str | None = None) -> Self:
        """Make a key for any asymmetric algorithm of RFC 7518, 8037, 8812 or 9864."""
        if algorithm not in _GENERATORS:
            message = f"algorithm: expected one of {', '.join(_GENERATORS)}, got {algorithm!r}"
            raise ValueError(message)
        return cls(algorithm, kid or secrets.token_hex(8), _GENERATORS[algorithm]())

    def jwk(self, **overrides: object) -> dict[str, Any]:
        """Return the public JWK (RFC 7517 §4); an override of `None` removes the member."""
        jwk = _SIGNERS[self.algorithm].to_jwk(self.private_key.public_key(), as_dict=True)
        named = {"key_ops": None, "use": "sig", "alg": self.algorithm, "kid": self.kid}
        return _present(jwk | named | overrides)

    def sign(
        self,
        claims: Mapping[str, Any] | bytes,
        headers: Mapping[str, Any] | bytes | None = None,
    ) -> str:
        """Return a compact JWS (RFC 7515 §7.1). Its content is not checked.

        `claims` given as bytes are the payload, unchanged. `headers` change the header: `None`
        removes a parameter, and bytes replace the whole header. The key always signs with its
        own `algorithm`, even if the header names another.
        """
        if not isinstance(headers, bytes):
            header = {"alg": self.algorithm, "kid": self.kid, "typ": "JWT"}
            headers = _json(_present(header | dict(headers or {})))
        payload = claims if isinstance(claims, bytes) else _json(claims)
        signed = b".".join((_base64url(headers), _base64url(payload)))
        signature = _SIGNERS[self.algorithm].sign(signed, self.private_key)
        return b".".join((signed, _base64url(signature))).decode()


def _present(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(dict(value), separators=(",", ":")).encode()


def _base64url(raw: bytes) -> bytes:
    return urlsafe_b64encode(raw).rstrip(b"=")
