"""Parses a JWK Set (RFC 7517) into the keys that may verify a token. Pure."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from json import dumps
from types import MappingProxyType
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWTError
from jwt.algorithms import (
    Algorithm,
    OKPAlgorithm,
    RSAAlgorithm,
    RSAPSSAlgorithm,
    get_default_algorithms,
)

from auth_jwks._jose.strict_json import strict_object

__all__ = [
    "ALGORITHMS",
    "MAX_KID",
    "Key",
    "KeySet",
    "UnusableKeySetError",
    "checked_algorithms",
    "parse_key_set",
]

MAX_KEYS = 256
MAX_KID = 256
MAX_CANDIDATES = 4
RSA_BITS = range(2048, 8193)
NOT_ALLOWED = "its algorithm is not allowed"

# For each algorithm its key type and curves (RFC 7518 §3.1, RFC 8037, RFC 8812, RFC 9864).
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
    }
)  # fmt: skip
ALGORITHMS = frozenset(_FITTING)
_KEY_TYPES = frozenset(kty for kty, _ in _FITTING.values())

# PyJWT does not know RFC 9864's `Ed25519`: it is checked as EdDSA, with that curve only.
_IMPLEMENTATIONS: Mapping[str, Algorithm] = MappingProxyType(
    {**get_default_algorithms(), "Ed25519": OKPAlgorithm()}
)
_PRIVATE_MEMBERS = frozenset(("d", "p", "q", "dp", "dq", "qi", "oth", "k"))


class UnusableKeySetError(Exception):
    """The document is not a JWK Set, or has no key that may verify a token."""


class _SkipError(Exception):
    """One JWK of the set can't be used. The argument is the reason."""


@dataclass(frozen=True, slots=True)
class Key:
    """A public key bound to one algorithm."""

    kid: str | None
    alg: str
    thumbprint: bytes
    public: Any
    verify: Callable[[bytes, bytes], bool]
    """Takes a message and a signature; returns whether the signature is valid."""

    def __repr__(self) -> str:
        return f"Key(kid={self.kid!r}, alg={self.alg!r})"


class KeySet:
    """The usable keys of one JWK Set, and one reason for each JWK that was skipped."""

    def __init__(self, keys: Iterable[Key], skipped: Iterable[str] = ()) -> None:
        self.keys = tuple(keys)
        self.skipped = tuple(skipped)
        self._named: dict[tuple[str | None, str], tuple[Key, ...]] = defaultdict(tuple)
        self._fitting: dict[str, tuple[Key, ...]] = defaultdict(tuple)
        for key in self.keys:
            if len(self._named[key.kid, key.alg]) < MAX_CANDIDATES:
                self._named[key.kid, key.alg] += (key,)
            self._fitting[key.alg] += (key,)

    def select(self, kid: str | None, alg: str) -> tuple[Key, ...]:
        """Return the keys to try for a token, at most four.

        Without a `kid` the algorithm must fit exactly one key: a key is never guessed.
        """
        if kid is None:
            fitting = self._fitting.get(alg, ())
            return fitting if len(fitting) == 1 else ()
        return self._named.get((kid, alg), ())

    def __repr__(self) -> str:
        return f"KeySet(keys={list(self.keys)!r}, skipped={list(self.skipped)!r})"


def checked_algorithms(names: Collection[str]) -> frozenset[str]:
    """Return the allow-list. Raises `ValueError` unless all names are asymmetric algorithms."""
    allowed = frozenset(names)
    if not allowed or not allowed <= ALGORITHMS:
        message = f"allowed_algorithms: expected one or more of {', '.join(sorted(ALGORITHMS))}"
        unknown = ", ".join(map(repr, sorted(allowed - ALGORITHMS)))
        raise ValueError(f"{message}; got {unknown or 'none'}")
    return allowed


