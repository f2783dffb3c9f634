"""Line g of the contract: cool-downs, failures, budgets."""

from itertools import product

from auth_jwks.stores.base import MAX_COOLDOWN, REPAIR_INTERVAL, Cooling, Granted
from auth_jwks.testing._calls import (
    CAUSES,
    KEY,
    LONG,
    SEARCHES,
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

__all__ = ["Budgets"]


class Budgets(Suite):
    """The provider is asked seldom, and one host does not decide for the others."""

    @case()
    async def test_g_a_failure_cools_down(self, rig: StoreRig) -> None:
        """For age and repair, and for searches of the holder; a minute at most, seen by all.

        Two holders have failed by then.
        """
        store, other = rig.open(), rig.open()
        passing = {("a", "forced"), ("b", "forced"), ("b", "unknown_kid")}
        for name, cause, mismatch in product("ab", CAUSES, (False, True)):
            key = f"{KEY}.{name}.{cause}.{mismatch}"
            known = await stored(store, key=key)
            await store.fail(await granted(store, "c", key=key, known=known), retry_after=LONG)
            lease = await granted(store, key=key, known=known)
            retry_after = 1e9 if mismatch else MAX_COOLDOWN / 2
            await store.fail(lease, retry_after=retry_after, mismatch=mismatch)
            answer = await other.poll(key, known=known, lease=requested(name, cause=cause))
            if (name, cause) in passing:
                assert expect(Granted, answer).lease.fence > lease.fence
            else:
                cooling = expect(Cooling, answer)
                assert cooling.reason == ("mismatch" if mismatch else "failed")
                assert 0 < cooling.retry_after <= min(retry_after, MAX_COOLDOWN)
            assert (await newer(other, key=key)).version == known
        await close(store, other)

    @case()
    async def test_g_one_failed_host_holds_back_itself(self, rig: StoreRig) -> None:
        """Whatever it asks for, and however often it fails; every other one is let through."""
        store, other = rig.open(), rig.open()
        for cause, times in product(CAUSES, (1, 2)):
            key = f"{KEY}.{cause}.{times}"
            known = await stored(store, key=key)
            lease = await granted(store, key=key, known=known)
            for _ in range(times - 1):
                await store.fail(lease, retry_after=rig.short / 10)
                lease = await granted_soon(rig, store, "a", key=key, known=known)
            await store.fail(lease, retry_after=LONG)
            if cause != "forced":
                request = requested("a", cause=cause)
                expect(Cooling, await store.poll(key, known=known, lease=request))
            passed = await granted(other, "b", key=key, known=known, cause=cause)
            assert passed.fence > lease.fence
        await close(store, other)

    @case()
    async def test_g_a_cooldown_ends(self, rig: StoreRig) -> None:
        """It does by the store's time, for every cause."""
        store = rig.open()
        for cause in CAUSES:
            key = f"{KEY}.{cause}"
            await store.fail(await granted(store, key=key), retry_after=rig.short)
            await rig.pass_time(rig.short * 1.1)
            await granted(store, key=key, cause=cause)
        await close(store)

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
        for name, count in (("a", 0), ("a", 1), ("a", 1), ("b", 1), ("a", 2)):
            lease = await granted_soon(rig, store, name)
            assert lease.failures == count
            await store.fail(lease, retry_after=0.001)
        lease = await granted_soon(rig, store, "b")
        assert lease.failures == 3
        known = await store.commit(lease, b"x", ttl=LONG, window=LONG) or 0
        await store.fail(await granted(store, known=known), retry_after=0.001)
        assert (await granted_soon(rig, store, "b", known=known)).failures == 1
        await close(store)

    @case()
    async def test_g_unscheduled_leases_have_a_budget(self, rig: StoreRig) -> None:
        """Searches and forced refreshes share two leases a window; repair and age go on."""
        store = rig.open()
        known = await stored(store, window=LONG)
        for cause in SEARCHES:
            known = await stored(store, known=known, cause=cause, window=LONG)
        for cause in SEARCHES:
            answer = await store.poll(KEY, known=known, lease=requested("x", cause=cause))
            cooling = expect(Cooling, answer)
            assert cooling.reason == "budget"
            assert LONG / 2 < cooling.retry_after <= LONG
        known = await stored(store, known=known, cause="repair", window=LONG)
        await granted(store, known=known)
        await close(store)

    @case()
    async def test_g_repairs_have_a_budget_of_their_own(self, rig: StoreRig) -> None:
        """They have one lease in five minutes, and leave both leases to the searches."""
        store = rig.open()
        known = await stored(store, window=LONG)
        known = await stored(store, known=known, cause="repair", window=LONG)
        answer = await store.poll(KEY, known=known, lease=requested("x", cause="repair"))
        cooling = expect(Cooling, answer)
        assert cooling.reason == "budget"
        assert REPAIR_INTERVAL / 2 < cooling.retry_after <= REPAIR_INTERVAL
        for cause in SEARCHES:
            known = await stored(store, known=known, cause=cause, window=LONG)
        await close(store)

    @case()
    async def test_g_who_failed_leaves_the_last_place_to_others(self, rig: StoreRig) -> None:
        """A host that can't reach the provider may not spend the budget of hosts that can."""
        store, other = rig.open(), rig.open()
        known = await stored(store, window=LONG)
        lease = await granted(store, known=known, cause="forced")
        await store.fail(lease, retry_after=LONG)
        answer = await store.poll(KEY, known=known, lease=requested("a", cause="forced"))
        assert expect(Cooling, answer).reason == "failed"
        await granted(other, "b", known=known, cause="unknown_kid")
        await close(store, other)

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
