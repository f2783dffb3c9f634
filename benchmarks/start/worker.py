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
    exec(statements, globals())  # noqa: S102 - the benchmark's own words
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


def many(number: int) -> dict[str, float]:
    """Construct so many verifiers, as for tenants; return the seconds and KiB of one."""
    import logging  # noqa: PLC0415 - as above
    import tracemalloc  # noqa: PLC0415 - as above

    from auth_jwks import JWKS  # noqa: PLC0415 - as above

    logging.disable(logging.WARNING)

    def made() -> list[JWKS]:
        return [JWKS(issuer=f"https://{each}.example.com", aud="api") for each in range(number)]

    made()
    began = time.perf_counter()
    made()
    took = time.perf_counter() - began
    tracemalloc.start()
    kept = made()
    size, _ = tracemalloc.get_traced_memory()
    return {"a verifier": took / len(kept), "KiB of a verifier": size / 1024 / len(kept)}


def main() -> dict[str, object]:
    """Do what the command line says: `import FIRST STATEMENTS`, of which the first are not timed,
    `many NUMBER`, or `verify URL ISSUER TOKEN REDIS`.
    """  # noqa: D205 - one sentence
    if sys.argv[1] == "import":
        imported(sys.argv[2])
        before = {*sys.modules}
        took = imported(sys.argv[3])
        return {"import": took, "modules": sorted({*sys.modules} - before)}
    if sys.argv[1] == "many":
        return {**many(int(sys.argv[2]))}
    took = imported("from auth_jwks import JWKS")
    return {"import": took, **verified(*sys.argv[2:])}


if __name__ == "__main__":
    answer = main()
    import json

    sys.stdout.write(json.dumps(answer))
