"""Calls of `CloudFlareTokenValidation`, and tokens that each of them refuses."""

from collections.abc import Awaitable, Callable
from typing import Any

from auth_jwks.cloudflare import CloudFlareTokenValidation, User
from auth_jwks.testing import FakeIssuer, SigningKey
from tests.web.cloudflare.access_edge import AUDIENCE, HOST, PERSON, TEAM, Edge

ISSUER = f"https://{HOST}"
ALICE = User("7335d417-61da", "alice@example.com", "US", exists_identity=True)


def access(**options: Any) -> CloudFlareTokenValidation:
    """Return a verifier for the team's application, which tries nothing twice."""
    return CloudFlareTokenValidation(**{"aud": AUDIENCE, "team": TEAM, "retries": 0, **options})


def names_of(edge: Edge) -> set[str]:
    """Return whom the proxy was asked for."""
    return set(edge.tunnels)


BAD: dict[str, Callable[[FakeIssuer], str]] = {
    "DecodeError": lambda _: "junk",
    "InvalidAlgorithmError": lambda team: team.sign(PERSON, headers={"alg": "none"}),
    "InvalidSignatureError": lambda team: team.forge(PERSON),
    "ExpiredSignatureError": lambda team: team.sign(PERSON, exp=1),
    "ImmatureSignatureError": lambda team: team.sign(PERSON, nbf=99_999_999_999),
    "InvalidIssuerError": lambda team: team.sign(PERSON, iss="https://x.cloudflareaccess.com"),
    "InvalidAudienceError": lambda team: team.sign(PERSON, aud=["other"]),
    "MissingRequiredClaimError": lambda team: team.sign(PERSON, aud=None),
    "UnknownKeyError": lambda team: team.sign(PERSON, key=SigningKey.generate("ES256")),
}


def calls(cfa: CloudFlareTokenValidation) -> list[Callable[[str], Awaitable[object]]]:
    """Return what takes a token."""
    return [
        cfa.verify_token,
        cfa.verify_user,
        cfa.verify_email,
        cfa.verify_service_token,
        cfa.get_identity,
    ]
