"""The limits of the container, read from Linux's control groups, version 1 and 2."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

#: The process's own: the interpreter, its libraries, connections and buffers, one child process that begins.
OWN_BYTES = 256 * 1024 * 1024
#: What images may take where no group of processes has a limit: as much as in a pod of 1.3 GiB.
UNLIMITED_BUDGET_BYTES = 1024 * 1024 * 1024
#: The first version knows no word for "no limit"; it names a number that no machine has.
_UNLIMITED_BYTES = 1 << 60


def memory_limit_bytes(root: Path = Path("/")) -> int | None:
    """The least limit of the groups that this process is in; None when there is none, or no control groups."""
    # Above "high" the second version does not kill, but slows everything down until it stands still.
    files = {"memory.max": "", "memory.high": "", "memory.limit_in_bytes": "memory"}
    words = [word for name, controller in files.items() for word in _read(root, controller, name)]
    limits = [int(word) for word in words if word.isdigit() and int(word) < _UNLIMITED_BYTES]
    return min(limits, default=None)


def memory_budget_bytes(root: Path = Path("/")) -> int:
    """The memory for images and their files: all that the limit leaves."""
    limit = memory_limit_bytes(root)
    return UNLIMITED_BUDGET_BYTES if limit is None else max(0, limit - OWN_BYTES)


def processors(root: Path = Path("/")) -> int:
    """How many processors may be kept busy: those it may run on, or the whole number that its quota comes to."""
    quotas = [
        *(_ratio(*words.split()) for words in _read(root, "", "cpu.max")),
        *map(_ratio, _read(root, "cpu", "cpu.cfs_quota_us"), _read(root, "cpu", "cpu.cfs_period_us")),
    ]
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min([there, *(max(1, math.ceil(quota)) for quota in quotas if quota is not None)])


def _ratio(quota: str, period: str = "100000") -> float | None:
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() and int(period) else None


def _read(root: Path, controller: str, name: str) -> Iterator[str]:
    """What a file says in the process's group and in every group around it; a container sees its own as the outermost.

    `controller` is the first version's; the second has one tree for all.
    """
    mount = root / "sys/fs/cgroup" / controller
    group = mount / _group(root, controller).lstrip("/")
    for folder in (group, *group.parents):
        if folder == mount or mount in folder.parents:
            try:
                yield (folder / name).read_text().strip()
            except (OSError, ValueError):
                continue


def _group(root: Path, controller: str) -> str:
    """The process's group in one tree: lines of `number:controllers:path`."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except (OSError, ValueError):
        return "/"
    for line in lines:
        controllers, _, path = line.partition(":")[2].partition(":")
        if path and controller in controllers.split(","):
            return path
    return "/"
