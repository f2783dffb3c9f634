"""A recipe's application, for a server to run: the header `X-Verifier` says who checks a token.

The application is that of the environment's `ENTRY`; its verifier is `jwks` in `RECIPE`.
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


recipe = import_module(os.environ["RECIPE"])
module, _, name = os.environ["ENTRY"].partition(":")
guarded = getattr(import_module(module), name)
verifiers = {
    "own": recipe.jwks,
    "down": impatient("DOWN"),
    "misled": impatient("MISLED"),
    "broken": Broken(),
}


def application(environ: dict[str, Any], start_response: Any) -> Any:
    """Answer one request; they come one at a time."""
    vars(recipe)["jwks"] = verifiers[environ.pop("HTTP_X_VERIFIER", "own")]
    return guarded(environ, start_response)
