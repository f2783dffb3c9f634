"""Seals: who can write to a store can't have a document of their own trusted."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_jwks.stores._sealed import BrokenSealError, Opened, Sealer, checked_keys

OLD, NEW, STRANGER = b"o" * 32, b"n" * 32, b"s" * 32
NAME, VERSION, NOW = "v1:key", 1_800_000_000_000_000, 1_800_000_000.0


def sealed(document: bytes = b"document", *keys: bytes, name: str = NAME) -> bytes:
    """Seal a document that was fetched now and is of use for 1,000 s."""
    sealer = Sealer(keys or (NEW,))
    return sealer.seal(document, name=name, version=VERSION, fetched_at=NOW, expires_at=NOW + 1000)


def opened(
    seal: bytes, *keys: bytes, name: str = NAME, version: int = VERSION, now: float = NOW
) -> Opened:
    """Open it."""
    return Sealer(keys or (NEW,)).opened(seal, name=name, version=version, now=now)


@given(document=st.binary(), name=st.text(st.characters(exclude_categories=["Cs"])))
def test_any_document_comes_back(document: bytes, name: str) -> None:
    """Byte for byte, whatever bytes and names."""
    assert opened(sealed(document, name=name), name=name).document == document


def test_the_sealed_form_is_this() -> None:
    """Other workers read it: whatever changes here needs another number in the mark."""
    sealer = Sealer((b"n" * 32,))
    seal = sealer.seal(b"document", name="v1:key", version=7, fetched_at=1.5, expires_at=99.9)
    mac = b"9152b98adaf8f7fcaa1add8c67657698baa5b9713f53cbef5f064d47245bc90e"
    assert seal == b"auth-jwks-seal-1 7 1 99 " + mac + b"\ndocument"


@given(st.data())
def test_no_byte_can_be_changed(data: st.DataObject) -> None:
    """Neither of the head nor of the document; nor can any be left out or put in."""
    seal = sealed()
    at = data.draw(st.integers(0, len(seal) - 1))
    other = data.draw(st.binary(max_size=2).filter(lambda new: new != seal[at : at + 1]))
    with pytest.raises(BrokenSealError):
        opened(seal[:at] + other + seal[at + 1 :])


@given(st.binary())
def test_what_is_not_sealed_is_told(junk: bytes) -> None:
    """Any other bytes are refused with the one exception."""
    with pytest.raises(BrokenSealError):
        opened(junk)


def test_the_parts_cannot_be_shifted() -> None:
    """The lengths keep name, head and document apart."""
    head, _, document = sealed(b"1:x").partition(b"\n")
    with pytest.raises(BrokenSealError):
        opened(head + b"\n" + document[1:], name=NAME + "1")


def test_the_seal_is_bound_to_name_and_version() -> None:
    """A document can't be put under another source or made to look newer."""
    with pytest.raises(BrokenSealError, match="not made with one of our keys"):
        opened(sealed(), name="v1:other")
    with pytest.raises(BrokenSealError, match="for another version"):
        opened(sealed(), version=VERSION + 1)


def test_the_seal_expires() -> None:
    """A minute after the document, as clocks differ."""
    assert opened(sealed(), now=NOW + 1059).document == b"document"
    with pytest.raises(BrokenSealError, match="expired"):
        opened(sealed(), now=NOW + 1060)


def test_the_age_is_the_seals() -> None:
    """Less a minute, by which clocks may differ."""
    assert opened(sealed(), now=NOW + 500).age == 440


def test_keys_rotate_in_three_deploys() -> None:
    """With [old, new], [new, old], [new] each worker opens what its neighbours seal."""
    deploys = [(OLD,), (OLD, NEW), (NEW, OLD), (NEW,)]
    for ours, theirs in pairwise(deploys):
        assert opened(sealed(b"a", *ours), *theirs).document == b"a"
        assert opened(sealed(b"b", *theirs), *ours).document == b"b"


def test_a_strangers_seal_is_refused() -> None:
    """However many keys there are."""
    with pytest.raises(BrokenSealError, match="not made with one of our keys"):
        opened(sealed(b"a", STRANGER), OLD, NEW)


def test_no_representation_shows_a_key() -> None:
    """Only how many there are."""
    assert repr(Sealer((OLD, NEW))) == "Sealer(keys=2)"


@pytest.mark.parametrize(
    ("value", "keys"),
    [(OLD, (OLD,)), ("o" * 32, (OLD,)), ([OLD, "n" * 32], (OLD, NEW)), ((NEW,), (NEW,))],
)
def test_keys_are_bytes_or_text(value: object, keys: tuple[bytes, ...]) -> None:
    """One or several of them."""
    assert checked_keys("integrity_key", value) == keys


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (b"short", ValueError, "integrity_key: expected at least 32 bytes, got 5"),
        ([OLD, b""], ValueError, "integrity_key: expected at least 32 bytes, got 0"),
        ([], ValueError, "integrity_key: expected at least one key"),
        (7, TypeError, "integrity_key: expected bytes"),
        ([7], TypeError, "integrity_key: expected bytes, got int"),
    ],
)
def test_other_keys_are_refused(value: object, error: type[Exception], message: str) -> None:
    """The message names the parameter and what is expected."""
    with pytest.raises(error, match=message) as caught:
        checked_keys("integrity_key", value)
    assert "short" not in str(caught.value)
