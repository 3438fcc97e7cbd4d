"""A namespace of its own for each test, on the cluster of `KUBECONFIG`."""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator

import pytest

from tests.cluster.kube import Namespace, deployers, missing, run


@pytest.fixture
async def namespace() -> AsyncIterator[Namespace]:
    """As `k8s/deployer.yaml` makes it: pods in it are held to the standard "restricted"."""
    reason = missing()
    if reason:
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    apis = frozenset((await run("kubectl", "api-versions")).split())
    made = Namespace(name=f"truss-{uuid.uuid4().hex[:8]}", apis=apis)
    await made.apply(deployers(made.name, group=f"{made.name}-deployers"))
    try:
        yield made
    finally:
        await run("kubectl", "delete", "namespace", made.name, "--wait=false")


@pytest.fixture
def deployer(namespace: Namespace) -> Namespace:
    """The same namespace, as the deployment workflow sees it."""
    return namespace.as_member_of(f"{namespace.name}-deployers")
