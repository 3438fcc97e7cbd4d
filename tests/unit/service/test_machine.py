"""What the container may use, as the files of Linux' control groups say it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from service import machine
from service.config import Settings, SettingsError
from service.settings.work import MIB
from tests.unit.service.test_config import REQUIRED

HERE = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def tree(root: Path, files: dict[str, str]) -> Path:
    """The files below a root of their own."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    return root


SECOND = "0::/"
FIRST = "4:memory:/kubepods/pod7\n2:cpu,cpuacct:/kubepods/pod7\n0::/"


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({"proc/self/cgroup": SECOND, "sys/fs/cgroup/memory.max": "1610612736"}, 1610612736),
        ({"proc/self/cgroup": SECOND, "sys/fs/cgroup/memory.max": "max"}, None),
        # The container sees its own group as the outermost, whatever its path is on the node.
        ({"proc/self/cgroup": FIRST, "sys/fs/cgroup/memory/memory.limit_in_bytes": "1610612736"}, 1610612736),
        ({"proc/self/cgroup": FIRST, "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712"}, None),
        # The least of the groups around it is the one that holds.
        (
            {
                "proc/self/cgroup": "0::/a.slice/b.service",
                "sys/fs/cgroup/a.slice/memory.max": "1000",
                "sys/fs/cgroup/a.slice/b.service/memory.max": "2000",
            },
            1000,
        ),
        # What is slowed down beyond it until it stands still is a limit too.
        (
            {
                "proc/self/cgroup": SECOND,
                "sys/fs/cgroup/memory.max": "1610612736",
                "sys/fs/cgroup/memory.high": "1500000000",
            },
            1500000000,
        ),
        ({}, None),
        ({"proc/self/cgroup": "nonsense", "sys/fs/cgroup/memory.max": ""}, None),
    ],
)
def test_the_memory_limit_is_read_from_both_versions_of_control_groups(
    files: dict[str, str], limit: int | None, tmp_path: Path
) -> None:
    assert machine.memory_limit_bytes(tree(tmp_path, files)) == limit


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"proc/self/cgroup": SECOND, "sys/fs/cgroup/cpu.max": "50000 100000"}, 1),
        ({"proc/self/cgroup": SECOND, "sys/fs/cgroup/cpu.max": "100001 100000"}, min(2, HERE)),
        ({"proc/self/cgroup": SECOND, "sys/fs/cgroup/cpu.max": "max 100000"}, HERE),
        (
            {
                "proc/self/cgroup": FIRST,
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "50000",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            },
            1,
        ),
        (
            {
                "proc/self/cgroup": FIRST,
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            },
            HERE,
        ),
        ({}, HERE),
    ],
)
def test_there_are_as_many_threads_as_the_quota_of_processors_feeds(
    files: dict[str, str], expected: int, tmp_path: Path
) -> None:
    assert machine.processors(tree(tmp_path, files)) == expected


@pytest.mark.parametrize(
    ("files", "budget"),
    [
        ({"proc/self/cgroup": SECOND, "sys/fs/cgroup/memory.max": "1610612736"}, (1536 - 256) * MIB),
        ({"proc/self/cgroup": FIRST, "sys/fs/cgroup/memory/memory.limit_in_bytes": "1073741824"}, (1024 - 256) * MIB),
        ({"proc/self/cgroup": SECOND, "sys/fs/cgroup/memory.max": "1000"}, 0),
        ({"proc/self/cgroup": SECOND, "sys/fs/cgroup/memory.max": "max"}, 1024 * MIB),
    ],
)
def test_without_a_number_the_budget_is_what_the_container_leaves(
    files: dict[str, str], budget: int, tmp_path: Path
) -> None:
    assert machine.memory_budget_bytes(tree(tmp_path, files)) == budget


def test_a_setting_that_is_not_given_follows_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    root = tree(tmp_path, {"proc/self/cgroup": SECOND, "sys/fs/cgroup/memory.max": str(700 * MIB)})
    monkeypatch.setattr(machine.memory_budget_bytes, "__defaults__", (root,))

    assert Settings.from_env(REQUIRED).memory_budget_bytes == (700 - 256) * MIB
    assert Settings.from_env(REQUIRED | {"MEMORY_BUDGET_BYTES": "200000000"}).memory_budget_bytes == 200_000_000


def test_a_budget_that_the_container_does_not_hold_is_lowered_to_what_is_left() -> None:
    settings = Settings.from_env(REQUIRED | {"MEMORY_BUDGET_BYTES": str(960 * MIB)})

    assert settings.affordable(None) == settings
    assert settings.affordable(1536 * MIB).memory_budget_bytes == 960 * MIB
    assert settings.affordable(1024 * MIB).memory_budget_bytes == (1024 - 256) * MIB


def test_the_largest_file_has_room_beside_the_largest_conversion() -> None:
    settings = Settings.from_env(REQUIRED | {"MEMORY_BUDGET_BYTES": str(960 * MIB)})

    assert settings.conversion_budget_bytes == (960 - 100) * MIB
    both = settings.model_copy(update={"output_formats": ("webp", "avif")})
    assert both.conversion_budget_bytes == (960 - 200) * MIB  # files wait for either format


@pytest.mark.parametrize(("limit_mib", "budget_mib"), [(400, 960), (None, 150)])
def test_a_machine_without_room_for_a_photograph_is_refused_with_every_number(
    limit_mib: int | None, budget_mib: int
) -> None:
    settings = Settings.from_env(REQUIRED | {"MEMORY_BUDGET_BYTES": str(budget_mib * MIB)})
    left = (144 if limit_mib else 150) * MIB

    with pytest.raises(SettingsError, match=rf"{left} bytes are left.*take {164 * MIB}.*itself takes {256 * MIB}"):
        settings.affordable(limit_mib and limit_mib * MIB)
