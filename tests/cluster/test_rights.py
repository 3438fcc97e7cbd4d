"""What `k8s/deployer.yaml` grants is enough for the life of a release, and each part of it is needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from helm.rendering import RELEASE
from tests.chart.release import example
from tests.cluster.kube import DEPLOYER, Document, Namespace, Refused, deployers
from tests.cluster.pods import UNSCHEDULED, all_is_well, pods

#: What Helm says where it was not allowed something. It keeps the reason to itself where it could not record the end
#: of a change, which the next one finds in progress; and where it could not delete an object, or look at it.
HELM_SAYS = r"[Ff]orbidden|is in progress|failed to delete release|timed out"
#: The number of its rule, a resource and a verb.
Right = tuple[int, str, str]
#: Objects of operators, by the API that must be there for each.
OPERATED: Mapping[str, Mapping[str, Any]] = {
    "keda.sh/v1alpha1": {"autoscaling": {"keda": {"enabled": True}}},
    "gateway.networking.k8s.io/v1": {"httpRoute": {"enabled": True, "parentRefs": [{"name": "public"}]}},
    "monitoring.coreos.com/v1": {"metrics": {"serviceMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}}},
}


def _values(namespace: Namespace, *, with_keda: bool) -> dict[str, Any]:
    """A release with an object of every kind that the cluster serves; KEDA takes the place of an HPA."""
    values = example() | UNSCHEDULED
    values |= {"ingress": {"enabled": True, "hosts": ["api.example.com"]}, "reconcile": {"enabled": True}}
    for api, more in OPERATED.items():
        if namespace.serves(api) and (with_keda or api != "keda.sh/v1alpha1"):
            values |= more
    return values


async def _life(namespace: Namespace, *, with_keda: bool) -> None:
    """All that the workflow does to a release, and its end."""
    values = _values(namespace, with_keda=with_keda)
    waiting = ("--wait=legacy", "--timeout", "60s")
    async with pods(namespace.as_owner(), all_is_well):
        await namespace.install(*waiting, values=values)
        await namespace.install(*waiting, values=values | {"commonLabels": {"changed": "yes"}})
        await namespace.helm("test", RELEASE, "--logs")
        await namespace.helm("rollback", RELEASE, "1", *waiting)
        await namespace.helm("history", RELEASE)
        await namespace.helm("uninstall", RELEASE)


@pytest.mark.parametrize("with_keda", [False, True], ids=["hpa", "keda"])
async def test_who_deploys_may_do_all_that_a_release_needs(deployer: Namespace, with_keda: bool) -> None:
    if with_keda and not deployer.serves("keda.sh/v1alpha1"):
        pytest.skip("the cluster does not serve keda.sh/v1alpha1")
    await _life(deployer, with_keda=with_keda)


def _rights() -> Iterator[Any]:
    (role,) = [document for document in yaml.safe_load_all(DEPLOYER.read_text()) if document["kind"] == "Role"]
    for number, rule in enumerate(role["rules"]):
        for resource in rule["resources"]:
            for verb in rule["verbs"]:
                name = f"{verb}-{resource}".replace("/", "-")
                yield pytest.param((number, resource, verb), rule["apiGroups"][0], id=name)


def _without(documents: list[Document], right: Right) -> list[Document]:
    """The same documents, less one right."""
    number, resource, verb = right
    for document in documents:
        if document["kind"] == "Role":
            rule = document["rules"][number]
            less = {**rule, "resources": [resource], "verbs": [each for each in rule["verbs"] if each != verb]}
            rest = {**rule, "resources": [each for each in rule["resources"] if each != resource]}
            document["rules"][number : number + 1] = [
                each for each in (less, rest) if each["resources"] and each["verbs"]
            ]
    return documents


@pytest.mark.parametrize(("right", "group"), list(_rights()))
async def test_every_right_is_needed(namespace: Namespace, deployer: Namespace, right: Right, group: str) -> None:
    if group and group not in {api.partition("/")[0] for api in namespace.apis}:
        pytest.skip(f"the cluster does not serve {group}")
    await namespace.apply(_without(deployers(namespace.name, deployer.group), right), "--force-conflicts")
    with pytest.raises(Refused, match=HELM_SAYS):
        await _life(deployer, with_keda=group == "keda.sh")


@pytest.mark.parametrize(
    "asked",
    [
        ("create", "deployments", "--namespace", "default"),
        ("get", "secrets", "--namespace", "kube-system"),
        ("list", "secrets", "--all-namespaces"),
        ("create", "namespaces"),
        ("create", "clusterrolebindings"),
        ("create", "rolebindings"),
        ("update", "roles"),
        ("create", "pods", "--subresource", "exec"),
        ("create", "serviceaccounts", "--subresource", "token"),
        ("impersonate", "serviceaccounts"),
        ("create", "jobs"),
    ],
    ids=" ".join,
)
async def test_who_deploys_may_do_nothing_else(deployer: Namespace, asked: tuple[str, ...]) -> None:
    with pytest.raises(Refused, match="no"):
        await deployer.kubectl("auth", "can-i", *asked)
