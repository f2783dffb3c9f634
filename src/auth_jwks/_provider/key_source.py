"""`KeySource`: where the keys of a verifier come from. A provider is one, and so is a file."""

from typing import Protocol

from auth_jwks._jose.issuer import IssuerNames
from auth_jwks._provider.document import Document

__all__ = ["KeySource"]


class KeySource(Protocol):
    """The source of one key set.

    `name` is for logs, `key` for stores. `deadline` limits a fetch, in seconds; after
    `check_interval` the next one is due, however long the keys live. `discovers`: the documents
    name the issuer. `is_fixed`: the keys never change. `uses`: the `use` of keys for tokens.
    """

    name: str
    key: str
    issuer: IssuerNames
    deadline: float
    discovers: bool
    is_fixed: bool
    check_interval: float
    uses: frozenset[str]

    async def fetch(
        self, current: Document | None, /, *, past_caches: bool = False, revalidate: bool = True
    ) -> Document:
        """Return the document as it is now: `current` itself if nobody need look at it again.

        Raises `FetchError` or `IssuerMismatchError`, within `deadline` seconds.
        """
        ...

    def fault_in(self, document: Document) -> str | None:
        """Return why a document from a store can't be from this source; None if it can."""
        ...

    async def aclose(self) -> None:
        """Close what the source made in this event loop."""
        ...
