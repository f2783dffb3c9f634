"""Stores that also show and delete what they hold, for operators. Nothing is changed by a look."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from auth_jwks.stores._breaker import CallFailedError
from auth_jwks.stores.base import StoreUnavailable
from auth_jwks.stores.file import FileKeyStore
from auth_jwks.stores.gate import EMPTY, Failure, Gate, Record, microseconds
from auth_jwks.stores.record import FORMAT, MAX_RECORD, decode
from auth_jwks.stores.redis import FORMAT as FORMAT_IN_REDIS
from auth_jwks.stores.redis import RedisKeyStore

__all__ = ["Entry", "InspectedDirectory", "InspectedRedis"]

BATCH = 500  # keys that one SCAN looks at
EXACT = 1 << 53  # up to which Lua is exact
FAILURES: dict[bytes, Failure | None] = {b"L": None, b"F": "failed", b"M": "mismatch"}
GATE = re.compile(rb"([LFM]):(\d{1,16}):(\d{1,16}):(\d{1,16}):(\d{1,16}):(.*)", re.DOTALL)
RECORD_FILE = re.compile(rf"{FORMAT}-[0-9a-f]{{64}}")


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of a store: its record at the store's time `now`, in microseconds.

    `name` is what the store calls it. `key` is the key of the contract, None where only a digest of
    it is stored. The gate of the record is what is stored; it may have expired.
    """

    name: str
    key: str | None
    record: Record
    now: int


class InspectedRedis(RedisKeyStore):
    """`RedisKeyStore`, and a look at the records under its prefix. It never runs KEYS."""

    async def entries(self) -> list[Entry]:
        """Return what is stored. Raises `StoreUnavailable`."""
        start = f"{self._prefix}:{FORMAT_IN_REDIS}:{{"
        names = set[bytes]()
        cursor: int | None = None
        while cursor != 0:
            pattern = re.sub(r"([\\*?\[\]])", r"\\\1", start) + "*}"
            words = ("SCAN", cursor or 0, "MATCH", pattern, "COUNT", BATCH, "TYPE", "hash")
            cursor, found = await self._command(*words)
            names.update(found)
        return [await self._entry(name, start) for name in sorted(names)]

    async def purge(self, entry: Entry) -> None:
        """Delete a record and its gate. Raises `StoreUnavailable`."""
        await self._command("DEL", entry.name, f"{entry.name}:gate")

    async def _entry(self, name: bytes, start: str) -> Entry:
        fields = await self._command("HGETALL", name)
        gate = await self._command("GET", name + b":gate")
        seconds, micro = await self._command("TIME")
        text = name.decode(errors="replace")
        now = microseconds(int(seconds)) + int(micro)
        return Entry(text, text.removeprefix(start).removesuffix("}"), _record(fields, gate), now)

    async def _command(self, *words: str | bytes | int) -> Any:
        try:
            return await self._driver.command(*words)
        except CallFailedError as fault:
            reason = fault.reason
        raise StoreUnavailable(reason)


class InspectedDirectory(FileKeyStore):
    """`FileKeyStore`, and a look at the records of its directory since the last boot."""

    async def entries(self) -> list[Entry]:
        """Return what is stored. Raises `StoreUnavailable`."""
        return self._entries()

    async def purge(self, entry: Entry) -> None:
        """Delete a record under its lock. Raises `StoreUnavailable`."""
        with self._opened() as directory:
            if not directory.lock(f"{entry.name}.lock"):
                raise StoreUnavailable("locked")
            directory.delete(entry.name)

    def _entries(self) -> list[Entry]:
        with self._opened() as directory:
            names = sorted(filter(RECORD_FILE.fullmatch, (at.name for at in self._path.iterdir())))
            records = {name: decode(directory.read(name, MAX_RECORD), self._boot) for name in names}
        now = microseconds(self._timer())
        return [
            Entry(name, None, record, now) for name, record in records.items() if record != EMPTY
        ]


def _record(fields: Mapping[bytes, bytes], gate: bytes | None) -> Record:
    """Return the record in a hash. What is no number counts as 0, as it does for the script."""

    def number(name: str) -> int:
        value = fields.get(name.encode(), b"")
        return int(value) if len(value) <= 16 and value.isdigit() and int(value) <= EXACT else 0

    begun = (number("unscheduled1"), number("unscheduled2"))
    return Record(
        version=number("version"),
        payload=fields.get(b"payload", b""),
        fetched=number("fetched"),
        expires=number("expires"),
        issued=number("issued"),
        failures=number("failures"),
        failed_by=fields.get(b"failed_by", b"").decode(errors="replace"),
        repaired=number("repaired"),
        window=number("window") if b"window" in fields else EMPTY.window,
        unscheduled=tuple(at for at in begun if at),
        gate=_gate(gate),
    )


def _gate(value: bytes | None) -> Gate | None:
    found = GATE.fullmatch(value or b"")
    if found is None:
        return None
    letter, fence, granted, renewed, ttl, holder = found.groups()
    return Gate(
        holder=holder.decode(errors="replace"),
        fence=int(fence),
        granted=int(granted),
        renewed=int(renewed),
        ttl=int(ttl),
        failed=FAILURES[letter],
    )
