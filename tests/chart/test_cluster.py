"""What the chart makes depends on the cluster where it must: on the APIs that it serves, and on the pods that run."""

from __future__ import annotations

from typing import Any

import helm_python
import pytest
import yaml

from helm.rendering import CHART, NAMESPACE, RELEASE, Document
from tests.chart.cluster import cluster
from tests.chart.release import BARE, KEDA, with_values


def _refusal(config: helm_python.Config, values: dict[str, Any]) -> str:
    """Why a dry run of an installation ends. This cluster has no schemas, so it always does."""
    with helm_python.Chart.load(str(CHART)) as chart, pytest.raises(helm_python.HelmError) as caught:
        config.install(chart, RELEASE, values, namespace=NAMESPACE, dry_run="server")
    return str(caught.value)


def _deployment(config: helm_python.Config, **changes: Any) -> Document:
    """The deployment that an upgrade would apply."""
    with helm_python.Chart.load(str(CHART)) as chart:
        made = config.render(chart, with_values(**changes), name=RELEASE, namespace=NAMESPACE, is_upgrade=True)
    document: Document
    (document,) = yaml.safe_load_all(made["image-service/templates/deployment.yaml"])
    return document


def test_helm_asks_the_cluster_what_it_serves() -> None:
    values = with_values(**KEDA, **BARE)
    with cluster() as bare:
        assert "the cluster does not serve keda.sh/v1alpha1; install KEDA first" in _refusal(bare, values)
        assert "failed to download openapi" in _refusal(bare, with_values(**BARE))  # all was made of the defaults
    with cluster(["keda.sh/v1alpha1"]) as with_keda:
        assert "failed to download openapi" in _refusal(with_keda, values)


def _live(replicas: int, said: bool) -> Document:
    annotations = {"truss-image/says-replicas": "true"} if said else {}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": RELEASE, "namespace": NAMESPACE, "annotations": annotations},
        "spec": {"replicas": replicas},
    }


def test_a_release_that_said_how_many_pods_goes_on_saying_it_when_something_begins_to_scale_them() -> None:
    """A number that is taken out of a deployment is one, until the autoscaler looks: seven pods would become one."""
    with cluster(deployment=_live(7, said=True)) as config:
        after = _deployment(config)
        assert after["spec"]["replicas"] == 7
        assert after["metadata"]["annotations"] == {
            "truss-image/says-replicas": "true"
        }  # so the next upgrade does, too
        assert _deployment(config, autoscaling__hpa__enabled=False)["spec"]["replicas"] == 2


def test_a_release_that_never_said_it_leaves_it_to_what_scales_them() -> None:
    with cluster(deployment=_live(7, said=False)) as config:
        after = _deployment(config)
    assert "replicas" not in after["spec"]
    assert "annotations" not in after["metadata"]


def test_a_release_that_begins_leaves_it_to_what_scales_them() -> None:
    with cluster() as config:
        assert "replicas" not in _deployment(config)["spec"]
