"""Keys that sign valid and invalid tokens, and their public JWKs."""

import json
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from jwt.algorithms import OKPAlgorithm, get_default_algorithms

from auth_jwks._jose.mldsa import PARAMETER_SETS, is_supported

if TYPE_CHECKING:  # older releases of cryptography have no such module
    from cryptography.hazmat.primitives.asymmetric import mldsa

    MLDSAKey = mldsa.MLDSA44PrivateKey | mldsa.MLDSA65PrivateKey | mldsa.MLDSA87PrivateKey

__all__ = ["SigningKey"]

EdwardsKey = ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey
PrivateKey: TypeAlias = "rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | EdwardsKey | MLDSAKey"


class _MLDSASigner:
    """Signs with ML-DSA, and writes its public keys, as RFC 9964 has it."""

    def to_jwk(self, public: Any, **_as_dict: bool) -> dict[str, Any]:
        pub = _base64url(public.public_bytes_raw()).decode()
        return {"kty": "AKP", "pub": pub}

    def sign(self, message: bytes, private: Any) -> bytes:
        signature: bytes = private.sign(message)
        return signature


def _mldsa(name: str) -> Any:
    module = import_module("cryptography.hazmat.primitives.asymmetric.mldsa")
    return getattr(module, f"{name.replace('-', '')}PrivateKey").generate()


# RFC 9864 names the curve, PyJWT only the family; of ML-DSA it knows nothing.
_SIGNERS: dict[str, Any] = {
    **get_default_algorithms(),
    "Ed25519": OKPAlgorithm(),
    "Ed448": OKPAlgorithm(),
    **dict.fromkeys(PARAMETER_SETS, _MLDSASigner()),
}

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
    "Ed448": ed448.Ed448PrivateKey.generate,
    **{name: partial(_mldsa, name) for name in PARAMETER_SETS if is_supported()},
}


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key, the algorithm it signs with and the `kid` it is published under."""

    algorithm: str
    kid: str
    private_key: PrivateKey = field(repr=False)

    @classmethod
    def generate(cls, algorithm: str = "RS256", kid: str | None = None) -> Self:
        """Make a key for any asymmetric algorithm of RFC 7518, 8037, 8812, 9864 or 9964.

        ML-DSA needs a `cryptography` that has it: 48 or later, with OpenSSL 3.5 or later.
        """
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
