"""What a token says, unverified. Pure."""

import binascii
from base64 import urlsafe_b64decode
from typing import Any

from auth_jwks._jose.strict_json import strict_object

__all__ = ["part_of", "shape_of"]


def part_of(token: str, number: int) -> dict[str, Any] | None:
    """Return the JSON object in a segment, None if there is none."""
    segments = token.split(".")
    if number >= len(segments):
        return None
    segment = segments[number].encode(errors="replace")
    try:
        return strict_object(urlsafe_b64decode(segment + b"=" * (-len(segment) % 4)))
    except binascii.Error:
        return None


def shape_of(token: str) -> str:
    """Return what kind of token this is, by the number of its segments."""
    match token.count(".") + 1:
        case 1:
            return "no dots: it is opaque, and only its issuer can read it"
        case 3:
            return "three segments: a signed token (JWS)"
        case 5:
            return "five segments: it is encrypted (JWE), and only its recipient can read it"
        case number:
            return f"{number} segments, of which no token has so many"
