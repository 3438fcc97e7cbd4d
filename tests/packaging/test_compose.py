"""`docker compose up` serves this machine alone, with no more rights than the service has in production."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from docs.generate import ROOT
from tests.packaging import dockerfile


@pytest.fixture
def compose() -> Any:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


@pytest.fixture
def service(compose: Any) -> Any:
    (only,) = compose["services"].values()
    return only


def test_it_builds_the_stage_with_the_local_aws(service: Any) -> None:
    assert service["build"] == {"context": ".", "target": "local"}
    assert json.loads(dockerfile.effective("local", "CMD") or "") == ["local"]


def test_only_this_machine_reaches_it(service: Any) -> None:
    assert "network_mode" not in service
    assert len(service["ports"]) == 2
    assert all(published.startswith("127.0.0.1:") for published in service["ports"])


def test_the_ports_that_urls_name_are_the_same_outside_and_inside(service: Any) -> None:
    ports = [service["environment"][name] for name in ("PORT", "LOCAL_AWS_PORT")]
    assert service["ports"] == [f"127.0.0.1:{port}:{port}" for port in ports]


def test_it_may_do_nothing_and_write_only_its_data_and_temporary_files(service: Any) -> None:
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert [mount.partition(":")[0] for mount in service["tmpfs"]] == ["/tmp"]
    assert "privileged" not in service
    assert "user" not in service  # the image's own


def test_what_was_uploaded_outlives_the_container(compose: Any, service: Any) -> None:
    (mount,) = service["volumes"]
    volume, folder = mount.split(":")
    assert volume in compose["volumes"]
    assert f"DATA_DIR={folder}" in (dockerfile.effective("local", "ENV") or "")
