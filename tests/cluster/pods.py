"""Pods that nobody runs: a test says what becomes of them, as a kubelet would. Whatever waits for them is real."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from tests.cluster.kube import Namespace, Refused

#: Values by which no scheduler gives a pod to a node.
UNSCHEDULED: dict[str, Any] = {"nodeSelector": {"truss-image/node": "none"}}
#: Seconds between two looks.
BETWEEN_LOOKS = 0.5

#: What becomes of a pod; None leaves it pending.
Fate = Callable[[Mapping[str, Any]], Mapping[str, Any] | None]

READY: Mapping[str, Any] = {
    "phase": "Running",
    "conditions": [{"type": kind, "status": "True"} for kind in ("Initialized", "ContainersReady", "Ready")],
}
SUCCEEDED: Mapping[str, Any] = {"phase": "Succeeded"}
FAILED: Mapping[str, Any] = {"phase": "Failed"}


def image(pod: Mapping[str, Any]) -> str:
    return str(pod["spec"]["containers"][0]["image"])


def all_is_well(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    """Pods run and tests pass."""
    return SUCCEEDED if is_test(pod) else READY


def is_test(pod: Mapping[str, Any]) -> bool:
    return bool(pod["metadata"]["labels"]["app.kubernetes.io/component"] == "test")


@asynccontextmanager
async def pods(namespace: Namespace, fate: Fate) -> AsyncIterator[None]:
    """Say what becomes of each pod of the namespace, as long as the block lasts."""
    saying = asyncio.create_task(_say(namespace, fate))
    try:
        yield
    finally:
        saying.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await saying


async def _say(namespace: Namespace, fate: Fate) -> None:
    while True:
        for pod in await namespace.all("pods"):
            status = fate(pod)
            if status is not None and pod["status"]["phase"] != status["phase"]:
                with contextlib.suppress(Refused):  # it was deleted meanwhile
                    await namespace.kubectl(
                        *("patch", "pod", pod["metadata"]["name"], "--subresource", "status"),
                        *("--patch", json.dumps({"status": status})),
                    )
        await asyncio.sleep(BETWEEN_LOOKS)
