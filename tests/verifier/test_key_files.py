"""`jwks_file`: keys in a file, which is read anew when it changes."""

import json
import logging
import os
from pathlib import Path
from typing import Any

import jwt
import pytest

from auth_jwks import JWKS, KeysUnavailableError, UnknownKeyError
from auth_jwks.events import Event, KeysRefreshed, RefreshFailed
from auth_jwks.testing import FakeClock, FakeIssuer, SigningKey
from tests.verifier.maker import KEY, landed

ISSUER = "https://idp.test"
OTHER = SigningKey.generate("ES256", "second")


class KeyFile:
    """A file of keys, one verifier that reads it, and what the observer was told."""

    def __init__(self, path: Path, clock: FakeClock) -> None:
        self.path = path
        self.events: list[Event] = []
        self.clock = clock
        self.issuer = FakeIssuer(issuer=ISSUER, keys=[KEY], clock=clock)

    def write(self, *keys: SigningKey, **members: object) -> None:
        """Replace the file."""
        document = {"keys": [key.jwk() for key in keys], **members}
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(document))
        new.replace(self.path)

    def verifier(self, **options: Any) -> JWKS:
        """Return a verifier of it."""
        defaults: dict[str, Any] = {"issuer": ISSUER, "aud": "api", "observer": self.events.append}
        return JWKS(jwks_file=self.path, clock=self.clock, **(defaults | options))

    def token(self, key: SigningKey = KEY, **claims: Any) -> str:
        """Return a token."""
        return self.issuer.sign(key=key, **({"aud": "api"} | claims))

    async def check(self, jwks: JWKS) -> None:
        """Let a token come when the file is to be looked at again, and wait for that."""
        self.clock.advance(1)
        await jwks.verify_token(self.token())
        await landed(jwks)

    @property
    def refreshed(self) -> list[int]:
        """How many keys there were, each time that keys were told of."""
        return [event.keys for event in self.events if isinstance(event, KeysRefreshed)]

    @property
    def failures(self) -> list[tuple[str, str]]:
        """How refreshes failed."""
        failed = (event for event in self.events if isinstance(event, RefreshFailed))
        return [(event.kind, event.reason) for event in failed]


@pytest.fixture
def file(tmp_path: Path, clock: FakeClock) -> KeyFile:
    """Return a file of one key."""
    file = KeyFile(tmp_path / "keys.json", clock)
    file.write(KEY)
    return file


async def test_tokens_are_verified_with_its_keys(
    file: KeyFile, caplog: pytest.LogCaptureFixture
) -> None:
    """It is the source of the verifier, under its path."""
    caplog.set_level(logging.INFO)
    async with file.verifier() as jwks:
        assert jwks.status().kids == (), "it is not read before it is needed"
        assert (await jwks.verify_token(file.token()))["iss"] == ISSUER
        status = jwks.status()
    assert (status.source, status.kids, status.fresh) == (str(file.path), ("first",), True)
    assert (status.age, status.expires_in, status.usable_for) == (0, 900, 87_300)
    assert file.events == [KeysRefreshed(str(file.path), "provider", 1, (), 0.0)]
    assert caplog.messages == [f"fetched 1 key from {file.path}, skipped none"]
    assert repr(jwks) == f"JWKS({str(file.path)!r}, issuer={ISSUER!r}, closed)"


async def test_a_change_is_seen_within_a_second(file: KeyFile) -> None:
    """By the next token, which need not wait for it; what is withdrawn verifies no more."""
    async with file.verifier() as jwks:
        await jwks.verify_token(file.token())
        file.write(OTHER)
        await jwks.verify_token(file.token())
        await file.check(jwks)
        assert jwks.status().kids == ("second",)
        await jwks.verify_token(file.token(OTHER))
        with pytest.raises(UnknownKeyError):
            await jwks.verify_token(file.token())
    assert file.refreshed == [1, 1]


async def test_a_file_that_stays_the_same(file: KeyFile) -> None:
    """Each look makes its keys younger, and nothing is told of it."""
    async with file.verifier() as jwks:
        for _ in range(20):
            await file.check(jwks)
            assert jwks.status().age == 0
    assert file.refreshed == [1]


