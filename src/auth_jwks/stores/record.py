"""A record as bytes: one line of JSON, then the payload as it is."""

import json
from dataclasses import asdict
from typing import Any

from auth_jwks._jose.strict_json import strict_object
from auth_jwks.stores.base import MAX_PAYLOAD
from auth_jwks.stores.gate import EMPTY, Gate, Record

__all__ = ["MAX_RECORD", "decode", "encode"]

# A reader knows one format only: any change to the line of JSON needs another number.
FORMAT = 2
MAX_RECORD = MAX_PAYLOAD + 4096


def encode(record: Record, boot: str = "") -> bytes:
    """Return the record as bytes. `boot` names the boot from which its times count, if any."""
    head = asdict(record)
    size = len(head.pop("payload"))
    line = json.dumps({"format": FORMAT, "boot": boot, "size": size, **head})
    return line.encode() + b"\n" + record.payload


def decode(raw: bytes, boot: str = "") -> Record:
    """Return the record in `raw`; the empty one if it is malformed or of another boot.

    Times of another boot can't be compared with ours, and no process remembers its versions.
    """
    line, _, payload = raw.partition(b"\n")
    head = strict_object(line) or {}
    try:
        if (head["format"], head["boot"], head["size"]) != (FORMAT, boot, len(payload)):
            return EMPTY
        return Record(
            version=_count(head["version"]),
            payload=payload,
            fetched=_count(head["fetched"]),
            expires=_count(head["expires"]),
            issued=_count(head["issued"]),
            failures=_count(head["failures"]),
            failed_by=_text(head["failed_by"]),
            repaired=_count(head["repaired"]),
            window=_count(head["window"]),
            unscheduled=tuple(map(_count, head["unscheduled"])),
            gate=_gate(head["gate"]),
        )
    except (KeyError, TypeError, ValueError):
        return EMPTY


def _gate(fields: Any) -> Gate | None:
    if fields is None:
        return None
    if fields["failed"] not in {None, "failed", "mismatch"}:
        raise ValueError
    return Gate(
        holder=_text(fields["holder"]),
        fence=_count(fields["fence"]),
        granted=_count(fields["granted"]),
        renewed=_count(fields["renewed"]),
        ttl=_count(fields["ttl"]),
        failed=fields["failed"],
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise ValueError
    return value