def parse_key_set(document: bytes, allowed: frozenset[str]) -> KeySet:
    """Return the usable keys of a JWK Set (RFC 7517 §5). A bad JWK is skipped.

    The result may be empty if a key is valid, but only for algorithms that are not allowed.
    Raises `UnusableKeySetError`.
    """
    content = strict_object(document)
    members = content.get("keys") if content is not None else None
    if not isinstance(members, list):
        raise UnusableKeySetError("the document is not a JWK Set")
    if len(members) > MAX_KEYS:
        raise UnusableKeySetError(f"the JWK Set has more than {MAX_KEYS} keys")
    keys: list[Key] = []
    skipped: list[str] = []
    for member in members:
        try:
            keys.extend(_parse_key(member, allowed))
        except _SkipError as skip:
            skipped.append(str(skip))
    if not keys and NOT_ALLOWED not in skipped:
        raise UnusableKeySetError("the JWK Set has no usable key")
    return KeySet(keys, skipped)


def _parse_key(member: object, allowed: frozenset[str]) -> list[Key]:
    if not isinstance(member, dict):
        raise _SkipError("not an object")
    fitting = _fitting_algorithms(member)
    _check_use(member)
    if not fitting:
        raise _SkipError("its alg or crv does not fit its kty")
    names = sorted(fitting & allowed)
    if not names:
        raise _SkipError(NOT_ALLOWED)
    public = _public_key(member, names[0])
    kid, thumbprint = _checked_kid(member), _thumbprint(member)
    return [Key(kid, name, thumbprint, public, _signature_check(name, public)) for name in names]


def _fitting_algorithms(member: dict[str, Any]) -> frozenset[str]:
    """Return the algorithms of the key: its own `alg`, or all that fit it (RFC 7517 §4.4)."""
    kty, alg = member.get("kty"), member.get("alg")
    curve = None if kty == "RSA" else member.get("crv")
    if not isinstance(kty, str) or kty not in _KEY_TYPES:
        raise _SkipError("its key type is not supported")
    fitting = frozenset(
        name
        for name, (wanted, curves) in _FITTING.items()
        if wanted == kty and (curve is None or isinstance(curve, str)) and curve in curves
    )
    if alg is None:
        return fitting
    return fitting & {alg} if isinstance(alg, str) else frozenset()


def _check_use(member: dict[str, Any]) -> None:
    if not _PRIVATE_MEMBERS.isdisjoint(member):
        raise _SkipError("it contains private members")
    if member.get("use", "sig") != "sig":
        raise _SkipError("its use is not sig")
    operations = member.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        raise _SkipError("its key_ops lack verify")


def _checked_kid(member: dict[str, Any]) -> str | None:
    kid = member.get("kid")
    if kid is not None and (not isinstance(kid, str) or len(kid) > MAX_KID):
        raise _SkipError(f"its kid is not a string of at most {MAX_KID} characters")
    return kid


def _public_key(member: dict[str, Any], alg: str) -> object:
    try:
        public = _IMPLEMENTATIONS[alg].from_jwk(member)
    except (PyJWTError, ValueError, TypeError, UnsupportedAlgorithm):
        raise _SkipError("its key material is malformed") from None
    if isinstance(public, RSAPublicKey) and public.key_size not in RSA_BITS:
        raise _SkipError("its RSA modulus is outside 2048-8192 bits")
    return public


def _signature_check(alg: str, public: Any) -> Callable[[bytes, bytes], bool]:
    """Return PyJWT's signature check with that key.

    For RSA it is the same check without the objects that PyJWT creates for each signature.
    OpenSSL accepts a PSS signature without its leading zero; RFC 8017 §8.1.2 does not.
    """
    implementation = _IMPLEMENTATIONS[alg]
    if not isinstance(implementation, RSAAlgorithm):
        return lambda message, signature: implementation.verify(message, public, signature)
    digest, verify = implementation.hash_alg(), public.verify
    size: int = (public.key_size + 7) // 8
    padding: PKCS1v15 | PSS = PKCS1v15()
    if isinstance(implementation, RSAPSSAlgorithm):
        padding = PSS(mgf=MGF1(digest), salt_length=digest.digest_size)

    def check(message: bytes, signature: bytes) -> bool:
        try:
            verify(signature, message, padding, digest)
        except InvalidSignature:
            return False
        return len(signature) == size

    return check


def _thumbprint(member: dict[str, Any]) -> bytes:
    return sha256(dumps(member, sort_keys=True).encode()).digest()
