"""Parses one JWK (RFC 7517) into the keys that may verify a token, one for each algorithm. Pure."""

from collections.abc import Callable, Mapping
from hashlib import sha256, sha384, sha512
from json import dumps
from types import MappingProxyType
from typing import Any, Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from cryptography.hazmat.primitives.hashes import HashAlgorithm
from jwt import PyJWTError
from jwt.algorithms import (
    Algorithm,
    ECAlgorithm,
    OKPAlgorithm,
    RSAAlgorithm,
    RSAPSSAlgorithm,
    get_default_algorithms,
)
from jwt.utils import base64url_decode, base64url_encode

from auth_jwks._jose.mldsa import MLDSA, PARAMETER_SETS

__all__ = [
    "ALGORITHMS",
    "MAX_KID",
    "NOT_ALLOWED",
    "SIGNATURES",
    "Key",
    "SkipError",
    "fitting_algorithms",
    "parse_key",
    "stated",
]

MAX_KID = 256
RSA_BITS = range(2048, 8193)
MAX_EXPONENT_BITS = 64
NOT_ALLOWED = "its algorithm is not allowed"
# The `use` of a key that verifies tokens (RFC 7517 §4.2).
SIGNATURES: frozenset[str] = frozenset(("sig",))

# For each algorithm its key type and curves (RFC 7518 §3.1, RFC 8037, 8812, 9864, 9964).
_FITTING: Mapping[str, tuple[str, frozenset[str | None]]] = MappingProxyType(
    {name: ("RSA", frozenset((None,))) for family in ("RS", "PS") for name in
     (f"{family}256", f"{family}384", f"{family}512")}
    | {
        "ES256": ("EC", frozenset(("P-256",))),
        "ES384": ("EC", frozenset(("P-384",))),
        "ES512": ("EC", frozenset(("P-521",))),
        "ES256K": ("EC", frozenset(("secp256k1",))),
        "EdDSA": ("OKP", frozenset(("Ed25519", "Ed448"))),
        "Ed25519": ("OKP", frozenset(("Ed25519",))),
        "Ed448": ("OKP", frozenset(("Ed448",))),
    }
    | {name: ("AKP", frozenset((None,))) for name in PARAMETER_SETS}
)  # fmt: skip
ALGORITHMS = frozenset(_FITTING)
_KEY_TYPES = frozenset(kty for kty, _ in _FITTING.values())

# PyJWT does not know RFC 9864's names: each is checked as EdDSA, with its curve only.
_IMPLEMENTATIONS: Mapping[str, Algorithm | MLDSA] = MappingProxyType(
    {
        **get_default_algorithms(),
        "Ed25519": OKPAlgorithm(),
        "Ed448": OKPAlgorithm(),
        **PARAMETER_SETS,
    }
)
_PRIVATE_MEMBERS = frozenset(("d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"))
_HASHES = {"sha256": sha256, "sha384": sha384, "sha512": sha512}
_COORDINATE_BYTES = {"P-256": 32, "P-384": 48, "P-521": 66, "secp256k1": 32}


class SkipError(Exception):
    """One JWK of the set can't be used. The argument is the reason."""


class Key:
    """A public key bound to one algorithm.

    `issuer` is what Entra ID says of its keys: the issuer of one tenant, or a template for all.
    """

    __slots__ = ("alg", "issuer", "kid", "public", "thumbprint", "verify")

    def __init__(
        self, kid: str | None, alg: str, thumbprint: bytes, public: Any,
        verify: Callable[[bytes, bytes], bool], issuer: str | None = None,
    ) -> None:  # fmt: skip
        self.kid: Final = kid
        self.alg: Final = alg
        self.thumbprint: Final = thumbprint
        self.public: Final = public
        self.verify: Final = verify  # takes a message and a signature
        self.issuer: Final = issuer

    def __repr__(self) -> str:
        return f"Key(kid={self.kid!r}, alg={self.alg!r})"


def stated(member: object) -> dict[str, Any] | None:
    """Return what a JWK says, None if it is no object.

    A member that is null or empty says nothing, as if it were absent. An empty `kid` is a name.
    """
    if not isinstance(member, dict):
        return None
    nothing: tuple[object, ...] = (None, "", [], {})
    return {
        name: value
        for name, value in member.items()
        if value not in nothing or (name == "kid" and value == "")
    }


def parse_key(
    member: dict[str, Any] | None, allowed: frozenset[str], uses: frozenset[str] = SIGNATURES
) -> list[Key]:
    """Return the key, once for each algorithm, from what a JWK states. Raises `SkipError`."""
    if member is None:
        raise SkipError("not an object")
    fitting = fitting_algorithms(member)
    _check_use(member, uses)
    if member["kty"] == "AKP" and "alg" not in member:
        raise SkipError("its alg is missing, which a key of type AKP must state")
    if not fitting:
        raise SkipError("its alg or crv does not fit its kty")
    names = sorted(fitting & allowed)
    if not names:
        raise SkipError(NOT_ALLOWED)
    public = _public_key(member, names[0])
    kid, thumbprint = _checked_kid(member), _thumbprint(member)
    # Anything but a string becomes one that is no issuer.
    issuer = None if member.get("issuer") is None else str(member["issuer"])
    return [
        Key(kid, name, thumbprint, public, _signature_check(name, public), issuer) for name in names
    ]