async def test_a_token_looks_at_no_file(file: KeyFile) -> None:
    """Between two looks nothing is under way, whatever happens to the file."""
    async with file.verifier() as jwks:
        await jwks.verify_token(file.token())
        file.path.unlink()
        for _ in range(3):
            await jwks.verify_token(file.token())
            assert not jwks.status().refreshing
            file.clock.advance(0.3)
    assert file.failures == []


async def test_an_unknown_key_looks_at_once(file: KeyFile) -> None:
    """Twice in ten seconds, as anywhere else."""
    third = SigningKey.generate("ES256", "third")
    async with file.verifier() as jwks:
        await jwks.verify_token(file.token())
        file.write(KEY, OTHER)
        assert await jwks.verify_token(file.token(OTHER))
        with pytest.raises(UnknownKeyError):
            await jwks.verify_token(file.token(third))
        file.write(KEY, OTHER, third)
        with pytest.raises(UnknownKeyError):
            await jwks.verify_token(file.token(third))
        file.clock.advance(10)
        assert await jwks.verify_token(file.token(third))
    assert file.refreshed == [1, 2, 3]


async def test_force_reads_it_again(file: KeyFile) -> None:
    """Changed or not; `refresh` alone reads it if a look is due."""
    async with file.verifier() as jwks:
        await jwks.refresh()
        await jwks.refresh()
        assert file.refreshed == [1]
        await jwks.refresh(force=True)
        assert file.refreshed == [1, 1]
        file.write(KEY, OTHER)
        await jwks.refresh()
        assert file.refreshed == [1, 1]
        file.clock.advance(1)
        await jwks.refresh()
        assert file.refreshed == [1, 1, 2]


@pytest.mark.posix
async def test_a_projected_volume(tmp_path: Path, clock: FakeClock) -> None:
    """Kubernetes replaces the whole directory behind a link, and removes the old one."""

    def publish(name: str, *keys: SigningKey) -> None:
        (tmp_path / name).mkdir()
        document = {"keys": [key.jwk() for key in keys]}
        (tmp_path / name / "keys.json").write_text(json.dumps(document))
        (tmp_path / "..data_tmp").symlink_to(name)
        (tmp_path / "..data_tmp").replace(tmp_path / "..data")

    publish("..2026_01", KEY)
    path = tmp_path / "keys.json"
    path.symlink_to("..data/keys.json")
    file = KeyFile(path, clock)
    async with file.verifier() as jwks:
        await file.check(jwks)
        publish("..2026_02", KEY, OTHER)
        (tmp_path / "..2026_01" / "keys.json").unlink()
        await file.check(jwks)
        assert jwks.status().kids == ("first", "second")
    assert (file.refreshed, file.failures) == ([1, 2], [])


async def test_a_bundle_of_spiffe(file: KeyFile) -> None:
    """Its keys for tokens count, and its hint shortens how long they count as fresh."""
    bundle = [KEY.jwk() | {"use": "jwt-svid"}, OTHER.jwk() | {"use": "x509-svid"}]
    file.path.write_text(json.dumps({"keys": bundle, "spiffe_refresh_hint": 600}))
    token = file.token(iss=None, sub="spiffe://example.org/api")
    async with file.verifier(issuer=None) as jwks:
        assert (await jwks.verify_token(token))["sub"] == "spiffe://example.org/api"
        assert jwks.status().expires_in == 600
        assert jwks.status().skipped == ("its use is not sig (kid 'second')",)
        await file.check(jwks)
        assert jwks.status().expires_in == 600


JUNK = b'{"keys": [{"kty": "EC", "k": "hunter2"}]'


@pytest.mark.parametrize(
    ("spoil", "kind", "reason"),
    [
        (Path.unlink, "file", "the file can't be read: No such file or directory"),
        (lambda path: path.write_bytes(b""), "unusable_keys", "the document is not a JWK Set"),
        (lambda path: path.write_bytes(JUNK), "unusable_keys", "the document is not a JWK Set"),
        (
            lambda path: path.write_bytes(b"{}" + b" " * 512 * 1024),
            "content",
            "the file is larger than 524288 bytes",
        ),
    ],
    ids=["gone", "empty", "junk", "large"],
)
async def test_a_file_that_is_spoilt(
    file: KeyFile, caplog: pytest.LogCaptureFixture, spoil: Any, kind: str, reason: str
) -> None:
    """The good keys are used until `max_stale` has passed, and it is told as of a provider."""
    async with file.verifier(cache_ttl=60, max_stale=600) as jwks:
        await jwks.verify_token(file.token())
        spoil(file.path)
        await file.check(jwks)
        assert file.failures == [(kind, reason)]
        [text] = caplog.messages
        assert text.startswith(f"could not refresh the keys from {file.path}: {reason}; next ")
        assert (jwks.status().failure, jwks.status().fresh) == (reason, True)
        assert 5 < jwks.status().retry_after < 8
        file.clock.advance(600)
        assert await jwks.verify_token(file.token())
        await landed(jwks)
        assert not jwks.status().fresh
        file.clock.advance(60)
        with pytest.raises(KeysUnavailableError, match=f"unavailable: {reason}$"):
            await jwks.verify_token(file.token())
    assert "hunter2" not in caplog.text


