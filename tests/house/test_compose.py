"""docker-compose.test.yml: valid, pinned, reachable from this machine only, and waited for."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

COMPOSE = Path(__file__).parents[2] / "docker-compose.test.yml"


def services() -> dict[str, Any]:
    """Return the services by name."""
    loaded: dict[str, Any] = YAML(typ="safe", pure=True).load(COMPOSE)
    services: dict[str, Any] = loaded["services"]
    return services


def test_is_a_compose_file() -> None:
    """The file fits the schema of the Compose Specification."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    check = subprocess.run(
        [*command, str(COMPOSE)], capture_output=True, text=True, check=False, timeout=60
    )
    assert check.returncode == 0, check.stdout + check.stderr


def test_has_what_the_tests_can_use() -> None:
    """Valkey, Redis, three nodes of a Cluster and a provider are there."""
    nodes = {"cluster-1", "cluster-2", "cluster-3"}
    assert set(services()) == {"valkey", "redis", "provider"} | nodes


def test_every_image_is_pinned() -> None:
    """An image names a full version, so that the same servers run next year."""
    for name, service in services().items():
        _, _, tag = service["image"].rpartition("/")[2].partition(":")
        assert tag[:1].isdigit(), name
        assert tag.partition("-")[0].count(".") == 2, name


def test_every_port_is_on_loopback_only() -> None:
    """No server, which all lack a password, is published beyond this machine."""
    ports = [port for service in services().values() for port in service.get("ports", ())]
    assert len(ports) == 6
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_every_service_has_a_healthcheck() -> None:
    """`up --wait` returns when each server answers, and the Cluster when it has all slots."""
    for name, service in services().items():
        check = service["healthcheck"]
        assert check["interval"] == "1s", name
        assert "cluster_state:ok" in check["test"] or not name.startswith("cluster"), name
