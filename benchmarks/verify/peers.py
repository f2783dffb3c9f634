"""Who verifies tokens, each as its own documentation says; imported where the peer is installed.

Keys are fetched, or parsed, before a call is timed; issuer and audience are checked in each.
"""

import json
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Any, Literal

__all__ = ["OURS", "PEERS", "Contender", "Peer", "Scene"]

Home = Literal["peers", "old"]
Verify = Callable[[Any], Any]

OURS = "auth-jwks"
OLD = "0.4.0"


@dataclass(frozen=True, slots=True)
class Scene:
    """Whose tokens are verified, and for whom they are."""

    issuer: str
    discovery_url: str
    jwks_uri: str
    audience: str

    def keys(self) -> list[dict[str, Any]]:
        """Return the published keys."""
        with urllib.request.urlopen(self.jwks_uri) as answer:  # noqa: S310 - the program's own
            keys: list[dict[str, Any]] = json.load(answer)["keys"]
        return keys

    def key(self, algorithm: str) -> dict[str, Any]:
        """Return the published key for the algorithm."""
        return next(key for key in self.keys() if key["alg"] == algorithm)


@dataclass(frozen=True, slots=True)
class Contender:
    """One verifier: what is called, and what it is called with for a token."""

    verify: Verify
    prepare: Callable[[str], Any] = str


@dataclass(frozen=True, slots=True)
class Peer:
    """A library, where it is installed, and how a verifier for one algorithm is made of it."""

    distribution: str
    make: Callable[[Scene, str], Contender]
    asynchronous: bool = False
    home: Home = "peers"
    audience: bool = True  # whether it takes tokens that have one
    claims: bool = True  # whether it checks more than the signature


def auth_jwks(scene: Scene, algorithm: str) -> Contender:
    """auth-jwks, with its defaults."""
    from auth_jwks import JWKS

    jwks = JWKS(
        scene.discovery_url, scene.audience, allowed_algorithms=[algorithm], issuer=scene.issuer
    )
    return Contender(jwks.verify_token)


def auth_jwks_old(scene: Scene, algorithm: str) -> Contender:
    """The same library before it was rewritten."""
    if version(OURS) != OLD:
        raise ModuleNotFoundError(f"auth-jwks {OLD} is not installed")
    return auth_jwks(scene, algorithm)


def cryptography(scene: Scene, algorithm: str) -> Contender:
    """The signature check and nothing else: no header, no claims, its input split beforehand."""
    from jwt import PyJWK
    from jwt.utils import base64url_decode, raw_to_der_signature

    public = PyJWK(scene.key(algorithm)).key
    further = _signature_arguments(algorithm)

    def prepare(token: str) -> Callable[[], None]:
        signed, _, encoded = token.rpartition(".")
        signature = base64url_decode(encoded)
        if algorithm == "ES256":
            signature = raw_to_der_signature(signature, public.curve)
        return partial(public.verify, signature, signed.encode(), *further)

    return Contender(lambda check: check(), prepare)


def _signature_arguments(algorithm: str) -> tuple[Any, ...]:
    from cryptography.hazmat.primitives.asymmetric import ec, padding
    from cryptography.hazmat.primitives.hashes import SHA256

    digest = SHA256()
    return {
        "RS256": (padding.PKCS1v15(), digest),
        "PS256": (padding.PSS(padding.MGF1(digest), padding.PSS.DIGEST_LENGTH), digest),
        "ES256": (ec.ECDSA(digest),),
        "EdDSA": (),
    }[algorithm]


def parts(scene: Scene, algorithm: str) -> Contender:
    """What no verifier in Python can leave out: a digest for its cache, base64, JSON, the check."""
    import binascii
    import hashlib

    from jwt import PyJWK

    check = PyJWK(scene.key(algorithm)).key.verify
    further = _signature_arguments(algorithm)
    alphabet, read = bytes.maketrans(b"-_", b"+/"), json.JSONDecoder().raw_decode
    remembered: dict[bytes, bytes] = {}

    def verify(token: str) -> Any:
        raw = token.encode()
        signed, _, encoded = raw.rpartition(b".")
        signature = binascii.a2b_base64(encoded.translate(alphabet) + b"==")
        if algorithm == "ES256":
            signature = _der(signature)
        check(signature, signed, *further)
        payload = binascii.a2b_base64(signed.partition(b".")[2].translate(alphabet) + b"==")
        remembered[hashlib.sha256(raw).digest()] = payload
        return read(payload.decode())[0]

    return Contender(verify)


def _der(signature: bytes) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    half = len(signature) // 2
    return encode_dss_signature(*map(int.from_bytes, (signature[:half], signature[half:])))


def pyjwt(scene: Scene, algorithm: str) -> Contender:
    """PyJWT with the right key at hand."""
    import jwt

    key = jwt.PyJWK(scene.key(algorithm))
    checks: dict[str, Any] = {"audience": scene.audience, "issuer": scene.issuer}
    return Contender(lambda token: jwt.decode(token, key, algorithms=[algorithm], **checks))


