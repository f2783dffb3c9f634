"""Parses key sets on the event loop, a few keys at a time, and tells what a store holds."""

import asyncio
from typing import TYPE_CHECKING

from auth_jwks._jose.keys import KeySet, UnusableKeySetError, parse_in_slices
from auth_jwks._provider.document import Document, decode
from auth_jwks.events import DocumentRejected
from auth_jwks.stores.base import MAX_STORED, Newer

if TYPE_CHECKING:
    from auth_jwks._provider.key_source import KeySource

__all__ = ["content_of", "parsed"]


async def parsed(document: Document, source: "KeySource", allowed: frozenset[str]) -> KeySet:
    """Return the keys of a document. Everything else on the event loop has its turns meanwhile.

    No thread would do: it holds the interpreter's lock for longer than a few keys take. Raises
    `UnusableKeySetError`.
    """
    slices = parse_in_slices(document.jwks, allowed, source.uses)
    while True:
        try:
            next(slices)
        except StopIteration as end:
            keys: KeySet = end.value
            return keys
        await asyncio.sleep(0)


async def content_of(
    stored: Newer, source: "KeySource", allowed: frozenset[str]
) -> tuple[Document, KeySet] | DocumentRejected:
    """Return what a store holds, or why that can't be used."""
    if stored.fault is not None:
        return DocumentRejected(source.name, "seal", stored.fault)
    document = decode(stored.payload) if len(stored.payload) <= MAX_STORED else None
    if document is None:
        return DocumentRejected(source.name, "format", "it is not in this library's format")
    if (fault := source.fault_in(document)) is not None:
        return DocumentRejected(source.name, "source", fault)
    try:
        return document, await parsed(document, source, allowed)
    except UnusableKeySetError as unusable:
        return DocumentRejected(source.name, "keys", str(unusable))
