"""The names of one issuer: exact strings, and templates for all tenants of Entra ID. Pure."""

import re

__all__ = ["PLACEHOLDER", "IssuerNames", "fault_in_name", "is_tenant", "issuer_names"]

PLACEHOLDER = "{tenantid}"  # as Entra ID's discovery documents spell it

# `re` compiles a pattern when it is first used, which for most verifiers is never.
_TEMPLATE = r"https?://[^/?#{}]+(?:/[^/?#{}]+)*/\{tenantid\}(?:/[^/?#{}]+)*/?"
# Lower case only: each tenant has one spelling, so no other spelling escapes a check.
_OF_TENANTS = frozenset("0123456789abcdef-")


class IssuerNames:
    """What the `iss` of a token may be: one of `names`. Without any, nobody knows.

    Those that are `templates` stand for the names with a tenant's id in place of `{tenantid}`;
    the others are `exact`.
    """

    def __init__(self, names: tuple[str, ...] = (), templates: tuple[str, ...] = ()) -> None:
        self.names = names
        self.templates = templates
        self.exact = tuple(name for name in names if name not in templates)

    def __repr__(self) -> str:
        return f"IssuerNames({self.names!r}, {self.templates!r})"

    def accepts(self, iss: object) -> bool:
        """Return whether this is the `iss` of one of our tokens."""
        return iss in self.exact or self.tenant(iss) is not None

    def tenant(self, iss: object) -> str | None:
        """Return the tenant that a template finds in an `iss`; None if it fits no template."""
        if not isinstance(iss, str):
            return None
        for template in self.templates:
            before, _, after = template.partition(PLACEHOLDER)
            tenant = iss.removeprefix(before).removesuffix(after)
            if is_tenant(tenant) and iss == f"{before}{tenant}{after}":
                return tenant
        return None

    def admits_key(self, key_issuer: str | None, tenant: str | None) -> bool:
        """Return whether a key signs for that tenant, or with None for the exact names.

        `key_issuer` is what the key says: the issuer of one tenant, a template, or nothing.
        """
        if key_issuer is None:
            return True
        if tenant is None:
            return self.tenant(key_issuer) is None and self.accepts(key_issuer)
        return key_issuer in self.templates or self.tenant(key_issuer) == tenant

    def lacks_slash(self, stated: object) -> bool:
        """Return whether this would be a name, were it not for a slash at the end of one."""
        if not isinstance(stated, str):
            return False
        other = stated.removesuffix("/") if stated.endswith("/") else f"{stated}/"
        return other in self.names or self.tenant(other) is not None


def issuer_names(names: tuple[str, ...]) -> IssuerNames:
    """Return the names that a user configures; `fault_in_name` has found none in them."""
    return IssuerNames(names, tuple(name for name in names if PLACEHOLDER in name))


def fault_in_name(name: str) -> str | None:
    """Return why a name is not valid as a template; None if it is, or has no braces."""
    if ("{" not in name and "}" not in name) or re.fullmatch(_TEMPLATE, name):
        return None
    return f"the only placeholder is {PLACEHOLDER}, once, as a whole segment of a URL's path"


def is_tenant(value: object) -> bool:
    """Return whether this is a tenant's id: lower-case hexadecimal digits and dashes."""
    return isinstance(value, str) and value != "" and _OF_TENANTS.issuperset(value)
