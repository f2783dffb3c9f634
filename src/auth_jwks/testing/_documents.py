"""Lines a to c of the contract: errors, payloads and versions, polls."""

import secrets
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest

from auth_jwks.stores.base import DAY, MAX_PAYLOAD, KeyStore, Lease, StoreUnavailable, Unchanged
from auth_jwks.stores.gate import microseconds
from auth_jwks.testing._calls import KEY, LONG, close, granted, newer, requested, stored
from auth_jwks.testing._suite import Suite, case
from auth_jwks.testing.rig import StoreRig

__all__ = ["Documents"]

MAX_CALL_SECONDS = 2.0

Call = Callable[[], Coroutine[Any, Any, object]]


def every_call(store: KeyStore, lease: Lease) -> tuple[Call, ...]:
    """Return one call of each kind."""
    return (
        lambda: store.poll(KEY, known=0, lease=None),
        lambda: store.poll(KEY, known=0, lease=requested("b")),
        lambda: store.commit(lease, b"x", ttl=LONG, window=LONG),
        lambda: store.fail(lease, retry_after=1.0),
    )


async def in_time(call: Call) -> None:
    """Make a call, which must not take longer than a worker waits for a store."""
    began = time.monotonic()
    try:
        await call()
    finally:
        took = time.monotonic() - began
        assert took < MAX_CALL_SECONDS, f"a call took {took:.1f} s"


class Documents(Suite):
    """A stored document is returned, or counts as absent."""

    @case("cut")
    async def test_a_unreachable(self, rig: StoreRig) -> None:
        """A store that can't be reached raises `StoreUnavailable`, and nothing else."""
        store = rig.open()
        calls = every_call(store, await granted(store))
        await rig.cut()
        for call in calls:
            with pytest.raises(StoreUnavailable):
                await in_time(call)
        await store.aclose()

    @case("stall")
    async def test_a_stalled(self, rig: StoreRig) -> None:
        """A call to a store that does not answer ends in time, and may fail."""
        store = rig.open()
        calls = every_call(store, await granted(store))
        await rig.stall()
        for call in calls:
            with suppress(StoreUnavailable):
                await in_time(call)
        await store.aclose()

    @case()
    async def test_b_payloads_round_trip(self, rig: StoreRig) -> None:
        """Any bytes come back as they were, up to 1 MiB."""
        store, other = rig.open(), rig.open()
        known = 0
        for payload in (b"", b"{}", bytes(range(256)), secrets.token_bytes(1000), b"\n\0" * 1000,
                        secrets.token_bytes(MAX_PAYLOAD)):  # fmt: skip
            known = await stored(store, payload, known=known)
            assert (await newer(other)).payload == payload
        await close(store, other)

    @case()
    async def test_b_versions_are_plausible(self, rig: StoreRig) -> None:
        """A `known` more than a day ahead is ignored; one less far ahead counts."""
        store = rig.open()
        version = await stored(store)
        far = version + microseconds(2 * DAY)
        assert (await newer(store, known=far)).version == version
        assert await store.poll(KEY, known=version + 1, lease=None) == Unchanged()
        await close(store)

    @case("forge")
    async def test_b_forged_version_far_ahead(self, rig: StoreRig) -> None:
        """A version more than a day ahead counts as absent, and blocks no commit."""
        store = rig.open()
        version = await stored(store)
        await rig.forge(KEY, version + microseconds(2 * DAY), b"forged")
        assert await store.poll(KEY, known=version, lease=None) == Unchanged()
        later = await stored(store, b"good", known=version)
        assert (await newer(store)).payload == b"good"
        assert version < later
        await close(store)

    @case("forge")
    async def test_b_forged_version_near_ahead(self, rig: StoreRig) -> None:
        """A version less than a day ahead is returned; a worker that knows it gets a lease."""
        store = rig.open()
        version = await stored(store)
        await rig.forge(KEY, version + 1_000_000, b"forged")
        seen = await newer(store, known=version)
        assert seen.version == version + 1_000_000
        later = await granted(store, known=seen.version, cause="repair")
        assert later.fence > seen.version
        await close(store)

    @case("spoil")
    async def test_b_junk_is_absent(self, rig: StoreRig) -> None:
        """If something other than a record is stored, a worker gets a lease and can commit."""
        store = rig.open()
        for junk in (b"", b"junk", b"\x80\x04.", b"{}", b"\0" * 5000, b"null\n"):
            await stored(store)
            await rig.spoil(KEY, junk)
            assert await store.poll(KEY, known=0, lease=None) == Unchanged()
            version = await stored(store, b"good")
            assert (await newer(store)).version == version
            await rig.spoil(KEY, junk)
        await close(store)

    @case()
    async def test_c_newer_wins_over_a_lease(self, rig: StoreRig) -> None:
        """A worker that requests a lease but has not seen the document gets the document."""
        store, other = rig.open(), rig.open()
        assert await store.poll(KEY, known=0, lease=None) == Unchanged()
        version = await stored(store)
        answer = await newer(other, lease=requested("b"))
        assert (answer.version, answer.payload, answer.fault) == (version, b"document", None)
        assert await other.poll(KEY, known=version, lease=None) == Unchanged()
        await close(store, other)

    @case()
    async def test_c_older_is_absent(self, rig: StoreRig) -> None:
        """A stored version below the known one is not returned; a lease is granted instead."""
        store = rig.open()
        version = await stored(store)
        lease = await granted(store, known=version + 5)
        assert lease.fence > version + 5
        await close(store)

    @case()
    async def test_c_age_counts_from_the_grant(self, rig: StoreRig) -> None:
        """The fetch began when its lease was granted; the document expires after its `ttl`."""
        store = rig.open()
        lease = await granted(store)
        await rig.pass_time(rig.short)
        assert await store.commit(lease, b"x", ttl=LONG, window=LONG) == lease.fence
        answer = await newer(store)
        assert rig.short * 0.9 <= answer.age < LONG
        assert answer.age + answer.ttl_left == pytest.approx(LONG, abs=1.0)
        await close(store)

    @case()
    async def test_c_documents_expire(self, rig: StoreRig) -> None:
        """A document older than its `ttl` counts as absent."""
        store = rig.open()
        version = await stored(store, ttl=rig.short)
        await rig.pass_time(rig.short * 1.1)
        assert await store.poll(KEY, known=0, lease=None) == Unchanged()
        assert (await granted(store, "b")).fence > version
        await close(store)

    @case()
    async def test_c_keys_are_apart(self, rig: StoreRig) -> None:
        """Keys share neither documents nor leases, whatever their names."""
        store = rig.open()
        names = [KEY, KEY + "0", "v1:", "{a}", "../x", "é\n", "a b", "x" * 300]
        for name in names:
            await stored(store, name.encode(), key=name)
        for name in names:
            assert (await newer(store, key=name)).payload == name.encode()
        await close(store)
