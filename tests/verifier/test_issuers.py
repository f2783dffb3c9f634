"""The names of the issuer: several of one, and the templates of Entra ID."""

import pytest

from auth_jwks import JWKS
from auth_jwks.sync import SyncJWKS
from auth_jwks.testing import FakeIssuer


@pytest.mark.parametrize("verifier", [JWKS, SyncJWKS])
def test_a_verifier_tells_the_names_that_it_was_given(
    verifier: type[JWKS | SyncJWKS], issuer: FakeIssuer
) -> None:
    """None, if there are none: what discovery names is another matter."""
    named = verifier(issuer.discovery_url, "api", issuer=issuer.issuer)
    assert named.issuers == (issuer.issuer,)
    assert verifier(issuer.discovery_url, "api").issuers == ()
