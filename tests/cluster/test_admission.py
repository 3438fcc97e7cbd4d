"""A real API server admits whatever the chart makes: its fields, its rules, and the standard that pods are held to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from helm.rendering import CHART, RELEASE
from tests.chart.release import EXAMPLES
from tests.cluster.kube import Document, Namespace, Refused
from tests.waiting import eventually

#: What the cluster itself would have to have; it decides nothing about the chart.
OF_THE_CLUSTER: dict[str, Any] = {"priorityClassName": ""}


async def _rendered(namespace: Namespace, file: Path) -> list[Document]:
    text = await namespace.helm("template", RELEASE, str(CHART), "--values", str(file))
    found = [document for document in yaml.safe_load_all(text) if document]
    for document in found:
        document["metadata"]["namespace"] = namespace.name
        for pod in (document.get("spec"), document.get("spec", {}).get("template", {}).get("spec")):
            if pod and "containers" in pod:
                pod.update(OF_THE_CLUSTER)
    return found


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
async def test_every_object_of_every_example_is_admitted(namespace: Namespace, file: Path) -> None:
    """Also those of operators, by their own schemas, where the cluster has these."""
    found = await _rendered(namespace, file)
    served = [document for document in found if namespace.serves(document["apiVersion"])]
    assert len(served) >= 8
    # A pod is admitted only where its account is.
    await namespace.apply([document for document in served if document["kind"] == "ServiceAccount"])
    await namespace.apply(served, "--dry-run=server", "--warnings-as-errors")
    absent = sorted({document["apiVersion"] for document in found} - namespace.apis)
    if absent:
        pytest.skip(f"{len(served)} objects are admitted; the cluster does not serve {', '.join(absent)}")


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
async def test_the_pods_of_every_example_are_admitted(namespace: Namespace, file: Path) -> None:
    """A deployment is admitted whatever its pods ask for; they are what the standard "restricted" may refuse."""
    found = [document for document in await _rendered(namespace, file) if namespace.serves(document["apiVersion"])]
    await namespace.apply(found)
    wanted = {document["metadata"]["name"] for document in found if document["kind"] == "Deployment"}

    async def with_pods() -> bool:
        listed = await namespace.all("replicasets", **{"app.kubernetes.io/instance": RELEASE})
        owners = {each["metadata"]["ownerReferences"][0]["name"] for each in listed if each["status"]["replicas"]}
        return owners == wanted

    await eventually(with_pods, within=60, what="a pod of every deployment")


async def test_what_the_standard_forbids_is_refused(namespace: Namespace) -> None:
    """Or the test before this one could not fail."""
    (pod,) = [document for document in await _rendered(namespace, EXAMPLES[0]) if document["kind"] == "Pod"]
    pod["spec"]["containers"][0].pop("securityContext")
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": pod["spec"]["serviceAccountName"]}}
    await namespace.apply([account])
    with pytest.raises(Refused, match="violates PodSecurity"):
        await namespace.apply([pod], "--dry-run=server")


async def test_a_field_that_nobody_knows_is_refused(namespace: Namespace) -> None:
    (service,) = [
        document
        for document in await _rendered(namespace, EXAMPLES[0])
        if document["metadata"]["name"] == RELEASE and document["kind"] == "Service"
    ]
    service["spec"]["porst"] = []
    with pytest.raises(Refused, match="porst"):
        await namespace.apply([service], "--dry-run=server")
