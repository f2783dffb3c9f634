"""A record as bytes: one line of JSON, then the payload as it is."""

import json
import math
from dataclasses import asdict
from typing import Any

from auth_jwks._jose.strict_json import strict_object
from auth_jwks.stores.gate import EMPTY, Gate, Record

__all__ = ["LONGEST_PAYLOAD", "LONGEST_RECORD", "decode", "encode"]

LONGEST_PAYLOAD = 1024 * 1024
LONGEST_RECORD = LONGEST_PAYLOAD + 4096
FORMAT = 1


def encode(record: Record, boot: str = "") -> bytes:
    """Write a record; `boot` names where its times count from, if that can change."""
    head = asdict(record)
    size = len(head.pop("payload"))
    line = json.dumps({"format": FORMAT, "boot": boot, "size": size, **head})
    return line.encode() + b"\n" + record.payload


def decode(raw: bytes, boot: str = "") -> Record:
    """Read a record; the empty one for whatever else it is, or of another boot.

    Another boot's times can't be compared with ours, and nobody lives who knows its versions.
    """
    line, _, payload = raw.partition(b"\n")
    head = strict_object(line) or {}
    try:
        if (head["format"], head["boot"], head["size"]) != (FORMAT, boot, len(payload)):
            return EMPTY
        return Record(
            version=_count(head["version"]),
            payload=payload,
            fetched=_seconds(head["fetched"]),
            expires=_seconds(head["expires"]),
            issued=_count(head["issued"]),
            failures=_count(head["failures"]),
            window=_seconds(head["window"]),
            noise=tuple(map(_seconds, head["noise"])),
            gate=_gate(head["gate"]),
        )
    except (KeyError, TypeError, ValueError, OverflowError):
        return EMPTY


def _gate(told: Any) -> Gate | None:
    if told is None:
        return None
    token, mismatch = told["token"], told["mismatch"]
    if not (token is None or isinstance(token, str)) or not isinstance(mismatch, bool):
        raise TypeError
    fence, granted, ttl = told["fence"], told["granted"], told["ttl"]
    return Gate(token, _count(fence), _seconds(granted), _seconds(ttl), mismatch)


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise ValueError
    return value


def _seconds(value: Any) -> float:
    if type(value) not in {int, float} or not math.isfinite(value):
        raise ValueError
    return float(value)
