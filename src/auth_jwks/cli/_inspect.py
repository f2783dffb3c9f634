"""`auth-jwks inspect --unverified`: what a token says, without any check."""

import time
from argparse import Namespace
from typing import Any

from auth_jwks.cli._console import Console
from auth_jwks.cli._faults import GOOD, REFUSED, UsageError
from auth_jwks.cli._texts import moment, shown
from auth_jwks.cli._token import read_token
from auth_jwks.cli._unverified import part_of, shape_of

__all__ = ["inspect"]

TIMES = ("iat", "nbf", "exp", "auth_time")
UNVERIFIED = "UNVERIFIED: anyone can have written this. Nothing of it was checked."


def inspect(arguments: Namespace, console: Console) -> int:
    """Show the header and the claims of a token."""
    if not arguments.unverified:
        raise UsageError(
            "inspect: expected --unverified, which says that you know: nothing is checked here, so"
            " whoever sent the token may have made it all up. `auth-jwks verify` checks a token"
        )
    token = read_token(console, arguments.token_file)
    header, claims = part_of(token, 0), part_of(token, 1)
    shape = shape_of(token)
    if console.as_json:
        console.put_json(
            {"verified": False, "shape": shape, "header": header, "unverified_claims": claims}
        )
    else:
        console.put(UNVERIFIED)
        console.put(shape)
        _put(console, "header", header)
        if token.count(".") + 1 != 5:  # of an encrypted one the second segment is a key
            _put(console, "claims", claims)
    return REFUSED if header is None else GOOD


def _put(console: Console, title: str, members: dict[str, Any] | None) -> None:
    console.put()
    if members is None:
        console.put(f"{title}: no JSON object")
        return
    console.put(title)
    now = time.time()
    values = {
        name: moment(value, now) if name in TIMES else shown(value)
        for name, value in members.items()
    }
    console.table([("", shown(name)[1:-1], value) for name, value in values.items()])