def pyjwk_client(scene: Scene, algorithm: str) -> Contender:
    """PyJWT's own client for key sets."""
    import jwt

    client = jwt.PyJWKClient(scene.jwks_uri)
    checks: dict[str, Any] = {"audience": scene.audience, "issuer": scene.issuer}

    def verify(token: str) -> dict[str, Any]:
        key = client.get_signing_key_from_jwt(token)
        return jwt.decode(token, key, algorithms=[algorithm], **checks)

    return Contender(verify)


def jwks_client(scene: Scene, algorithm: str) -> Contender:
    """jwks-client."""
    from jwks_client import JWKSClient, JWTVerifier

    client = JWKSClient(scene.jwks_uri)
    verifier = JWTVerifier(
        client, algorithms=[algorithm], audience=scene.audience, issuer=scene.issuer
    )
    return Contender(verifier.verify)


def pyjwt_key_fetcher(scene: Scene, algorithm: str) -> Contender:  # noqa: ARG001
    """pyjwt-key-fetcher, whose documentation takes the algorithms from the key."""
    import jwt
    from pyjwt_key_fetcher import AsyncKeyFetcher

    fetcher = AsyncKeyFetcher(valid_issuers=[scene.issuer])
    checks: dict[str, Any] = {"audience": scene.audience, "issuer": scene.issuer}

    async def verify(token: str) -> dict[str, Any]:
        return jwt.decode(jwt=token, **checks, **await fetcher.get_key(token))

    return Contender(verify)


def joserfc(scene: Scene, algorithm: str) -> Contender:
    """Decode with joserfc over a key set, then validate the claims."""
    from joserfc import jwt
    from joserfc.jwk import KeySet

    keys = KeySet.import_key_set({"keys": scene.keys()})
    registry = jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": scene.issuer},
        aud={"essential": True, "value": scene.audience},
        exp={"essential": True},
    )

    def verify(token: str) -> Any:
        decoded = jwt.decode(token, keys, algorithms=[algorithm])
        registry.validate(decoded.claims)
        return decoded.claims

    return Contender(verify)


def authlib(scene: Scene, algorithm: str) -> Contender:
    """Authlib over a key set."""
    from authlib.jose import JsonWebKey, JsonWebToken

    keys = JsonWebKey.import_key_set({"keys": scene.keys()})
    decoder = JsonWebToken([algorithm])
    options = {
        "iss": {"essential": True, "value": scene.issuer},
        "aud": {"essential": True, "value": scene.audience},
        "exp": {"essential": True},
    }

    def verify(token: str) -> Any:
        claims = decoder.decode(token, keys, claims_options=options)
        claims.validate()
        return claims

    return Contender(verify)


def python_jose(scene: Scene, algorithm: str) -> Contender:
    """python-jose with the right key at hand, constructed once."""
    from jose import jwk, jwt

    key = jwk.construct(scene.key(algorithm))
    checks: dict[str, Any] = {"audience": scene.audience, "issuer": scene.issuer}
    return Contender(lambda token: jwt.decode(token, key, algorithms=[algorithm], **checks))


def ryjwt(scene: Scene, algorithm: str, *, method: str) -> Contender:
    """One client of ryjwt's, which has a method for async code and one for other code."""
    from ryjwt import JWKSClient

    client = JWKSClient(
        scene.jwks_uri, algorithms=[algorithm], audience=scene.audience, issuer=scene.issuer
    )
    return Contender(getattr(client, method))


def clasp(scene: Scene, algorithm: str) -> Contender:
    """clasp-jwt, which returns the claims as JSON, and refuses every token with an audience."""
    from clasp import JwksClient

    client = JwksClient(scene.jwks_uri)

    def verify(token: str) -> Any:
        claims = json.loads(client.verify(token, algorithm))
        if claims["iss"] != scene.issuer:
            raise ValueError("iss")
        return claims

    return Contender(verify)


PEERS: dict[str, Peer] = {
    OURS: Peer(OURS, auth_jwks, asynchronous=True),
    "bare cryptography": Peer("cryptography", cryptography, claims=False),
    "parts by hand": Peer("cryptography", parts, claims=False),
    "PyJWT": Peer("pyjwt", pyjwt),
    "PyJWKClient": Peer("pyjwt", pyjwk_client),
    f"auth-jwks {OLD}": Peer(OURS, auth_jwks_old, asynchronous=True, home="old"),
    "jwks-client": Peer("jwks-client", jwks_client, asynchronous=True),
    "pyjwt-key-fetcher": Peer("pyjwt-key-fetcher", pyjwt_key_fetcher, asynchronous=True),
    "joserfc": Peer("joserfc", joserfc),
    "authlib": Peer("authlib", authlib),
    "python-jose": Peer("python-jose", python_jose),
    "ryjwt adecode": Peer("ryjwt", partial(ryjwt, method="adecode"), asynchronous=True),
    "ryjwt decode": Peer("ryjwt", partial(ryjwt, method="decode")),
    "clasp-jwt": Peer("clasp-jwt", clasp, audience=False),
}
