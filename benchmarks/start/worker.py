"""A fresh interpreter that imports, constructs and verifies a first token; prints the seconds.

Runs with any version of the library, in whatever environment that is installed.
"""

import sys
import time
from typing import Any

BEGAN = time.monotonic()
# httpx would import its command line where click is installed, rich included.
sys.modules["click"] = None  # type: ignore[assignment]


def imported(statements: str) -> float:
    """Carry out import statements, and return the seconds it took."""
    began = time.perf_counter()
    exec(statements)  # noqa: S102 - the benchmark's own words
    return time.perf_counter() - began


def verified(url: str, issuer: str, token: str, redis: str) -> dict[str, float]:
    """Construct a verifier and use it; return the seconds of each step."""
    import asyncio  # noqa: PLC0415 - what is measured before must not find it loaded
    import logging  # noqa: PLC0415 - likewise

    from auth_jwks import JWKS  # noqa: PLC0415 - likewise

    logging.disable(logging.WARNING)
    began = time.perf_counter()
    options: dict[str, Any] = {}
    if redis:
        from auth_jwks import RedisKeyStore  # noqa: PLC0415 - likewise

        options["store"] = RedisKeyStore(redis, integrity_key=bytes(32))
    jwks = JWKS(url, issuer=issuer, **options)
    constructed = time.perf_counter()
    asyncio.run(jwks.verify_token(token))
    done = time.perf_counter()
    return {
        "construction": constructed - began,
        "first token": done - began,
        "since the interpreter": time.monotonic() - BEGAN,
    }


def main() -> dict[str, object]:
    """Do what the command line says: `import STATEMENTS`, or `verify URL ISSUER TOKEN REDIS`."""
    before = {*sys.modules}
    if sys.argv[1] == "import":
        took = imported(sys.argv[2])
        return {"import": took, "modules": sorted({*sys.modules} - before)}
    took = imported("from auth_jwks import JWKS")
    return {"import": took, **verified(*sys.argv[2:])}


if __name__ == "__main__":
    answer = main()
    import json

    sys.stdout.write(json.dumps(answer))
