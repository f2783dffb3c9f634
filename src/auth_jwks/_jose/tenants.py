"""Which tenants of an issuer are accepted (Entra ID). Pure, if the user's function is."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jwt

from auth_jwks._jose.hints import missing
from auth_jwks._jose.issuer import IssuerNames, is_tenant
from auth_jwks._jose.reasons import because
from auth_jwks._jose.words import shown
from auth_jwks.errors import Reason

__all__ = ["Tenants"]


class Tenants(NamedTuple):
    """The accepted tenants of `names`: those of a set, or those that a function admits."""

    names: IssuerNames
    admitted: frozenset[str] | Callable[[str], bool]

    def check(self, claims: dict[str, Any]) -> None:
        """Check that `tid` is the tenant in `iss`, and in the set if there is one.

        A function is not asked, as these claims may be anybody's. Raises `jwt.InvalidTokenError`.
        """
        tenant = self._tenant(claims)
        if tenant is not None and isinstance(self.admitted, frozenset):
            self._require(tenant, is_admitted=tenant in self.admitted)

    def confirm(self, claims: dict[str, Any], key_issuer: str | None) -> None:
        """Check a token that is validly signed: by a key of its tenant, which the function admits.

        Raises `jwt.InvalidIssuerError`.
        """
        if not self.names.admits_key(key_issuer, self._tenant(claims)):
            text = "the key belongs to another issuer; if that is a name of this one, pass both"
            raise jwt.InvalidIssuerError(text)
        self.asked(claims)

    def asked(self, claims: dict[str, Any]) -> dict[str, Any]:
        """Return the claims after calling the function, if there is one. Its exceptions propagate.

        It is called each time, because its answer may change.
        """
        if isinstance(self.admitted, frozenset) or (tenant := self._tenant(claims)) is None:
            return claims
        answer: object = self.admitted(tenant)
        if not isinstance(answer, bool):
            kind = type(answer).__name__
            raise TypeError(f"tenants: expected a function that returns True or False, got {kind}")
        self._require(tenant, is_admitted=answer)
        return claims

    def _tenant(self, claims: dict[str, Any]) -> str | None:
        """Return the tenant of a token; None if it names its issuer by an exact name.

        Where `iss` is left unchecked, `tid` alone says it.
        """
        iss, tid = claims.get("iss"), claims.get("tid")
        named = self.names.tenant(iss)
        if named is None and self.names.accepts(iss):
            return None
        if tid is None:
            raise missing("tid", "tenants= requires it")
        if not isinstance(tid, str) or not is_tenant(tid) or named not in {None, tid}:
            text = f"tid: expected the tenant in iss, the token has {shown(tid)}"
            raise because(Reason.CLAIM, jwt.InvalidIssuerError(text))
        return tid

    def _require(self, tenant: str, *, is_admitted: bool) -> None:
        if not is_admitted:
            text = f"tid: expected one of tenants=, the token has {shown(tenant)}"
            raise because(Reason.CLAIM, jwt.InvalidIssuerError(text))
