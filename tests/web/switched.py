"""A recipe's applications, for a server to run: the header `X-Verifier` says who checks a token.

They are made by the factory that the environment's `FACTORY` names.
"""

import os
from importlib import import_module
from typing import Any

from auth_jwks.sync import SyncJWKS
from tests.web.status_table import AUDIENCE


class Broken:
    """A verifier that fails in a way that blames no token."""

    def verify_token(self, _token: str) -> dict[str, Any]:
        """Raise what a fault in the program would."""
        raise LookupError("crossed wires")


def impatient(variable: str) -> SyncJWKS:
    """Return a verifier that tries nothing twice, for the provider which the environment names."""
    return SyncJWKS(os.environ[variable], AUDIENCE, issuer="https://a.example", retries=0)


module, _, name = os.environ["FACTORY"].partition(":")
create_app = getattr(import_module(module), name)
applications = {
    "own": create_app(),
    "down": create_app(impatient("DOWN")),
    "misled": create_app(impatient("MISLED")),
    "broken": create_app(Broken()),
}


def application(environ: dict[str, Any], start_response: Any) -> Any:
    """Answer one request."""
    chosen = applications[environ.pop("HTTP_X_VERIFIER", "own")]
    return chosen(environ, start_response)
