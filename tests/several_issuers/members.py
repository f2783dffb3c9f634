"""Members of every kind, whose keys have one name: with profiles, without a network, for tenants.

Nothing that holds for one of them may count for another.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import permutations
from pathlib import Path
from typing import Any, TypeVar

from auth_jwks.profiles import AccessToken
from auth_jwks.testing import FakeIssuer, SigningKey

STAFF, MACHINES, MESH = "https://staff.example", "https://machines.example", "https://mesh.example"
TEMPLATE, HOME, OTHER = "https://idp.example/{tenantid}/v2.0", "abc", "def"
CUSTOMER = TEMPLATE.replace("{tenantid}", HOME)

VerifierT = TypeVar("VerifierT")


@dataclass(frozen=True)
class Issued:
    """What one issuer signs: the claims and the header of a good token of its."""

    claims: Mapping[str, Any]
    headers: Mapping[str, Any] = field(default_factory=dict)
    key: SigningKey = field(default_factory=lambda: SigningKey.generate("ES256", "first"))

    @property
    def issuer(self) -> str:
        """Its name."""
        return str(self.claims["iss"])

    def sign(self, **changes: object) -> str:
        """Return a token of it; a claim of None is left out."""
        return self.key.sign(lasting({**self.claims, **changes}), self.headers)


ISSUED = {
    "discovery": Issued(
        {"iss": STAFF, "aud": "staff-api", "client_id": "web", "jti": "1"}, {"typ": "at+jwt"}
    ),
    "jwks": Issued({"iss": MACHINES, "azp": "cron"}),
    "jwks_file": Issued({"iss": MESH, "aud": "mesh-api", "iat": None}),
    "tenants": Issued({"iss": CUSTOMER, "tid": HOME, "aud": "shop-api"}),
}


def lasting(claims: Mapping[str, Any]) -> dict[str, Any]:
    """Return claims that are valid now."""
    now = int(time.time())
    valid = {"sub": "alice", "iat": now, "exp": now + 300, **claims}
    return {name: value for name, value in valid.items() if value is not None}


@contextmanager
def verifiers(kind: Callable[..., VerifierT], folder: Path) -> Iterator[list[VerifierT]]:
    """Return a verifier for each, of this kind, in the order of `ISSUED`."""
    staff, machines, mesh, customers = ISSUED.values()
    path = folder / "keys.json"
    path.write_text(json.dumps({"keys": [mesh.key.jwk()]}))
    with (
        FakeIssuer(issuer=STAFF, keys=[staff.key]) as provider,
        FakeIssuer(keys=[customers.key]) as idp,
    ):
        yield [
            kind(
                provider.discovery_url,
                "staff-api",
                issuer=STAFF,
                profile=AccessToken(),
                retries=0,
            ),
            kind(
                jwks={"keys": [machines.key.jwk()]},
                issuer=MACHINES,
                profile=AccessToken(typ="JWT", claims={"azp": "cron"}),
            ),
            kind(jwks_file=path, aud="mesh-api", issuer=MESH, required_claims=("exp", "sub")),
            kind(jwks_uri=idp.jwks_uri, aud="shop-api", issuer=TEMPLATE, tenants={HOME}, retries=0),
        ]


def crossed() -> dict[str, str]:
    """Return tokens in which something of one issuer stands with the name or key of another."""
    tokens = {}
    for (name, here), (other, there) in permutations(ISSUED.items(), 2):
        tokens[f"{name}, signed by {other}"] = there.key.sign(lasting(here.claims), here.headers)
        claims = {**there.claims, "iss": here.issuer}
        tokens[f"{name}, like one of {other}"] = here.key.sign(lasting(claims), there.headers)
    staff, machines, mesh, customers = ISSUED.values()
    return tokens | {
        "staff's ID token": staff.key.sign(lasting(staff.claims)),
        "staff's without a client": staff.sign(client_id=None),
        "another machine's": machines.sign(azp="backup"),
        "a machine's by RFC 9068": machines.key.sign(lasting(machines.claims), {"typ": "at+jwt"}),
        "of the mesh, without a subject": mesh.sign(sub=None),
        "of another tenant": customers.sign(iss=TEMPLATE.replace("{tenantid}", OTHER), tid=OTHER),
        "of a tenant that says another": customers.sign(tid=OTHER),
        "of no tenant": customers.sign(tid=None),
        "of all tenants": customers.sign(iss=TEMPLATE),
    }