def fitting_algorithms(member: dict[str, Any]) -> frozenset[str]:
    """Return the algorithms of the key: its own `alg`, or all that fit it (RFC 7517 §4.4)."""
    kty, alg = member.get("kty"), member.get("alg")
    if not isinstance(kty, str) or kty not in _KEY_TYPES:
        raise SkipError("its key type is not supported")
    curve = None if kty in {"RSA", "AKP"} else member.get("crv")
    fitting = frozenset(
        name
        for name, (wanted, curves) in _FITTING.items()
        if wanted == kty and (curve is None or isinstance(curve, str)) and curve in curves
    )
    if alg is None:
        return fitting
    return fitting & {alg} if isinstance(alg, str) else frozenset()


def _check_use(member: dict[str, Any], uses: frozenset[str]) -> None:
    if not _PRIVATE_MEMBERS.isdisjoint(member):
        raise SkipError("it contains private members")
    use = member.get("use", "sig")
    if not isinstance(use, str) or use not in uses:
        raise SkipError("its use is not sig")
    operations = member.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        raise SkipError("its key_ops lack verify")


def _checked_kid(member: dict[str, Any]) -> str | None:
    kid = member.get("kid")
    if kid is not None and (not isinstance(kid, str) or len(kid) > MAX_KID):
        raise SkipError(f"its kid is not a string of at most {MAX_KID} characters")
    return kid


def _public_key(member: dict[str, Any], alg: str) -> object:
    try:
        public = _IMPLEMENTATIONS[alg].from_jwk(_with_full_coordinates(member))
    except (PyJWTError, ValueError, TypeError):
        raise SkipError("its key material is malformed") from None
    except UnsupportedAlgorithm:
        raise SkipError("the installed cryptography lacks its algorithm") from None
    if isinstance(public, RSAPublicKey):
        _check_rsa(public)
    return public


def _check_rsa(public: RSAPublicKey) -> None:
    if public.key_size not in RSA_BITS:
        raise SkipError("its RSA modulus is outside 2048-8192 bits")
    # An exponent as long as the modulus makes a check take a hundred times as long.
    if public.public_numbers().e.bit_length() > MAX_EXPONENT_BITS:
        raise SkipError(f"its RSA exponent is longer than {MAX_EXPONENT_BITS} bits")


def _with_full_coordinates(member: dict[str, Any]) -> dict[str, Any]:
    """Return the JWK with coordinates as long as the field of its curve (RFC 7518 §6.2.1.2).

    Some providers publish them as numbers, without leading zeros, or with one before the sign bit.
    """
    if member["kty"] != "EC":
        return member
    size = _COORDINATE_BYTES[member["crv"]]
    present = {name: member[name] for name in ("x", "y") if name in member}
    return member | {name: _resized(value, size) for name, value in present.items()}


def _resized(coordinate: str, size: int) -> bytes:
    number = base64url_decode(coordinate).lstrip(b"\0")
    return base64url_encode(number.rjust(size, b"\0"))


def _signature_check(alg: str, public: Any) -> Callable[[bytes, bytes], bool]:
    """Return PyJWT's signature check with that key.

    For RSA and ECDSA it is the same check without the objects that PyJWT creates for each
    signature, and of a digest that is computed here, which is quicker. OpenSSL accepts a PSS
    signature without its leading zero; RFC 8017 §8.1.2 does not.
    """
    implementation = _IMPLEMENTATIONS[alg]
    if isinstance(implementation, ECAlgorithm):
        return _ecdsa_check(public, implementation.hash_alg())
    if not isinstance(implementation, RSAAlgorithm):
        return lambda message, signature: implementation.verify(message, public, signature)
    algorithm, verify = implementation.hash_alg(), public.verify
    size: int = (public.key_size + 7) // 8
    padding: PKCS1v15 | PSS = PKCS1v15()
    if isinstance(implementation, RSAPSSAlgorithm):
        padding = PSS(mgf=MGF1(algorithm), salt_length=algorithm.digest_size)
    hashed, digest = _HASHES[algorithm.name], Prehashed(algorithm)

    def check(message: bytes, signature: bytes) -> bool:
        try:
            verify(signature, hashed(message).digest(), padding, digest)
        except InvalidSignature:
            return False
        return len(signature) == size

    return check


def _ecdsa_check(public: Any, algorithm: HashAlgorithm) -> Callable[[bytes, bytes], bool]:
    """Return a check of signatures that are two numbers of fixed length (RFC 7518 §3.4)."""
    verify, hashed, ecdsa = public.verify, _HASHES[algorithm.name], ECDSA(Prehashed(algorithm))
    size: int = (public.key_size + 7) // 8

    def check(message: bytes, signature: bytes) -> bool:
        if len(signature) != 2 * size:
            return False
        r, s = int.from_bytes(signature[:size]), int.from_bytes(signature[size:])
        try:
            verify(encode_dss_signature(r, s), hashed(message).digest(), ecdsa)
        except InvalidSignature:
            return False
        return True

    return check


def _thumbprint(member: dict[str, Any]) -> bytes:
    return sha256(dumps(member, sort_keys=True).encode()).digest()
