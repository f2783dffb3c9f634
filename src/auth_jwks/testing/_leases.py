"""Lines d to h of the contract: leases, fences, commits, cool-downs, cancellation."""

import asyncio
import secrets

from auth_jwks.stores.base import (
    LEASE,
    MAX_COOLDOWN,
    REPAIR_INTERVAL,
    Busy,
    Cooling,
    Granted,
    Newer,
)
from auth_jwks.testing._calls import (
    CAUSES,
    KEY,
    LONG,
    cancelled,
    close,
    expect,
    granted,
    granted_soon,
    newer,
    requested,
    stored,
)
from auth_jwks.testing._suite import Suite, case
from auth_jwks.testing.rig import StoreRig

__all__ = ["Leases"]


class Leases(Suite):
    """One worker refreshes at a time, and a late one harms no other."""

    @case()
    async def test_d_one_lease_at_a_time(self, rig: StoreRig) -> None:
        """Of many simultaneous requests through several handles one is granted; the others wait."""
        stores = [rig.open() for _ in range(4)]
        answers = await asyncio.gather(
            *(
                store.poll(KEY, known=0, lease=requested(f"{n}"))
                for n, store in enumerate(stores * 4)
            )
        )
        assert sum(isinstance(answer, Granted) for answer in answers) == 1
        for answer in answers:
            assert isinstance(answer, Granted) or 0 < expect(Busy, answer).retry_after <= LONG
        await close(*stores)

    @case()
    async def test_d_a_lease_lapses(self, rig: StoreRig) -> None:
        """It expires by the store's time, without its holder's doing."""
        store, other = rig.open(), rig.open()
        first = await granted(store, ttl=rig.short)
        await rig.pass_time(rig.short * 1.1)
        assert (await granted(other, "b")).fence > first.fence
        await close(store, other)

    @case()
    async def test_d_the_same_holder_is_granted_again(self, rig: StoreRig) -> None:
        """The fence is the same: a lost reply loses nothing."""
        store, other = rig.open(), rig.open()
        first = await granted(store)
        assert (await granted(store)).fence == first.fence
        expect(Busy, await other.poll(KEY, known=0, lease=requested("another")))
        await close(store, other)

    @case()
    async def test_d_asking_again_renews(self, rig: StoreRig) -> None:
        """The lease lasts for the requested `ttl` from now on."""
        store, other = rig.open(), rig.open()
        await granted(store, ttl=rig.short)
        await granted(store, ttl=LONG)
        await rig.pass_time(rig.short * 1.1)
        busy = expect(Busy, await other.poll(KEY, known=0, lease=requested("b")))
        assert rig.short < busy.retry_after <= LONG
        await close(store, other)

    @case()
    async def test_e_fences_increase(self, rig: StoreRig) -> None:
        """Each is above all earlier ones and the known version, and becomes the version."""
        store, other = rig.open(), rig.open()
        last = known = 0
        for turn in range(5):
            lease = await granted((store, other)[turn % 2], f"{turn}", known=known + 10 * turn)
            assert lease.fence > max(last, known + 10 * turn)
            known = await store.commit(lease, b"x", ttl=LONG, window=LONG) or 0
            assert known == lease.fence == (await newer(other)).version
            last = lease.fence
        await close(store, other)

    @case("wipe")
    async def test_e_fences_increase_through_a_loss(self, rig: StoreRig) -> None:
        """They do even if everything is lost, also during a fetch: the newest document stays."""
        store, other = rig.open(), rig.open()
        version = await stored(store)
        early = await granted(store, "b", known=version)
        await rig.pass_time(rig.short)
        await rig.wipe()
        late = await granted(other, "c", known=version)
        assert version < early.fence < late.fence
        assert await other.commit(late, b"late", ttl=LONG, window=LONG) == late.fence
        assert await store.commit(early, b"early", ttl=LONG, window=LONG) is None
        assert (await newer(store)).payload == b"late"
        await close(store, other)

    @case()
    async def test_f_a_late_commit_counts_if_nobody_came(self, rig: StoreRig) -> None:
        """Its lease has expired, but its document is the newest. It counts only once."""
        store = rig.open()
        lease = await granted(store, ttl=rig.short)
        await rig.pass_time(rig.short * 1.1)
        assert await store.commit(lease, b"late", ttl=LONG, window=LONG) == lease.fence
        assert await store.commit(lease, b"again", ttl=LONG, window=LONG) is None
        assert (await newer(store)).payload == b"late"
        await close(store)

    @case()
    async def test_f_only_the_very_lease_commits(self, rig: StoreRig) -> None:
        """A worker that is granted anew has another lease: the old one commits nothing."""
        store = rig.open()
        old = await granted(store, "a", ttl=rig.short)
        await rig.pass_time(rig.short * 1.1)
        new = await granted(store, "a")
        assert new.fence > old.fence
        assert await store.commit(old, b"old", ttl=LONG, window=LONG) is None
        await store.fail(old, retry_after=LONG)
        assert await store.commit(new, b"new", ttl=LONG, window=LONG) == new.fence
        await close(store)

    @case()
    async def test_f_a_superseded_holder_changes_nothing(self, rig: StoreRig) -> None:
        """Neither its commit nor its failure touches the lease or the document of another."""
        store, other = rig.open(), rig.open()
        late = await granted(store, ttl=rig.short)
        await rig.pass_time(rig.short * 1.1)
        lease = await granted(other, "b")
        assert await store.commit(late, b"late", ttl=LONG, window=LONG) is None
        await store.fail(late, retry_after=LONG)
        expect(Busy, await store.poll(KEY, known=0, lease=requested("c")))
        assert await other.commit(lease, b"new", ttl=LONG, window=LONG) == lease.fence
        assert await store.commit(late, b"late", ttl=LONG, window=LONG) is None
        await store.fail(late, retry_after=LONG)
        assert (await newer(store)).payload == b"new"
        await granted(store, "d", known=lease.fence)
        await close(store, other)

    @case()
    async def test_g_a_failure_cools(self, rig: StoreRig) -> None:
        """For age and repair; all handles see it and its reason, and documents are returned."""
        store, other = rig.open(), rig.open()
        version = await stored(store)
        for mismatch in (False, True):
            lease = await granted(store, secrets.token_hex(4), known=version)
            await store.fail(lease, retry_after=rig.short if not mismatch else 1e9,
                             mismatch=mismatch)  # fmt: skip
            for cause in CAUSES[::3]:
                answer = await other.poll(KEY, known=version, lease=requested("c", cause=cause))
                cooling = expect(Cooling, answer)
                assert cooling.reason == ("mismatch" if mismatch else "failed")
                assert 0 < cooling.retry_after <= MAX_COOLDOWN
            assert (await newer(other)).version == version
            await rig.pass_time(rig.short * 1.1)
        await close(store, other)

    @case()
    async def test_g_a_failure_holds_back_the_searches_of_its_host_alone(
        self, rig: StoreRig
    ) -> None:
        """Another worker searches at once; a forced refresh asks nobody."""
        store, other = rig.open(), rig.open()
        lease = await granted(store, "a")
        await store.fail(lease, retry_after=LONG)
        answer = await store.poll(KEY, known=0, lease=requested("a", cause="unknown_kid"))
        assert expect(Cooling, answer).reason == "failed"
        lease = await granted(other, "b", cause="unknown_kid")
        await other.fail(lease, retry_after=LONG)
        await granted(other, "b", cause="forced")
        await close(store, other)

    @case()
    async def test_g_a_search_overtakes_a_lease_that_is_held_for_long(self, rig: StoreRig) -> None:
        """However often it is renewed; its holder then is superseded."""
        store, other = rig.open(), rig.open()
        slow = await granted(store, "a")
        answer = await other.poll(KEY, known=0, lease=requested("b", cause="unknown_kid"))
        expect(Busy, answer)
        await rig.pass_time(LEASE * 1.1)
        assert (await granted(store, "a")).fence == slow.fence
        lease = await granted(other, "b", cause="unknown_kid")
        assert lease.fence > slow.fence
        assert await store.commit(slow, b"slow", ttl=LONG, window=LONG) is None
        await store.fail(slow, retry_after=LONG)
        assert await other.commit(lease, b"x", ttl=LONG, window=LONG) == lease.fence
        await close(store, other)

    @case()
    async def test_g_failures_are_counted(self, rig: StoreRig) -> None:
        """Consecutive failures of all workers are counted; a commit resets the count."""
        stores = rig.open(), rig.open()
        for count in range(3):
            lease = await granted_soon(rig, stores[count % 2], f"{count}")
            assert lease.failures == count
            await stores[count % 2].fail(lease, retry_after=0.001)
        lease = await granted_soon(rig, stores[0], "good")
        assert await stores[0].commit(lease, b"x", ttl=LONG, window=LONG) == lease.fence
        assert (await granted(stores[1], "later", known=lease.fence)).failures == 0
        await close(*stores)

    @case()
    async def test_g_failures_of_one_holder_count_once(self, rig: StoreRig) -> None:
        """A host that fails again and again does not lengthen the cool-down of the others."""
        store = rig.open()
        for name, count in (("a", 0), ("a", 1), ("a", 1), ("b", 1), ("c", 2)):
            lease = await granted_soon(rig, store, name)
            assert lease.failures == count
            await store.fail(lease, retry_after=0.001)
        await close(store)

    @case()
    async def test_g_unscheduled_leases_have_a_budget(self, rig: StoreRig) -> None:
        """Searches and force share two leases a window, repairs have one; age has no limit."""
        store = rig.open()
        known = await stored(store, window=LONG)
        for cause in CAUSES[1:]:
            known = await stored(store, known=known, cause=cause, window=LONG)
        for cause in CAUSES[1:]:
            answer = await store.poll(KEY, known=known, lease=requested("x", cause=cause))
            cooling = expect(Cooling, answer)
            assert cooling.reason == "budget"
            span = REPAIR_INTERVAL if cause == "repair" else LONG
            assert span / 2 < cooling.retry_after <= span
        await granted(store, known=known)
        await close(store)

    @case()
    async def test_g_the_budget_comes_back(self, rig: StoreRig) -> None:
        """It does when the older of the two leases is one window old."""
        store = rig.open()
        known = 0
        for _ in range(2):
            known = await stored(store, known=known, cause="forced", window=rig.short)
        await rig.pass_time(rig.short * 1.1)
        await granted(store, known=known, cause="forced")
        await close(store)

    @case()
    async def test_h_a_cancelled_call_blocks_nobody(self, rig: StoreRig) -> None:
        """Wherever it is cancelled, another worker gets in once that lease ends, at the latest."""
        store, other = rig.open(), rig.open()
        for turns in range(6):
            key = f"{KEY}{turns}"
            request = requested("a", ttl=rig.short)
            await cancelled(store.poll(key, known=0, lease=request), turns)
            lease = await granted_soon(rig, other, "b", key=key)
            await cancelled(other.commit(lease, b"x", ttl=LONG, window=LONG), turns)
            answer = await other.poll(key, known=0, lease=requested("b"))
            assert isinstance(answer, Granted | Newer)
        await close(store, other)

    @case()
    async def test_a_store_outlives_its_event_loop(self, rig: StoreRig) -> None:
        """A document stored in one loop is there in the next, and closing twice is allowed."""
        store = rig.open()

        async def another_loop() -> None:
            assert (await newer(store)).payload == b"document"
            await close(store)

        await stored(store)
        await close(store, store)
        await asyncio.to_thread(asyncio.run, another_loop())
