"""The name of the store in logs and events."""

from pathlib import Path

from auth_jwks import FileKeyStore


def test_it_is_the_path(tmp_path: Path) -> None:
    """Which says where to look."""
    assert FileKeyStore(tmp_path / "keys").name == str(tmp_path / "keys")
