"""A record comes back from its bytes as it was; whatever else is read is no record."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_jwks.stores.base import MAX_PAYLOAD
from auth_jwks.stores.gate import EMPTY, Gate, Record
from auth_jwks.stores.record import FORMAT, MAX_RECORD, decode, encode

COUNT = st.integers(0, 2**63 - 1)
FAILURES = st.sampled_from([None, "failed", "mismatch"])
GATES = st.builds(Gate, st.text(), COUNT, COUNT, COUNT, COUNT, FAILURES)
RECORDS = st.builds(
    Record,
    version=COUNT,
    payload=st.binary(),
    fetched=COUNT,
    expires=COUNT,
    issued=COUNT,
    failures=COUNT,
    failed_by=st.text(),
    repaired=COUNT,
    window=COUNT,
    unscheduled=st.lists(COUNT, max_size=2).map(tuple),
    gate=st.none() | GATES,
)
GATE = Gate("holder", 10, 11, 12, 13)
RECORD = Record(1, b"keys\nand more", 2, 3, 4, 5, "other", 6, 7, (8, 9), GATE)
HEAD = json.loads(encode(RECORD, "boot").partition(b"\n")[0])


@given(record=RECORDS)
def test_record_round_trips(record: Record) -> None:
    """Whatever is in it."""
    assert decode(encode(record, "boot"), "boot") == record


def test_record_of_another_boot_is_absent() -> None:
    """Its times say nothing, and nobody is left who knows its versions."""
    assert decode(encode(RECORD, "yesterday"), "boot") == EMPTY


@given(cut=st.integers(1, len(encode(RECORD, "boot"))))
def test_torn_record_is_absent(cut: int) -> None:
    """Its size is stated."""
    assert decode(encode(RECORD, "boot")[:-cut], "boot") == EMPTY


@given(raw=st.binary())
def test_garbage_is_absent(raw: bytes) -> None:
    """Any bytes are read without an exception."""
    assert decode(raw, "boot") == EMPTY


@pytest.mark.parametrize("member", HEAD)
def test_record_without_a_member_is_absent(member: str) -> None:
    """Each is required."""
    head = {name: value for name, value in HEAD.items() if name != member}
    assert decode(json.dumps(head).encode() + b"\n" + RECORD.payload, "boot") == EMPTY


@pytest.mark.parametrize(
    "changed",
    [
        {"format": 1},
        {"size": 1},
        {"version": True},
        {"version": -1},
        {"version": 2**63},
        {"version": 1.5},
        {"issued": "1"},
        {"failures": None},
        {"failed_by": None},
        {"failed_by": 1},
        {"repaired": None},
        {"repaired": -1},
        {"repaired": "then"},
        {"fetched": "now"},
        {"fetched": True},
        {"fetched": 1.0},
        {"expires": -1},
        {"expires": 10**400},
        {"window": None},
        {"unscheduled": None},
        {"unscheduled": ["then"]},
        {"unscheduled": [7.5]},
        {"gate": "open"},
        {"gate": {}},
        {"gate": HEAD["gate"] | {"holder": 1}},
        {"gate": HEAD["gate"] | {"holder": None}},
        {"gate": HEAD["gate"] | {"failed": "budget"}},
        {"gate": HEAD["gate"] | {"failed": True}},
        {"gate": HEAD["gate"] | {"failed": []}},
        {"gate": HEAD["gate"] | {"fence": None}},
        {"gate": HEAD["gate"] | {"granted": None}},
        {"gate": HEAD["gate"] | {"renewed": "now"}},
        {"gate": HEAD["gate"] | {"ttl": "long"}},
    ],
    ids=str,
)
def test_record_of_wrong_values_is_absent(changed: dict[str, object]) -> None:
    """Each member is checked."""
    head = json.dumps(HEAD | changed).encode()
    assert decode(head + b"\n" + RECORD.payload, "boot") == EMPTY


def test_time_beyond_all_numbers_is_absent() -> None:
    """JSON can write what reads as infinity."""
    head = json.dumps(HEAD).replace('"expires": 3', '"expires": 1e999')
    assert decode(head.encode() + b"\n" + RECORD.payload, "boot") == EMPTY


def test_stored_form_is_this() -> None:
    """Other workers read it: whatever changes here needs another `FORMAT`."""
    assert FORMAT == 2
    assert encode(RECORD, "boot") == (
        b'{"format": 2, "boot": "boot", "size": 13, "version": 1, "fetched": 2, "expires": 3, '
        b'"issued": 4, "failures": 5, "failed_by": "other", "repaired": 6, "window": 7, '
        b'"unscheduled": [8, 9], "gate": {"holder": "holder", "fence": 10, "granted": 11, '
        b'"renewed": 12, "ttl": 13, "failed": null}}\nkeys\nand more'
    )


def test_longest_head_has_room() -> None:
    """So that what was written can be read."""
    most = 2**63 - 1
    gate = Gate("f" * 32, most, most, most, most, "mismatch")
    record = Record(most, b"", most, most, most, most, "f" * 32, most, most, (most, most), gate)
    assert len(encode(record, "b" * 64)) < MAX_RECORD - MAX_PAYLOAD
