"""How the seal of a document is compared with those that our keys would make."""

import hmac
import sys
from types import FrameType
from typing import Any

import pytest

from auth_jwks.stores._sealed import BrokenSealError, Sealer

KEYS = (b"1" * 32, b"2" * 32, b"3" * 32)


@pytest.mark.parametrize("made_by", [0, 1, 2, None])
def test_every_key_is_compared_in_constant_time(made_by: int | None) -> None:
    """Neither which key it was nor how much of the seal was right can be told by the time."""
    key = b"s" * 32 if made_by is None else KEYS[made_by]
    times = {"fetched_at": 1.0, "expires_at": 99.0}
    sealed = Sealer((key,)).seal(b"document", name="v1:key", version=7, **times)
    compared = 0

    def note(_frame: FrameType, event: str, what: Any) -> None:
        nonlocal compared
        compared += event == "c_call" and what is hmac.compare_digest

    sys.setprofile(note)
    try:
        opened = Sealer(KEYS).opened(sealed, name="v1:key", version=7, now=2.0)
    except BrokenSealError:
        opened = None
    finally:
        sys.setprofile(None)
    assert (opened is None) == (made_by is None)
    assert compared == len(KEYS)
