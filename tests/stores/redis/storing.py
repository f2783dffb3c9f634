"""How the tests of the Redis store lease and store, and what others see in Redis."""

from redis import Redis

from auth_jwks import RedisKeyStore
from auth_jwks.stores import Granted, Lease, LeaseRequest

SECRET, OTHER = b"s" * 32, b"o" * 32
KEY = "v1:key"
DAY = 86_400


async def lease(store: RedisKeyStore, holder: str = "a", *, known: int = 0) -> Lease:
    """Ask for a lease, and get it."""
    answer = await store.poll(KEY, known=known, lease=LeaseRequest(holder, 60.0, "age"))
    assert isinstance(answer, Granted)
    return answer.lease


async def put(store: RedisKeyStore, payload: bytes = b"document", *, known: int = 0) -> int:
    """Store a document, and return its version."""
    version = await store.commit(await lease(store, known=known), payload, ttl=1000, window=30)
    assert version is not None
    return version


class Keys:
    """The two keys of a store's record, as somebody else sees them who can write there."""

    def __init__(self, url: str, prefix: str) -> None:
        self.redis = Redis.from_url(url)
        self.record = f"{prefix}:2:{{{KEY}}}"
        self.gate = f"{self.record}:gate"

    @property
    def now(self) -> int:
        """The server's time in µs."""
        seconds, micros = self.redis.time()
        return int(seconds) * 1_000_000 + int(micros)

    @property
    def held(self) -> str:
        """What the gate's key holds."""
        value = self.redis.get(self.gate)
        assert isinstance(value, bytes)
        return value.decode()

    def field(self, name: str) -> int:
        """Return a number of the record."""
        return int(self.redis.hget(self.record, name) or 0)
