"""The stored form of a key set: it round-trips, and nothing else is taken for it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_jwks._provider.document import Document, decode, encode, store_key

FULL = Document("https://a.example/jwks", "https://a.example", b'{"keys":[]}', '"tag"', 600.0)
SOURCE = {"mode": "jwks", "url": "https://a.example", "issuers": ["b"], "fix_local_url": True}


def _stored(**changes: object) -> bytes:
    return json.dumps(json.loads(encode(FULL)) | changes).encode()


@pytest.mark.parametrize(
    "document",
    [
        FULL,
        Document("https://a.example/jwks", None, b""),
        Document("https://a.example/é", "\U0001f600", '{"é": "\\u00e9"}\r\n'.encode(), None, 0.0),
        Document("https://a.example/jwks", "lone \ud800 surrogate", b"{}"),
    ],
)
def test_a_document_comes_back_as_it_was(document: Document) -> None:
    """Each field, down to the last byte of the key set."""
    assert decode(encode(document)) == document


@given(
    jwks=st.text(), issuer=st.none() | st.text(), age=st.none() | st.floats(0, 1e10), uri=st.text()
)
def test_any_document_comes_back(
    uri: str, issuer: str | None, jwks: str, age: float | None
) -> None:
    """Whatever text a provider puts in."""
    document = Document(uri, issuer, jwks.encode(), None, age)
    assert decode(encode(document)) == document


def test_the_stored_form_names_its_version() -> None:
    """It is JSON with a format number, for the next version to tell its own from ours."""
    content = json.loads(encode(FULL))
    assert content == {
        "format": 1,
        "uri": "https://a.example/jwks",
        "issuer": "https://a.example",
        "etag": '"tag"',
        "max_age": 600.0,
        "jwks": '{"keys":[]}',
    }


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x80\x04N.",
        b"{}",
        b"[]",
        b"null",
        encode(FULL)[:-1],
        encode(FULL).decode().encode("utf-16"),
        _stored(format=2),
        _stored(format="1"),
        _stored(format=None),
        _stored(uri=None),
        _stored(uri=1),
        _stored(issuer=["https://a.example"]),
        _stored(etag=1),
        _stored(max_age="600"),
        _stored(max_age=float("nan")),
        _stored(jwks={"keys": []}),
        _stored(jwks=None),
    ],
)
def test_anything_else_is_no_document(payload: bytes) -> None:
    """A store's content is untrusted: other forms are as good as none."""
    assert decode(payload) is None


@pytest.mark.parametrize("member", ["format", "uri", "issuer", "etag", "max_age", "jwks"])
def test_every_member_is_needed(member: str) -> None:
    """A document that lacks one is none."""
    content = json.loads(encode(FULL))
    del content[member]
    assert decode(json.dumps(content).encode()) is None


def test_a_byte_order_mark_is_read_over() -> None:
    """Before the stored form, and before the key set in it."""
    assert decode(b"\xef\xbb\xbf" + encode(FULL)) == FULL
    marked = FULL._replace(jwks=b"\xef\xbb\xbf" + FULL.jwks)
    assert decode(encode(marked)) == marked


def test_unknown_members_are_left_alone() -> None:
    """A later writer may add to the form."""
    assert decode(_stored(more=1)) == FULL


def test_an_entity_tag_is_checked_again() -> None:
    """One that can't be sent back is dropped, for it came from a store."""
    assert decode(_stored(etag='"a"\r\nHost: b')) == Document(
        FULL.uri, FULL.issuer, FULL.jwks, None, 600.0
    )


def test_a_key_set_with_a_lone_surrogate_is_still_bytes() -> None:
    """What UTF-8 can't hold is replaced, and left for the key set's own checks."""
    document = decode(_stored(jwks="\ud800"))
    assert document is not None
    assert document.jwks == b"?"


def test_the_same_source_has_one_store_key() -> None:
    """Verifiers of one source meet under one name, which tells the format and hides the URL."""
    key = store_key(mode="jwks", url="https://a.example", issuers=["b"], fix_local_url=True)
    assert key == store_key(**SOURCE)  # type: ignore[arg-type]
    version, _, digest = key.partition(":")
    assert (version, len(digest), int(digest, 16) > 0) == ("v1", 64, True)


@pytest.mark.parametrize(
    ("mode", "digest"),
    [
        ("discovery", "ad399745c402b61163c2153d68a7078f3a999c64d8469444dfcfc52eaf66c6c0"),
        ("direct", "cdb2265bc3444f6caa7baabb5640eb44e7d9414a9f914990cb43c36280c294b1"),
    ],
)
def test_store_keys_are_these(mode: str, digest: str) -> None:
    """Workers of two releases meet under them: whatever changes here needs another `FORMAT`."""
    key = store_key(mode=mode, url="https://a.example", issuers=["b"], fix_local_url=True)
    assert key == f"v1:{digest}"


@pytest.mark.parametrize(
    "change",
    [
        {"mode": "discovery"},
        {"url": "https://a.example/"},
        {"issuers": []},
        {"issuers": ["B"]},
        {"issuers": ["b", "B"]},
        {"issuers": ["b", "True"]},
        {"fix_local_url": False},
        {"url": "https://a.example1:b", "issuers": []},
        {"mode": "jwks17:https", "url": "://a.example"},
        {"url": "https://a.exampleb", "issuers": []},
    ],
)
def test_another_source_has_another_store_key(change: dict[str, object]) -> None:
    """Each part counts, and none can pass for its neighbour's."""
    assert store_key(**SOURCE) != store_key(**SOURCE | change)  # type: ignore[arg-type]


def test_names_make_one_store_key_in_any_order() -> None:
    """They are names of one issuer; none can pass for its neighbour's."""
    first, second, third = (
        store_key(**SOURCE | {"issuers": names})  # type: ignore[arg-type]
        for names in (["b", "c"], ["c", "b"], ["b1:c"])
    )
    assert first == second != third
