"""What one record of a store says, in words. Pure, but for the seal, which is a calculation."""

from dataclasses import asdict, dataclass
from typing import Any

from auth_jwks._provider.document import decode
from auth_jwks._provider.urls import redacted
from auth_jwks.cli._texts import shown, span
from auth_jwks.stores._inspect import Entry
from auth_jwks.stores._sealed import MARK, BrokenSealError, Sealer
from auth_jwks.stores.base import UNSCHEDULED_LIMIT
from auth_jwks.stores.gate import MICRO

__all__ = ["EntryFacts", "facts_of"]

HOLDER = 8  # characters of a holder's name that are shown
MADE = "made with the"
ORDINALS = ("first", "second", "third")


@dataclass(frozen=True, slots=True)
class EntryFacts:
    """What a record says; spans are in seconds, sizes in bytes. None: there is no such thing.

    `seal` is `none`, `unchecked`, by which of the keys at hand it was made, or why it is broken.
    `budget` is how many searches and forced refreshes the fleet may begin now.
    """

    name: str
    jwks_uri: str | None
    issuer: str | None
    version: int
    age: float | None
    expires_in: float | None
    size: int
    sealed: bool
    seal: str
    lease_holder: str | None
    lease_left: float | None
    cooldown_left: float | None
    cooldown_reason: str | None
    failures: int
    budget: int

    def as_json(self) -> dict[str, Any]:
        """Return the record as JSON has it."""
        return asdict(self)

    def rows(self) -> list[tuple[str, str]]:
        """Return the record as rows of a table."""
        lease = cooldown = "none"
        if self.lease_left is not None:
            lease = f"held by {shown(self.lease_holder)}, {self.lease_left:.1f} s left"
        if self.cooldown_left is not None:
            why = (
                "a fetch failed" if self.cooldown_reason == "failed" else "another issuer is named"
            )
            cooldown = f"{self.cooldown_left:.0f} s left, as {why} ({self.failures} in a row)"
        return [
            ("issuer", shown(self.issuer)),
            ("version", str(self.version) if self.version else "none"),
            ("age", "none" if self.age is None else span(self.age)),
            ("kept for", "none" if self.expires_in is None else span(self.expires_in)),
            ("size", f"{self.size:,} bytes"),
            ("seal", self.seal),
            ("lease", lease),
            ("cool-down", cooldown),
            ("budget", f"{self.budget} of {UNSCHEDULED_LIMIT} unscheduled refreshes"),
        ]

    @property
    def is_opened(self) -> bool:
        """Whether one of the keys at hand opens the seal."""
        return self.seal.startswith(MADE)

    @property
    def title(self) -> str:
        """What people call the source: its `jwks_uri`, or the store's own name for it."""
        return self.jwks_uri or self.name


def facts_of(entry: Entry, keys: tuple[bytes, ...], now: float) -> EntryFacts:
    """Return what a record says. `keys` are those of the seal, `now` is Unix time."""
    record = entry.record
    is_live = record.version > 0 and record.expires > entry.now
    payload = record.payload if is_live else b""
    sealed = payload.startswith(MARK)
    document = decode(payload.partition(b"\n")[2] if sealed else payload)
    gate = record.gate
    left = 0 if gate is None else gate.left(entry.now)
    leased = left > 0 and gate is not None and gate.failed is None
    cools = left > 0 and not leased
    begun = [at for at in record.unscheduled if 0 <= entry.now - at < record.window]
    return EntryFacts(
        name=entry.name,
        jwks_uri=None if document is None else redacted(document.uri),
        issuer=None if document is None else document.issuer,
        version=record.version if is_live else 0,
        age=(entry.now - record.fetched) / MICRO if is_live else None,
        expires_in=(record.expires - entry.now) / MICRO if is_live else None,
        size=len(payload),
        sealed=sealed,
        seal=_seal(entry, keys, now) if sealed else "none",
        lease_holder=f"{gate.holder[:HOLDER]}..." if leased and gate else None,
        lease_left=left / MICRO if leased else None,
        cooldown_left=left / MICRO if cools else None,
        cooldown_reason=gate.failed if cools and gate else None,
        failures=record.failures,
        budget=max(0, UNSCHEDULED_LIMIT - len(begun)),
    )


def _seal(entry: Entry, keys: tuple[bytes, ...], now: float) -> str:
    """Return which of the keys made the seal, or what is wrong with it."""
    if not keys:
        return "unchecked: give the key by --integrity-key-file or AUTH_JWKS_INTEGRITY_KEY"
    fault = ""
    for number, key in enumerate(keys):
        try:
            Sealer([key]).opened(
                entry.record.payload, name=entry.key or "", version=entry.record.version, now=now
            )
        except BrokenSealError as broken:
            text = str(broken)
            fault = text if not fault or "one of our keys" in fault else fault
        else:
            ordinal = ORDINALS[number] if number < len(ORDINALS) else f"{number + 1}th"
            return f"{MADE} {ordinal} of your keys"
    return f"broken: {fault}"
