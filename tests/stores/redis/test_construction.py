"""What `RedisKeyStore` takes, what it refuses, and what it shows of a URL."""

import logging
import subprocess
import sys
from typing import Any

import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from valkey import Valkey
from valkey.asyncio import Valkey as AsyncValkey

from auth_jwks import JWKS, RedisKeyStore
from auth_jwks.testing import FakeIssuer
from tests.stores.redis.storing import SECRET


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://localhost", "expected a URL of the form redis://"),
        ("localhost:6379", "expected a URL of the form redis://"),
        ("", "expected a URL of the form redis://"),
        ("redis://", "expected a URL of the form redis://"),
        ("redis://host:0", "expected a URL of the form redis://"),
        ("redis://host:99999", "malformed"),
        ("redis://[::1", "malformed"),
        ("redis://host/first", "expected a database number"),
        ("redis://:hunter2@host?nonsense=hunter2", "nonsense"),
        ("redis://:hunter2@host?db=hunter2", "db"),
        ("rediss://:hunter2@host?ssl_cert_reqs=hunter2", "RedisError"),
        ("redis://:hunter2@host?protocol=9", "ConnectionError"),
        ("redis://:hunter2@host?retry=hunter2", "AttributeError"),
    ],
)
def test_a_wrong_url_is_refused(url: str, message: str) -> None:
    """At once, with the parameter's name, and without the password."""
    with pytest.raises(ValueError, match=f"^redis: .*{message}") as caught:
        RedisKeyStore(url)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("timeout", 1.0, "expected a number of at most 0.75"),
        ("timeout", 0, "expected a finite number above 0"),
        ("connect_timeout", 0.1, "expected a number between timeout"),
        ("connect_timeout", 3, "expected a number between timeout"),
        ("prefix", "a{b}", "expected a string without braces"),
        ("prefix", " ", "expected a non-empty"),
        ("prefix", None, "expected a string"),
        ("integrity_key", "hunter2", "expected at least 32 bytes, got 7"),
    ],
)
def test_a_wrong_option_is_refused(option: str, value: object, message: str) -> None:
    """The message names it and says what to change."""
    options: dict[str, object] = {option: value}
    with pytest.raises(ValueError, match=f"^{option}: {message}") as caught:
        RedisKeyStore("redis://localhost", **options)  # type: ignore[arg-type]
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("library", [AsyncRedis, AsyncValkey])
async def test_a_client_of_either_library_shares_keys(redis_url: str, library: Any) -> None:
    """At a server that does not know the script yet, with one that has a URL."""
    with FakeIssuer() as issuer, Redis.from_url(redis_url) as admin:
        admin.script_flush()
        client = library.from_url(redis_url)
        for redis in (client, redis_url):
            async with (
                RedisKeyStore(redis, prefix=library.__name__, integrity_key=SECRET) as store,
                JWKS(issuer.discovery_url, "api", issuer=issuer.issuer, store=store) as jwks,
            ):
                assert (await jwks.verify_token(issuer.sign(aud="api")))["sub"] == "alice"
        await client.aclose()
        assert issuer.jwks_requests == 1


@pytest.mark.parametrize("client", [None, 7, object(), Redis(), Valkey(), AsyncRedis])
def test_another_client_is_refused(client: object) -> None:
    """A synchronous one, say."""
    with pytest.raises(TypeError, match=r"^redis: expected a URL, or a client of redis\.asyncio"):
        RedisKeyStore(client)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://user:hunter2@host:7000/2?password=hunter2", "redis://host:7000/2"),
        ("rediss://:hunter2@host", "rediss://host"),
        ("unix://:hunter2@/run/redis.sock?db=1", "unix:/run/redis.sock"),
    ],
)
def test_no_password_is_shown(url: str, shown: str, caplog: pytest.LogCaptureFixture) -> None:
    """Neither in the representation nor in the warning."""
    text = repr(RedisKeyStore(url, integrity_key=SECRET))
    assert text == f"RedisKeyStore({shown!r}, prefix='auth-jwks', sealed=True)"
    RedisKeyStore(url)
    assert shown in caplog.text
    assert "hunter2" not in caplog.text


def test_a_store_without_a_seal_warns_once(caplog: pytest.LogCaptureFixture) -> None:
    """At construction: who can write to that Redis can mint keys."""
    RedisKeyStore("redis://host", integrity_key=SECRET)
    assert caplog.records == []
    RedisKeyStore("redis://host")
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith("integrity_key not given")


def test_without_its_extra_only_making_one_fails() -> None:
    """The name imports; the error says what to install."""
    program = (
        "import sys; sys.modules['redis'] = None\n"
        "from auth_jwks import *\n"
        "try: RedisKeyStore('redis://host')\n"
        "except ImportError as fault: print(fault, fault.name)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip
    assert ran.stdout == "RedisKeyStore needs redis-py: install auth-jwks[redis] redis\n"
