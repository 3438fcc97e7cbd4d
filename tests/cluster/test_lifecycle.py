"""A release on a real cluster: installed, upgraded, rolled back, parted, scaled by hand, removed without a trace."""

from __future__ import annotations

from typing import Any

import pytest

from helm.rendering import RELEASE
from tests.chart.release import example
from tests.cluster.kube import Namespace, Refused
from tests.waiting import eventually

#: What a release may consist of, on any cluster.
KINDS = (
    "configmaps,cronjobs,deployments,horizontalpodautoscalers,ingresses,networkpolicies,poddisruptionbudgets,"
    "secrets,serviceaccounts,services"
)
#: Nothing scales the pods.
UNSCALED: dict[str, Any] = {"autoscaling": {"hpa": {"enabled": False}}}


async def _deployment(namespace: Namespace, name: str = RELEASE) -> Any:
    return await namespace.get("deployment", name)


async def _replicas(namespace: Namespace) -> int:
    return int((await _deployment(namespace))["spec"]["replicas"])


def _setting(level: str) -> dict[str, Any]:
    values = example()
    values["config"]["logLevel"] = level
    return values


async def _log_level(namespace: Namespace) -> str:
    return str((await namespace.get("configmap", RELEASE))["data"]["LOG_LEVEL"])


async def test_a_release_is_installed_upgraded_rolled_back_and_removed(namespace: Namespace) -> None:
    assert "never become ready" in await namespace.install(
        values=_setting("info")
    )  # what Helm says at the end: no role yet
    first = await _deployment(namespace)

    await namespace.install(values=_setting("debug"))
    assert await _log_level(namespace) == "debug"
    second = await _deployment(namespace)
    assert second["spec"]["template"] != first["spec"]["template"]  # the pods are replaced

    await namespace.helm("rollback", RELEASE, "1")
    assert await _log_level(namespace) == "info"
    assert (await _deployment(namespace))["spec"]["template"] == first["spec"]["template"]

    await namespace.helm("uninstall", RELEASE, "--wait")

    async def gone() -> bool:
        return await namespace.all(KINDS, **{"app.kubernetes.io/instance": RELEASE}) == []

    await eventually(gone, within=60, what="the end of every object")
    assert await namespace.all("secrets", owner="helm") == []


async def test_the_same_again_changes_no_deployment(namespace: Namespace) -> None:
    await namespace.install(values=example() | UNSCALED)  # an autoscaler would change it meanwhile
    before = await _deployment(namespace)
    await namespace.install(values=example() | UNSCALED)
    assert (await _deployment(namespace))["metadata"]["generation"] == before["metadata"]["generation"]


async def test_a_release_is_parted_and_joined_by_upgrades(namespace: Namespace) -> None:
    """Selectors cannot be changed: the first deployment has to keep its own."""
    await namespace.install(values=example())
    before = await _deployment(namespace)
    await namespace.install(values=example() | {"worker": {"separate": True}})
    assert (await _deployment(namespace))["metadata"]["uid"] == before["metadata"]["uid"]
    assert (await _deployment(namespace, f"{RELEASE}-worker"))["spec"]["selector"] != before["spec"]["selector"]
    await namespace.install(values=example())
    assert (await _deployment(namespace))["metadata"]["uid"] == before["metadata"]["uid"]
    with pytest.raises(Refused, match="not found"):
        await _deployment(namespace, f"{RELEASE}-worker")


async def test_pods_do_not_fall_to_one_when_something_begins_to_scale_them(namespace: Namespace) -> None:
    await namespace.install(values=example() | UNSCALED)
    await namespace.kubectl("scale", "deployment", RELEASE, "--replicas", "7")
    await namespace.install(values=example())
    assert await _replicas(namespace) == 7
    await namespace.install(values=example())  # and not with the next upgrade either
    assert await _replicas(namespace) == 7


async def test_what_was_changed_by_hand_stops_an_upgrade_unless_it_is_told_to_go_on(namespace: Namespace) -> None:
    """Helm 4 applies as one manager of fields, and `kubectl scale` is another. The workflow tells it to go on."""
    await namespace.install(values=example() | UNSCALED)
    await namespace.kubectl("scale", "deployment", RELEASE, "--replicas", "7")
    with pytest.raises(Refused, match="conflict"):
        await namespace.install(values=example() | UNSCALED)
    await namespace.install("--force-conflicts", values=example() | UNSCALED)
    assert await _replicas(namespace) == 2


async def test_what_an_api_is_missing_for_is_said_before_anything_is_made(namespace: Namespace) -> None:
    if namespace.serves("keda.sh/v1alpha1"):
        pytest.skip("the cluster serves keda.sh/v1alpha1")
    with pytest.raises(Refused, match=r"the cluster does not serve keda\.sh/v1alpha1; install KEDA first"):
        await namespace.install(values=example() | {"autoscaling": {"keda": {"enabled": True}}})
    assert await namespace.all("secrets", owner="helm") == []


async def test_keda_takes_the_place_of_the_hpa_by_an_upgrade_and_gives_it_back(namespace: Namespace) -> None:
    """Also where KEDA's webhook looks at its objects: it refuses one beside an HPA that does not let it in."""
    if not namespace.serves("keda.sh/v1alpha1"):
        pytest.skip("the cluster does not serve keda.sh/v1alpha1")
    await namespace.install(values=example())
    await namespace.get("horizontalpodautoscaler", RELEASE)
    await namespace.install(values=example() | {"autoscaling": {"keda": {"enabled": True}}})
    await namespace.get("scaledobject", RELEASE)
    with pytest.raises(Refused, match="not found"):
        await namespace.get("horizontalpodautoscaler", RELEASE)
    await namespace.install(values=example())
    await namespace.get("horizontalpodautoscaler", RELEASE)
