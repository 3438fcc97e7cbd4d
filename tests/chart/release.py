"""Releases of the chart, as tests ask for them."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from typing import Any

import yaml

from helm.rendering import CHART, Document, render

#: Complete values for every way to run the chart.
EXAMPLES = sorted((CHART / "ci").glob("*-values.yaml"))


def example(name: str = "default") -> dict[str, Any]:
    """Values that render."""
    loaded: dict[str, Any] = yaml.safe_load((CHART / "ci" / f"{name}-values.yaml").read_text())
    return loaded


#: What operators and adapters add to a cluster, as the chart may need it.
APIS = [
    "keda.sh/v1alpha1",
    "monitoring.coreos.com/v1",
    "external.metrics.k8s.io/v1beta1",
    "gateway.networking.k8s.io/v1",
]

#: A cluster that has nothing but Kubernetes.
BARE: dict[str, Any] = {"apiVersions": []}
KEDA: dict[str, Any] = {"autoscaling__keda__enabled": True}
#: The API and the worker apart.
APART: dict[str, Any] = {"worker__separate": True}
#: An ALB that sends to pods.
ALB: dict[str, Any] = {
    "ingress": {
        "enabled": True,
        "className": "alb",
        "hosts": ["api.example.com"],
        "annotations": {
            "alb.ingress.kubernetes.io/target-type": "ip",
            "alb.ingress.kubernetes.io/target-group-attributes": "stickiness.enabled=false,"
            "deregistration_delay.timeout_seconds=30",
        },
    }
}


def with_values(**changes: Any) -> dict[str, Any]:
    """The least values on a cluster that has everything, with some changed: `autoscaling__keda__enabled=True`."""
    values = example() | {"apiVersions": APIS}
    for path, value in changes.items():
        *groups, key = path.split("__")
        place = values
        for group in groups:
            place = place.setdefault(group, {})
        place[key] = deepcopy(value)
    return values


def made(template: str, **changes: Any) -> list[Document]:
    """What one template makes of the least values and changes."""
    return render(with_values(**changes)).get(template, [])


def one(template: str, **changes: Any) -> Document:
    """The same where it is one object."""
    (document,) = made(template, **changes)
    return document


def pod(**changes: Any) -> Document:
    """The deployment's pod."""
    template: Document = one("deployment.yaml", **changes)["spec"]["template"]
    return template


def container(**changes: Any) -> Document:
    """Its container."""
    (only,) = pod(**changes)["spec"]["containers"]
    found: Document = only
    return found


def config(**changes: Any) -> dict[str, str]:
    """The variables of the service."""
    found: dict[str, str] = one("configmap.yaml", **changes)["data"]
    return found


@cache
def defaults() -> dict[str, Any]:
    """The chart's own values."""
    loaded: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
    return loaded
