"""The `typ` of a token (RFC 7515 §4.1.9): a media type that says what the token is for. Pure."""

from collections.abc import Collection, Mapping
from typing import Any

from auth_jwks._jose.words import shown

__all__ = ["plain_type", "read_type", "refusal"]

PREFIX = "application/"

# Registered media types of JWTs that are no access tokens and no ID tokens, as of November 2026.
# A test names the registered ones that are not listed here, and why.
OTHER_PURPOSES = frozenset(
    (
        "dc+sd-jwt",
        "dpop+jwt",
        "eat+jwt",
        "entity-statement+jwt",
        "explicit-registration-response+jwt",
        "jwk-set+jwt",
        "kb+jwt",
        "logout+jwt",
        "oauth-authz-req+jwt",
        "passport",
        "provided-claims+jwt",
        "resolve-response+jwt",
        "sd-jwt",
        "secevent+jwt",
        "statuslist+jwt",
        "token-introspection+jwt",
        "trust-mark+jwt",
        "trust-mark-delegation+jwt",
        "trust-mark-status-response+jwt",
        "vc+jwt",
        "vc+sd-jwt",
        "vp+jwt",
        "vp+sd-jwt",
    )
)


def plain_type(typ: str) -> str:
    """Return a `typ` as it is compared: in lower case, without `application/`."""
    return typ.lower().removeprefix(PREFIX)


def read_type(header: Mapping[str, Any]) -> tuple[str | None, bool]:
    """Return the `typ` of a header as it is compared, and whether it is an odd one.

    It is None if it is absent, and "" if it is no string. Odd is the latter, and a `typ` that
    names what is neither an access token nor an ID token, with blanks and parameters or without.
    """
    typ = header.get("typ")
    if not isinstance(typ, str):
        return ("", True) if "typ" in header else (None, False)
    name = typ.lower().removeprefix(PREFIX)
    return name, name.partition(";")[0].strip().removeprefix(PREFIX) in OTHER_PURPOSES


def refusal(found: str | None, expected: Collection[str | None] | None) -> str:
    """Return why a `typ` is rejected. None means that it is absent."""
    shown = _shown(found)
    if expected is None:
        return f"typ: expected that of an access token or an ID token, found {shown}"
    names = " or ".join(sorted(map(_shown, expected)))
    return f"typ: expected {names}, found {shown}"


def _shown(typ: str | None) -> str:
    return "none" if typ is None else shown(typ)
