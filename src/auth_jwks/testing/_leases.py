"""Lines d to f and h of the contract: leases, fences, commits, cancellation."""

import asyncio

from auth_jwks.stores.base import (
    LEASE,
    Busy,
    Cause,
    Cooling,
    Granted,
    Lease,
    Newer,
)
from auth_jwks.testing._calls import (
    CAUSES,
    KEY,
    LONG,
    SEARCHES,
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
    async def test_d_a_slow_holder_is_overtaken(self, rig: StoreRig) -> None:
        """Only by a search or a forced refresh, `LEASE` seconds after its grant, if renewed too."""
        store, other = rig.open(), rig.open()
        leases: dict[Cause, Lease] = {
            cause: await granted(store, key=f"{KEY}.{cause}") for cause in CAUSES
        }
        for cause, slow in leases.items():
            request = requested("b", cause=cause)
            expect(Busy, await other.poll(slow.key, known=0, lease=request))
        await rig.pass_time(LEASE * 1.1)
        for cause, slow in leases.items():
            assert (await granted(store, key=slow.key)).fence == slow.fence
            if cause not in SEARCHES:
                request = requested("b", cause=cause)
                expect(Busy, await other.poll(slow.key, known=0, lease=request))
                continue
            lease = await granted(other, "b", key=slow.key, cause=cause)
            assert lease.fence > slow.fence
            expect(Busy, await store.poll(slow.key, known=0, lease=requested("a")))
            await store.fail(slow, retry_after=LONG)
            assert (await granted(other, "b", key=slow.key)).fence == lease.fence
        await close(store, other)

    @case()
    async def test_d_overtaking_draws_on_the_budget(self, rig: StoreRig) -> None:
        """While that is spent, the answer is that another worker is refreshing."""
        store = rig.open()
        known = await stored(store, window=LONG)
        for _ in range(2):
            known = await stored(store, known=known, cause="forced", window=LONG)
        await granted(store, known=known)
        await rig.pass_time(LEASE * 1.1)
        for cause in SEARCHES:
            expect(Busy, await store.poll(KEY, known=known, lease=requested("b", cause=cause)))
        await close(store)

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
    async def test_f_a_late_commit_ends_no_other_lease(self, rig: StoreRig) -> None:
        """Every worker sees its document. The lease of another goes on, and its commit wins."""
        store, other = rig.open(), rig.open()
        late = await granted(store, ttl=rig.short)
        await rig.pass_time(rig.short * 1.1)
        lease = await granted(other, "b")
        assert await store.commit(late, b"late", ttl=LONG, window=LONG) == late.fence
        assert (await newer(other)).payload == b"late"
        expect(Busy, await store.poll(KEY, known=late.fence, lease=requested("c")))
        assert await other.commit(lease, b"new", ttl=LONG, window=LONG) == lease.fence
        assert (await newer(store)).payload == b"new"
        await close(store, other)

    @case()
    async def test_f_a_late_commit_ends_no_cooldown(self, rig: StoreRig) -> None:
        """Its document counts although another worker has failed since, and still cools down."""
        store, other = rig.open(), rig.open()
        late = await granted(store, ttl=rig.short)
        await rig.pass_time(rig.short * 1.1)
        await other.fail(await granted(other, "b"), retry_after=LONG)
        assert await store.commit(late, b"late", ttl=LONG, window=LONG) == late.fence
        assert (await newer(other)).payload == b"late"
        expect(Cooling, await store.poll(KEY, known=late.fence, lease=requested("b")))
        await close(store, other)

    @case()
    async def test_f_a_superseded_holder_changes_nothing(self, rig: StoreRig) -> None:
        """Its commit changes no newer document, and its failure no lease of another."""
        store, other = rig.open(), rig.open()
        late = await granted(store, ttl=rig.short)
        await rig.pass_time(rig.short * 1.1)
        lease = await granted(other, "b")
        await store.fail(late, retry_after=LONG)
        expect(Busy, await store.poll(KEY, known=0, lease=requested("c")))
        assert await other.commit(lease, b"new", ttl=LONG, window=LONG) == lease.fence
        assert await store.commit(late, b"late", ttl=LONG, window=LONG) is None
        await store.fail(late, retry_after=LONG)
        assert (await newer(store)).payload == b"new"
        await granted(store, "d", known=lease.fence)
        await close(store, other)

    @case()
    async def test_f_an_earlier_lease_is_not_a_later_one(self, rig: StoreRig) -> None:
        """Both are of one holder: neither a failure nor a commit of the first ends the second."""
        store, other = rig.open(), rig.open()
        early = await granted(store, ttl=rig.short)
        await rig.pass_time(rig.short * 1.1)
        later = await granted(store)
        assert later.fence > early.fence
        await store.fail(early, retry_after=LONG)
        expect(Busy, await other.poll(KEY, known=0, lease=requested("b")))
        assert await store.commit(early, b"early", ttl=LONG, window=LONG) == early.fence
        expect(Busy, await other.poll(KEY, known=early.fence, lease=requested("b")))
        assert await store.commit(later, b"later", ttl=LONG, window=LONG) == later.fence
        await close(store, other)

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
