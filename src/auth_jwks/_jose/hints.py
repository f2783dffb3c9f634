"""Hints in a rejection that the configuration may be wrong. Pure.

No text holds a claim's value.
"""

from collections.abc import Mapping

import jwt

from auth_jwks._jose.issuer import PLACEHOLDER, IssuerNames

__all__ = ["algorithm_hint", "audience_hint", "issuer_hint", "missing"]

ABSENT = {
    "aud": "an audience is expected; if the provider's tokens have no aud, leave out aud= and hold"
    " them to another claim: profile=AccessToken(claims=...), or its check=",
    "exp": "exp is always required",
    "iss": "the issuer is known, by issuer= or from discovery, so iss is required",
}
CONFIGURED = "required_claims= says which claims a token must have; by default exp, iat and sub"

# The beginnings of Entra ID's issuers, with the version of the tokens that have it.
ENTRA_ID = {"https://sts.windows.net/": 1, "https://login.microsoftonline.com/": 2}
ACCESS_TOKENS_OF_ADFS = "/adfs/services/trust"


def missing(name: str, hint: str | None = None) -> jwt.MissingRequiredClaimError:
    """Return the error for a claim that is absent, with a note on what requires it.

    It is a note (PEP 678), as PyJWT's class has a text of its own.
    """
    error = jwt.MissingRequiredClaimError(name)
    error.add_note(hint or ABSENT.get(name, CONFIGURED))
    return error


def issuer_hint(expected: IssuerNames, stated: object) -> str:
    """Return what to change if the `iss` of a token is nearly a name; else nothing."""
    if expected.lacks_slash(stated):
        return ": they differ in the slash at the end; pass issuer= with the provider's"
    if not expected.templates and PLACEHOLDER in "".join(expected.names):
        return ": discovery names a template for all tenants; pass it as issuer=, with tenants="
    return _likeness(expected, stated) if isinstance(stated, str) else ""


def algorithm_hint(alg: str | None) -> str:
    """Return why an algorithm is not allowed, or how it is."""
    if alg is not None and alg.startswith("HS"):
        return ": a shared secret has signed the token, and no provider publishes that"
    return ": allowed_algorithms= says which are; by default RS256 and ES256"


def audience_hint(claims: Mapping[str, object], audience: frozenset[str]) -> str:
    """Return where the audience is, if not in `aud`: Keycloak adds it only if configured to."""
    for name in ("azp", "client_id"):
        if isinstance(claims.get(name), str) and claims[name] in audience:
            return f": it is the client of the token ({name}); have the provider add it to aud"
    return ""


def _likeness(expected: IssuerNames, stated: str) -> str:
    """Return which other name of a provider this is, or how it differs from one of ours."""
    version = _version_of_entra_id(stated)
    if version not in {None, *map(_version_of_entra_id, expected.names)}:
        return f": this is a token of version {version} of Entra ID; pass issuer= with its name too"
    if stated.endswith(ACCESS_TOKENS_OF_ADFS):
        return ": this is the access_token_issuer of ADFS; pass issuer= with both"
    differences = (_difference(name, stated) for name in expected.names)
    differing = next(filter(None, differences), None)
    if differing is None:
        return ""
    return f": they differ in the {differing}; if both are names of the issuer, pass both"


def _version_of_entra_id(issuer: str) -> int | None:
    found = (version for start, version in ENTRA_ID.items() if issuer.startswith(start))
    return next(found, None)


def _difference(name: str, stated: str) -> str | None:
    """Return the only difference of two names; an empty path makes no two names alike."""
    (host, path), (stated_host, stated_path) = map(_host_and_path, (name, stated))
    if path != stated_path:
        return None
    if host == stated_host:
        return "scheme"
    return "host" if path else None


def _host_and_path(issuer: str) -> tuple[str, str]:
    host, _, path = (issuer.partition("://")[2] or issuer).partition("/")
    return host, path
