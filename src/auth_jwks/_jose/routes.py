"""Which of several verifiers a token is for: the one that has its issuer. Pure."""

from collections.abc import Hashable, Sequence
from typing import Generic, Protocol, TypeVar

import jwt

from auth_jwks._jose.hints import missing
from auth_jwks._jose.issuer import IssuerNames, issuer_names
from auth_jwks._jose.keys import ALGORITHMS
from auth_jwks._jose.tokens import compact, parse_token, unverified_claims
from auth_jwks._jose.words import listed, shown

__all__ = ["Claimant", "Routes"]

MAX_REMEMBERED = 4096


class Claimant(Protocol):
    """A verifier that says whose tokens it verifies."""

    @property
    def issuers(self) -> tuple[str, ...]:
        """The names of its issuer, exact ones and templates."""
        ...

    @property
    def max_token_length(self) -> int:
        """How many characters a token may have."""
        ...


ClaimantT = TypeVar("ClaimantT", bound=Claimant)


class Routes(Generic[ClaimantT]):
    """The issuers of several verifiers. An exact name wins over a template.

    What is read of a token here is not verified: it only chooses who verifies it.
    """

    def __init__(self, verifiers: Sequence[ClaimantT]) -> None:
        """Raise `ValueError` if a verifier has no issuer, or one that another has too."""
        self._exact: dict[str, ClaimantT] = {}
        self._templates: dict[str, tuple[IssuerNames, ClaimantT]] = {}
        self._remembered: dict[Hashable, ClaimantT] = {}
        if not verifiers:
            raise ValueError("verifiers: expected at least one")
        self.longest = max(verifier.max_token_length for verifier in verifiers)
        for number, verifier in enumerate(verifiers, 1):
            if not verifier.issuers:
                raise ValueError(f"verifiers: expected each with issuer=, number {number} has none")
            self._add(verifier)

    def of(self, issuer: object) -> ClaimantT | None:
        """Return the verifier that has this issuer."""
        if not isinstance(issuer, str):
            return None
        exact = self._exact.get(issuer)
        if exact is not None:
            return exact
        templates = self._templates.values()
        return next((each for names, each in templates if names.accepts(issuer)), None)

    def find(self, token: object) -> ClaimantT:
        """Return the verifier for a token. Raises `jwt.InvalidTokenError`."""
        bare = compact(token, self.longest)
        claims = unverified_claims(bare)
        found = None if claims is None else self.of(claims.get("iss"))
        if found is not None:
            return found
        parse_token(bare, ALGORITHMS)  # what is wrong with its form comes first, as in `JWKS`
        if claims is None:
            raise jwt.DecodeError("the payload is not a JSON object")
        if "iss" not in claims:
            raise missing("iss", "it says which of the verifiers a token is for")
        expected = listed([*self._exact, *self._templates], "or")
        text = f"iss: expected {expected}, the token has {shown(claims['iss'])}"
        raise jwt.InvalidIssuerError(f"{text}: no verifier has this issuer")

    def recall(self, digest: Hashable) -> ClaimantT | None:
        """Return who verified the very token of this digest before, or None."""
        return self._remembered.get(digest)

    def remember(self, digest: Hashable, verifier: ClaimantT) -> None:
        """Remember who verified a token, if it has a digest. Any thread may do so."""
        if digest is None:
            return
        if len(self._remembered) >= MAX_REMEMBERED:
            self._remembered.clear()
        self._remembered[digest] = verifier

    def _add(self, verifier: ClaimantT) -> None:
        names = issuer_names(tuple(dict.fromkeys(verifier.issuers)))
        for name in names.names:
            if name in self._exact or name in self._templates:
                raise ValueError(f"verifiers: expected each issuer once, got {name!r} twice")
            if name in names.templates:
                self._templates[name] = names, verifier
            else:
                self._exact[name] = verifier
