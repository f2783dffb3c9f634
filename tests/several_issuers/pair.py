"""Two providers that can be mistaken for each other, and tokens with an ending of one's choice."""

from base64 import urlsafe_b64encode
from collections.abc import Callable
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric import ec

from auth_jwks import JWKS
from auth_jwks._clock import Clock
from auth_jwks.testing import FakeIssuer, SigningKey

A, B = "https://a.example", "https://b.example"
KEYS = [SigningKey.generate("ES256", "first") for _ in "AB"]

Make = Callable[..., JWKS]


def providers(clock: Clock) -> tuple[FakeIssuer, FakeIssuer]:
    """Return two providers, which publish different keys under one `kid`."""
    a, b = (
        FakeIssuer(issuer=name, keys=[key], clock=clock)
        for name, key in zip((A, B), KEYS, strict=True)
    )
    return a, b


def fetches(pair: tuple[FakeIssuer, FakeIssuer]) -> tuple[int, int]:
    """Return how often each provider was asked for anything."""
    a, b = pair
    return len(a.requests), len(b.requests)


def alike(*claims: dict[str, object]) -> tuple[SigningKey, list[str]]:
    """Return a key, and two tokens of it whose signatures end alike.

    Whoever chooses a key after its signatures can do that: `s` of ECDSA is linear in the key.
    """
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    nonces = [ec.generate_private_key(ec.SECP256R1()) for _ in claims]
    inverses = [pow(each.private_numbers().private_value, -1, order) for each in nonces]
    points = [each.public_key().public_numbers().x % order for each in nonces]
    stated = [KEYS[0].sign(each, {"kid": "chosen"}).rpartition(".")[0] for each in claims]
    digests = [int.from_bytes(sha256(each.encode()).digest()) for each in stated]
    (i, j), (r, q), (z, y) = inverses, points, digests
    secret = (j * y - i * z) * pow(i * r - j * q, -1, order) % order
    shared = i * (z + r * secret) % order
    assert shared == j * (y + q * secret) % order
    tokens = [
        f"{each}.{_base64url(point.to_bytes(32) + shared.to_bytes(32))}"
        for each, point in zip(stated, points, strict=True)
    ]
    return SigningKey("ES256", "chosen", ec.derive_private_key(secret, ec.SECP256R1())), tokens


def _base64url(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()
