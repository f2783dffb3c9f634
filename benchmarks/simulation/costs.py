"""What a call and a connection cost a real Valkey, in its own CPU time."""

import asyncio
from statistics import mean

from auth_jwks import RedisKeyStore
from auth_jwks.stores.base import LeaseRequest
from benchmarks.fleet.crew import Arena, arena
from benchmarks.fleet.worker import SEAL

__all__ = ["measured"]

LEASE, ETERNITY = 3.0, 60.0
ROUNDS = 5


def measured(calls: int, connections: int) -> tuple[float, float]:
    """Return the CPU seconds of a call that has to wait, and how many more one that connects takes.

    Of several rounds the least counts: what else the machine does only adds.
    """
    with arena() as ground:
        rounds = [
            asyncio.run(_round(ground, calls // connections, connections)) for _ in range(ROUNDS)
        ]
    call, connected = (min(column) for column in zip(*rounds, strict=True))
    return call, max(0.0, connected - call)


async def _round(ground: Arena, times: int, connections: int) -> tuple[float, float]:
    wish = LeaseRequest("others'", LEASE, "age")
    stores = [RedisKeyStore(ground.url, integrity_key=SEAL) for _ in range(connections)]

    async def cost(some: list[RedisKeyStore]) -> float:
        before = _spent(ground)
        await asyncio.gather(*(store.poll("keys", known=0, lease=wish) for store in some))
        return (_spent(ground) - before) / len(some)

    holder = RedisKeyStore(ground.url, integrity_key=SEAL)
    await holder.poll("keys", known=0, lease=LeaseRequest("the holder's", ETERNITY, "age"))
    connected = await cost(stores)
    calls = [await cost(stores) for _ in range(times)]
    for store in (holder, *stores):
        await store.aclose()
    return mean(calls), connected


def _spent(ground: Arena) -> float:
    cpu = ground.admin.info("cpu")
    return float(cpu["used_cpu_user"] + cpu["used_cpu_sys"])
