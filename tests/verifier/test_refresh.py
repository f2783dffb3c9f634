"""What operators have: `refresh`, `status`, the observer, `repr`."""

from typing import Any

import pytest

from auth_jwks.events import Event, KeysRefreshed
from auth_jwks.testing import FakeIssuer
from tests.scripted_store import ScriptedStore, granted
from tests.verifier.maker import Make


async def test_a_warm_up_spares_the_first_token_the_wait(make: Make, issuer: FakeIssuer) -> None:
    """`refresh()` fetches what is not there, `refresh(force=True)` what is."""
    jwks = make()
    await jwks.refresh()
    await jwks.refresh()
    assert issuer.jwks_requests == 1
    assert jwks.status().fresh
    await jwks.verify_token(issuer.sign())
    assert issuer.jwks_requests == 1
    await jwks.refresh(force=True)
    assert issuer.jwks_requests == 2


async def test_force_is_a_flag(make: Make, issuer: FakeIssuer) -> None:
    """What merely looks like one fetches nothing."""
    force: Any = "no"
    with pytest.raises(TypeError, match=r"^force: expected True or False, got str"):
        await make().refresh(force=force)
    assert issuer.requests == ()


async def test_an_observer_is_told(make: Make, issuer: FakeIssuer) -> None:
    """Each event once; and an observer that fails harms nobody."""
    events: list[Event] = []

    def observe(event: Event) -> None:
        events.append(event)
        raise ValueError

    jwks = make(observer=observe)
    assert await jwks.verify_token(issuer.sign())
    version, left = jwks.status().version, jwks.status().usable_for
    assert version
    assert left
    told = KeysRefreshed(issuer.discovery_url, "provider", 1, (), 0.0, version, left)
    assert events == [told]


async def test_an_observer_holds_up_no_fleet(make: Make, issuer: FakeIssuer) -> None:
    """It is told when the keys are in the store, however slow it is."""
    store, stored = ScriptedStore(granted(1)), list[int]()

    def observe(_event: Event) -> None:
        stored.append(len(store.commits))

    await make(store=store, observer=observe).verify_token(issuer.sign())
    assert stored == [1, 1], "of the lease, and of the keys"


async def test_it_tells_its_state(make: Make, issuer: FakeIssuer) -> None:
    """By `repr`, without a key or a token."""
    jwks = make()
    await jwks.verify_token(issuer.sign())
    url, name = issuer.discovery_url, issuer.issuer
    assert repr(jwks) == f"JWKS({url!r}, issuer={name!r}, keys=1)"
    await jwks.close()
    assert repr(jwks) == f"JWKS({url!r}, issuer={name!r}, closed)"
