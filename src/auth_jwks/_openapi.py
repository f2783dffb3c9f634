"""The refusals of RFC 6750 in an OpenAPI document, wherever a security scheme guards."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from auth_jwks.bearer import ANSWERS, UNAVAILABLE

__all__ = ["with_refusals"]

CHALLENGE = {
    "WWW-Authenticate": {
        "description": "What a request has to bring: the challenge of RFC 6750.",
        "required": True,
        "schema": {"type": "string"},
    }
}
RETRY_AFTER = {
    "Retry-After": {
        "description": "The seconds to wait before the next attempt.",
        "schema": {"type": "integer", "minimum": 1},
    }
}
UNAUTHORIZED, FORBIDDEN = 401, 403
REFUSALS: dict[int, tuple[str, dict[str, Any]]] = {
    UNAUTHORIZED: ("The token is missing, has expired or is invalid.", CHALLENGE),
    FORBIDDEN: ("The token was not granted the scopes that are required here.", CHALLENGE),
    UNAVAILABLE: ("Tokens can't be verified at the moment.", RETRY_AFTER),
}


def with_refusals(document: dict[str, Any], scheme: str) -> dict[str, Any]:
    """Return the document, in which each operation under that scheme now lists its refusals.

    403 is listed where scopes are required. A response that is there already stays as it is.
    """
    name = f"{scheme}Refusal"
    for operation, scopes in _guarded(document, scheme):
        responses = operation.setdefault("responses", {})
        for status in REFUSALS.keys() - (() if scopes else {FORBIDDEN}):
            responses.setdefault(str(status), _response(status, name))
        operation["responses"] = dict(sorted(responses.items()))
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas.setdefault(name, _body(name))
    return document


def _guarded(document: dict[str, Any], scheme: str) -> Iterator[tuple[dict[str, Any], list[str]]]:
    """Find each operation that requires the scheme (OpenAPI §4.8.30), with its scopes.

    An application's own document may have other members beside the operations (§4.8.9).
    """
    for path in document.get("paths", {}).values():
        for operation in (member for member in path.values() if isinstance(member, dict)):
            for requirement in operation.get("security", ()):
                if scheme in requirement:
                    yield operation, requirement[scheme]


def _response(status: int, body: str) -> dict[str, Any]:
    description, headers = REFUSALS[status]
    detail = next(detail for _, code, detail, _ in ANSWERS if code == status)
    content = {"schema": {"$ref": f"#/components/schemas/{body}"}, "example": {"detail": detail}}
    return {
        "description": description,
        "headers": deepcopy(headers),
        "content": {"application/json": content},
    }


def _body(name: str) -> dict[str, Any]:
    detail = {"type": "string", "title": "Detail"}
    return {
        "title": name,
        "type": "object",
        "required": ["detail"],
        "properties": {"detail": detail},
    }
