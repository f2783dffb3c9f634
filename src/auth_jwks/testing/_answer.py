"""A provider's answers and how they are delivered: values only, without I/O."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from http import HTTPStatus

from auth_jwks.testing.keys import SigningKey

__all__ = ["Answer", "Receive", "discovery", "key_set", "kid_of", "with_etag", "without_none"]

_CHUNK_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Answer:
    """A response and how it is delivered. Every fault is a change of some fields."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    held: bool = False
    delay: float = 0.0
    refused: bool = False
    seconds_per_byte: float = 0.0
    truncated: bool = False

    @property
    def head(self) -> dict[str, str]:
        """The headers to send; a 304 has no length (RFC 9110 §8.6)."""
        if self.status == HTTPStatus.NOT_MODIFIED:
            return dict(self.headers)
        return {**self.headers, "Content-Length": str(len(self.body))}

    @property
    def pieces(self) -> Iterator[bytes]:
        """The body as it is sent: byte by byte if it drips, half of it if it is truncated."""
        size = 1 if self.seconds_per_byte else _CHUNK_BYTES
        end = len(self.body) // 2 if self.truncated else len(self.body)
        return (self.body[at : min(at + size, end)] for at in range(0, end, size))


# Takes method, target and headers. The future of a held request says whether it is answered.
Receive = Callable[[str, str, Mapping[str, str]], tuple[Answer, Future[bool] | None]]


def discovery(
    issuer: str, jwks_uri: str, algorithm: str, announced: Mapping[str, object]
) -> Answer:
    """Return the required metadata (OpenID Connect Discovery §3), with the announced changes."""
    metadata: dict[str, object] = {
        "issuer": issuer,
        "jwks_uri": jwks_uri,
        "authorization_endpoint": f"{issuer}/authorize",
        "token_endpoint": f"{issuer}/token",
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [algorithm],
        **announced,
    }
    return _json({name: value for name, value in metadata.items() if value is not None})


def key_set(members: Iterable[object]) -> Answer:
    """Return the JWK Set (RFC 7517 §5): signing keys as public JWKs, anything else unchanged."""
    return _json({"keys": [_published(member) for member in members]})


def kid_of(member: object) -> object:
    """Return the `kid` of a member, if it has one."""
    jwk = _published(member)
    return jwk.get("kid") if isinstance(jwk, Mapping) else None


def without_none(headers: Mapping[str, object]) -> dict[str, str]:
    """Return the headers whose value is not None."""
    return {name: str(value) for name, value in headers.items() if value is not None}


def with_etag(answer: Answer, if_none_match: str) -> Answer:
    """Return the answer with its `ETag`, or a 304 if the client has it (RFC 9110 §13.1.2)."""
    etag = f'"{hashlib.sha256(answer.body).hexdigest()[:32]}"'
    headers = {**answer.headers, "ETag": etag}
    known = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    if etag in known or known == ["*"]:
        return Answer(HTTPStatus.NOT_MODIFIED, headers)
    return Answer(200, headers, answer.body)


def _json(members: Mapping[str, object]) -> Answer:
    return Answer(headers={"Content-Type": "application/json"}, body=json.dumps(members).encode())


def _published(member: object) -> object:
    return member.jwk() if isinstance(member, SigningKey) else member
