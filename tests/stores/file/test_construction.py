"""What `FileKeyStore` refuses at construction."""

from pathlib import Path

import pytest

from auth_jwks.stores.file import FileKeyStore


@pytest.mark.parametrize("timeout", [0, -1, float("inf"), float("nan"), 0.8])
def test_timeout_is_a_time(directory: Path, timeout: float) -> None:
    """Above zero, and at most a quarter of a lease, so that a holder can renew it."""
    with pytest.raises(ValueError, match=r"timeout: expected"):
        FileKeyStore(directory, timeout=timeout)


def test_unsafe_directory_is_refused(directory: Path) -> None:
    """At construction."""
    directory.chmod(0o777)
    with pytest.raises(ValueError, match="directory: "):
        FileKeyStore(directory)