async def test_a_file_that_is_mended(file: KeyFile) -> None:
    """It is told, even if it is as it was."""
    async with file.verifier() as jwks:
        await jwks.verify_token(file.token())
        content = file.path.read_bytes()
        file.path.unlink()
        await file.check(jwks)
        file.path.write_bytes(content)
        file.clock.advance(10)
        await file.check(jwks)
        assert jwks.status().failure is None
    assert (file.refreshed, len(file.failures)) == ([1, 1], 1)


async def test_a_file_that_is_not_there(file: KeyFile) -> None:
    """The reason is told; from then on it is asked for after each cool-down."""
    file.path.unlink()
    async with file.verifier() as jwks:
        for _ in range(2):
            with pytest.raises(KeysUnavailableError, match="No such file or directory") as caught:
                await jwks.verify_token(file.token())
            assert 5 < caught.value.retry_after < 8
        file.write(KEY)
        file.clock.advance(10)
        assert await jwks.verify_token(file.token())
    assert len(file.failures) == 1


async def test_a_file_without_a_fitting_key(file: KeyFile) -> None:
    """It is a failure of its own, as with a provider."""
    file.write(SigningKey.generate("ES384"))
    async with file.verifier() as jwks:
        with pytest.raises(KeysUnavailableError, match="no published key fits allowed_algorithms"):
            await jwks.verify_token(file.token())
        file.write(KEY)
        file.clock.advance(31)
        assert await jwks.verify_token(file.token())


async def test_its_tokens_are_held_to_the_issuer(
    file: KeyFile, caplog: pytest.LogCaptureFixture
) -> None:
    """Without one there is a warning, and none is checked."""
    token = file.token(iss="https://other.test")
    async with file.verifier() as jwks:
        with pytest.raises(jwt.InvalidIssuerError):
            await jwks.verify_token(token)
    assert [line.startswith("refused a token: issuer: ") for line in caplog.messages] == [True]
    caplog.clear()
    async with file.verifier(issuer=None) as jwks:
        assert await jwks.verify_token(token)
    [message] = caplog.messages
    assert message.startswith("issuer: not given, so the iss claim of tokens is not checked (")


@pytest.mark.parametrize("value", ["", " ", "a\nb", "a\0b"])
def test_a_wrong_path_is_refused(value: str) -> None:
    """At construction, by a `ValueError` that names the parameter."""
    with pytest.raises(ValueError, match=r"^jwks_file: expected a non-empty, printable string$"):
        JWKS(jwks_file=value)


@pytest.mark.parametrize("value", [b"/keys.json", 5, ["/keys.json"]])
def test_a_wrong_type_is_refused(value: Any) -> None:
    """At construction, by a `TypeError` that names the parameter."""
    with pytest.raises(TypeError, match=r"^jwks_file: expected a string, got "):
        JWKS(jwks_file=value)


@pytest.mark.posix
async def test_a_file_that_hangs(tmp_path: Path, clock: FakeClock) -> None:
    """Nothing stands still but the thread that reads; the keys at hand are used meanwhile."""
    file = KeyFile(tmp_path / "keys.json", clock)
    file.write(KEY)
    async with file.verifier(timeout=0.5) as jwks:
        await jwks.verify_token(file.token())
        file.path.unlink()
        os.mkfifo(file.path)
        clock.advance(1)
        await jwks.verify_token(file.token())
        await clock.until_sleeping(2)
        assert await jwks.verify_token(file.token())
        clock.advance(0.5)
        await landed(jwks)
        assert file.failures == [("timeout", "the file could not be read within 0.5 s")]
        assert await jwks.verify_token(file.token())
    with file.path.open("wb"):
        pass  # whoever reads it comes to its end
