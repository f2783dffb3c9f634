"""The stored form of a fetched JWK Set: versioned JSON, with its origin."""

import json
from codecs import BOM_UTF8
from collections.abc import Collection
from hashlib import sha256
from typing import NamedTuple

from auth_jwks._jose.strict_json import strict_object
from auth_jwks._provider.headers import entity_tag

__all__ = ["Document", "decode", "encode", "store_key"]

FORMAT = 1


class Document(NamedTuple):
    """One answer of the provider.

    `issuer` is the one that tokens must name, None if unknown. `uri` is the URL of `jwks`.
    `max_age` is for how many seconds the provider calls it fresh, None if it doesn't say.
    """

    uri: str
    issuer: str | None
    jwks: bytes
    etag: str | None = None
    max_age: float | None = None


def store_key(*, mode: str, url: str, issuers: Collection[str], fix_local_url: bool) -> str:
    """Return the store's key under which verifiers with the same source share a document.

    The order of the issuer's names does not matter; a single one counts as in release 0.5.0.
    """
    parts = (mode, url, *(sorted(issuers) or [""]), str(fix_local_url))
    digest = sha256(b"".join(b"%d:%s" % (len(part.encode()), part.encode()) for part in parts))
    return f"v{FORMAT}:{digest.hexdigest()}"


def encode(document: Document) -> bytes:
    """Return the stored form."""
    content = {
        "format": FORMAT,
        "uri": document.uri,
        "issuer": document.issuer,
        "etag": document.etag,
        "max_age": document.max_age,
        "jwks": document.jwks.decode(),
    }
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False)
    # A lone surrogate, which UTF-8 can't hold, becomes its JSON escape.
    return text.encode(errors="backslashreplace")


def decode(payload: bytes) -> Document | None:
    """Return what `encode` stored; None for anything else, as a store's content is untrusted."""
    match strict_object(payload.removeprefix(BOM_UTF8)):
        case {
            "format": 1,
            "uri": str() as uri,
            "issuer": str() | None as issuer,
            "etag": str() | None as etag,
            "max_age": int() | float() | None as max_age,
            "jwks": str() as jwks,
        }:
            raw = jwks.encode(errors="replace")
            return Document(uri, issuer, raw, entity_tag(etag or ""), max_age)
        case _:
            return None
