"""ML-DSA (FIPS 204) in JOSE (RFC 9964), which PyJWT lacks. Pure."""

from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from types import MappingProxyType
from typing import Any, Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from jwt.utils import base64url_decode

__all__ = ["MLDSA", "PARAMETER_SETS", "is_supported"]


class MLDSA:
    """One parameter set, with the sizes of its public keys and signatures in bytes."""

    __slots__ = ("name", "public_size", "signature_size")

    def __init__(self, name: str, public_size: int, signature_size: int) -> None:
        self.name: Final = name
        self.public_size: Final = public_size
        self.signature_size: Final = signature_size

    def from_jwk(self, member: Mapping[str, Any]) -> Any:
        """Return the public key in a JWK. Raises `ValueError` or `UnsupportedAlgorithm`."""
        load = _loaders().get(self.name)
        if load is None:
            raise UnsupportedAlgorithm(self.name)
        pub = member.get("pub")
        if not isinstance(pub, str) or len(raw := base64url_decode(pub)) != self.public_size:
            raise ValueError
        return load(raw)

    def verify(self, message: bytes, public: Any, signature: bytes) -> bool:
        """Return whether the signature is valid. Its context is empty (RFC 9964)."""
        try:
            public.verify(signature, message)
        except InvalidSignature:
            return False
        return len(signature) == self.signature_size


# FIPS 204, table 2.
PARAMETER_SETS: Mapping[str, MLDSA] = MappingProxyType(
    {
        each.name: each
        for each in (
            MLDSA("ML-DSA-44", 1312, 2420),
            MLDSA("ML-DSA-65", 1952, 3309),
            MLDSA("ML-DSA-87", 2592, 4627),
        )
    }
)


@cache
def _loaders() -> Mapping[str, Callable[[bytes], Any]]:
    """Return what makes public keys of bytes, nothing if the installed `cryptography` can't.

    Before 47 it has no such module, and with an older OpenSSL than 3.5 no such algorithm.
    """
    try:
        module = import_module("cryptography.hazmat.primitives.asymmetric.mldsa")
        loaders = {
            name: getattr(module, f"{name.replace('-', '')}PublicKey").from_public_bytes
            for name in PARAMETER_SETS
        }
        for name, load in loaders.items():
            load(bytes(PARAMETER_SETS[name].public_size))
    except (ImportError, UnsupportedAlgorithm):
        return {}
    return loaders


def is_supported() -> bool:
    """Return whether the installed `cryptography` has ML-DSA, which it is asked only once."""
    return bool(_loaders())
