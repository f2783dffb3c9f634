"""Each kind of refusal: a token, and what an operator is told of it."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jwt

from auth_jwks.errors import IssuerMismatchError, KeysUnavailableError, Reason, UnknownKeyError
from auth_jwks.events import Event, TokenRefused, VerificationResult
from auth_jwks.profiles import AccessToken
from auth_jwks.testing import FakeIssuer, SigningKey

NOW = 1_800_000_000  # of a `FakeClock`
PUBLISHED, STRANGE = SigningKey.generate("ES256", "first"), SigningKey.generate("ES256", "strange")
LONG = "https://a.example/" + "x" * 100


def refuse(_claims: dict[str, Any]) -> None:
    """Refuse every token."""
    raise jwt.InvalidTokenError("not on a Sunday")


@dataclass(frozen=True)
class Fault:
    """A token, options of its verifier, and why it is refused: by class, reason and words.

    `words` are a pattern of the whole message. `trouble` is what the provider suffers.
    """

    reason: Reason
    raised: type[jwt.InvalidTokenError]
    words: str
    token: Callable[[FakeIssuer], str]
    options: dict[str, Any] = field(default_factory=dict)
    trouble: Callable[[FakeIssuer], object] = lambda _: None

    def matches(self, text: str) -> bool:
        """Tell whether this is what is told of the fault."""
        return re.fullmatch(self.words, text) is not None


class Diary:
    """An observer that counts, and keeps the refusals."""

    def __init__(self) -> None:
        self.refusals: list[TokenRefused] = []
        self.results: list[tuple[str, VerificationResult]] = []

    def __call__(self, event: Event, /) -> None:
        """Keep a refusal."""
        if isinstance(event, TokenRefused):
            self.refusals.append(event)

    def counter(self, source: str, /) -> Callable[[VerificationResult], None]:
        """Keep each result with the source."""
        return lambda result: self.results.append((source, result))


def signed(issuer: FakeIssuer, **changes: Any) -> str:
    """Return a token for the audience `api`."""
    return issuer.sign(**({"aud": "api"} | changes))


def forged(issuer: FakeIssuer, **changes: Any) -> str:
    """Return one that another key signed."""
    return issuer.forge(**({"aud": "api"} | changes))


FAULTS = {
    "junk": Fault(
        Reason.OPAQUE, jwt.DecodeError, "the token is opaque, as it has no dots; .+",
        lambda _: "junk",
    ),
    "empty": Fault(
        Reason.MALFORMED, jwt.DecodeError,
        "the token is not a compact JWS of three ASCII segments", lambda _: "",
    ),
    "encrypted": Fault(
        Reason.ENCRYPTED, jwt.DecodeError,
        r"the token is encrypted \(JWE\), as it has five segments; .+",
        lambda _: "eyJhbGciOiJkaXIifQ..aXY.Y2lwaGVy.dGFn",
    ),
    "four segments": Fault(
        Reason.MALFORMED, jwt.DecodeError,
        "the token is not a compact JWS of three ASCII segments", lambda _: "a.b.c.d",
    ),
    "no base64": Fault(
        Reason.MALFORMED, jwt.DecodeError, "the payload is not base64url",
        lambda issuer: signed(issuer).replace(".", ".!", 1),
    ),
    "critical": Fault(
        Reason.MALFORMED, jwt.InvalidTokenError, "critical header extensions are not supported",
        lambda issuer: signed(issuer, headers={"crit": ["x"]}),
    ),
    "number as kid": Fault(
        Reason.MALFORMED, jwt.InvalidTokenError, "the kid must be a string of at most 256 .+",
        lambda issuer: signed(issuer, headers={"kid": 5}),
    ),
    "shared secret": Fault(
        Reason.ALGORITHM, jwt.InvalidAlgorithmError,
        "alg: expected 'ES256' or 'RS256', the token has 'HS256': a shared secret .+",
        lambda issuer: signed(issuer, headers={"alg": "HS256"}),
    ),
    "no algorithm": Fault(
        Reason.ALGORITHM, jwt.InvalidAlgorithmError,
        "alg: expected 'ES256' or 'RS256', the token has none: .+",
        lambda issuer: signed(issuer, headers={"alg": None}),
    ),
    "a proof": Fault(
        Reason.TYPE, jwt.InvalidTokenError, "typ: expected that of .+, found 'dpop\\+jwt'",
        lambda issuer: signed(issuer, headers={"typ": "dpop+jwt"}),
    ),
    "unknown key": Fault(
        Reason.UNKNOWN_KEY, UnknownKeyError,
        r"no published key .+: it names 'strange' \(ES256\), published are 'first' \(ES256\)",
        lambda issuer: signed(issuer, key=STRANGE),
    ),
    "no kid, another algorithm": Fault(
        Reason.UNKNOWN_KEY, UnknownKeyError,
        r"no published key .+: it names none \(RS256\), published are 'first' \(ES256\)",
        lambda issuer: signed(issuer, key=SigningKey.generate("RS256"), headers={"kid": None}),
    ),
    "forged": Fault(
        Reason.SIGNATURE, jwt.InvalidSignatureError,
        "the signature does not match the key 'first'", forged,
    ),
    "forged without a kid": Fault(
        Reason.SIGNATURE, jwt.InvalidSignatureError,
        "the signature does not match any key that fits",
        lambda issuer: forged(issuer, headers={"kid": None}),
    ),
    "expired": Fault(
        Reason.EXPIRED, jwt.ExpiredSignatureError, r"the token expired 312 s ago \(exp\)",
        lambda issuer: signed(issuer, exp=NOW - 312),
    ),
    "expired for ages": Fault(
        Reason.EXPIRED, jwt.ExpiredSignatureError,
        r"the token expired more than 1000000000 s ago \(exp\)",
        lambda issuer: signed(issuer, exp=-(10**4299)),
    ),
    "issued ahead": Fault(
        Reason.NOT_YET_VALID, jwt.ImmatureSignatureError,
        r"the token was issued 290 s ahead of this host's clock \(iat\); leeway is 30 s",
        lambda issuer: signed(issuer, iat=NOW + 290),
    ),
    "begins later": Fault(
        Reason.NOT_YET_VALID, jwt.ImmatureSignatureError,
        r"the token begins 60 s ahead of this host's clock \(nbf\); leeway is 5 s",
        lambda issuer: signed(issuer, nbf=NOW + 60.5), {"leeway": 5},
    ),
    "another audience": Fault(
        Reason.AUDIENCE, jwt.InvalidAudienceError,
        "aud: expected 'api', the token has 'account'",
        lambda issuer: signed(issuer, aud="account"),
    ),
    "other audiences": Fault(
        Reason.AUDIENCE, jwt.InvalidAudienceError,
        "aud: expected 'a', 'b', 'c' or 1 more, the token has 'v', 'w', 'x' and 2 more",
        lambda issuer: signed(issuer, aud=["v", "w", "x", "y", "z"]), {"aud": ["d", "c", "b", "a"]},
    ),
    "audience of the client": Fault(
        Reason.AUDIENCE, jwt.InvalidAudienceError,
        r"aud: expected 'api', the token has 'account': it is the client of the token \(azp\); .+",
        lambda issuer: signed(issuer, aud="account", azp="api"),
    ),
    "audience of a log's enemy": Fault(
        Reason.AUDIENCE, jwt.InvalidAudienceError,
        r"aud: expected 'api', the token has 'a\\r\\n\\x1b\[2J\\u202eb'",
        lambda issuer: signed(issuer, aud="a\r\n\x1b[2J\u202eb"),
    ),
    "no string": Fault(
        Reason.AUDIENCE, jwt.InvalidAudienceError, "aud must be a string or a list of strings",
        lambda issuer: signed(issuer, aud={"a": 1}),
    ),
    "no audience": Fault(
        Reason.CLAIM, jwt.MissingRequiredClaimError, 'Token is missing the "aud" claim',
        lambda issuer: signed(issuer, aud=None),
    ),
    "time as a text": Fault(
        Reason.CLAIM, jwt.DecodeError, "nbf must be a number",
        lambda issuer: signed(issuer, nbf="now"),
    ),
    "number as sub": Fault(
        Reason.CLAIM, jwt.exceptions.InvalidSubjectError, "sub must be a string",
        lambda issuer: signed(issuer, sub=5),
    ),
    "another value": Fault(
        Reason.CLAIM, jwt.InvalidTokenError, "role: expected the profile's value, found another",
        lambda issuer: signed(issuer, role="guest-of-honour"),
        {"profile": AccessToken(typ=["JWT"], claims={"role": "admin"})},
    ),
    "a user's check": Fault(
        Reason.CLAIM, jwt.InvalidTokenError, "not on a Sunday",
        signed, {"profile": AccessToken(typ=["JWT"], check=refuse)},
    ),
    "no keys": Fault(
        Reason.UNAVAILABLE, KeysUnavailableError, "the signing keys are unavailable: HTTP .+",
        signed, trouble=lambda issuer: issuer.outage(),
    ),
    "another provider": Fault(
        Reason.MISMATCH, IssuerMismatchError, "issuer: expected .+, the discovery document .+",
        signed, trouble=lambda issuer: issuer.announce(issuer=LONG),
    ),
}  # fmt: skip

# Which issuer it is, `Issuers` says before a verifier could.
OF_ISSUERS = {
    "another issuer": Fault(
        Reason.ISSUER, jwt.InvalidIssuerError, "iss: expected 'http://.+', the token has 'x'.*",
        lambda issuer: signed(issuer, iss="x"),
    ),
    "a slash": Fault(
        Reason.ISSUER, jwt.InvalidIssuerError,
        "iss: expected '(.+)', the token has '\\1/': (they differ in the slash|no verifier).+",
        lambda issuer: signed(issuer, iss=f"{issuer.issuer}/"),
    ),
    "a long issuer": Fault(
        Reason.ISSUER, jwt.InvalidIssuerError,
        f"iss: expected '.+', the token has '{LONG[:79]}\\.\\.\\.'.*",
        lambda issuer: signed(issuer, iss=LONG),
    ),
    "a number as issuer": Fault(
        Reason.ISSUER, jwt.InvalidIssuerError, "iss: expected '.+', the token has no string.*",
        lambda issuer: signed(issuer, iss=5),
    ),
    "no issuer": Fault(
        Reason.CLAIM, jwt.MissingRequiredClaimError, 'Token is missing the "iss" claim',
        lambda issuer: signed(issuer, iss=None),
    ),
}  # fmt: skip
