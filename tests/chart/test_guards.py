"""Values that contradict each other do not render, and the reason is told."""

from __future__ import annotations

from typing import Any

import helm_python
import pytest

from helm.rendering import CHART, render
from service.config import Settings
from service.machine import OWN_BYTES, UNLIMITED_BUDGET_BYTES
from service.settings.work import LEAST_BUDGET_BYTES
from tests.chart.release import BARE, KEDA, example, with_values

GUARDS: list[tuple[dict[str, Any], str]] = [
    ({"image__repository": ""}, "image.repository: is required"),
    ({"config__sourceBucket": ""}, "config.sourceBucket: is required"),
    ({"config__processedBucket": None}, "config.processedBucket: is required"),
    ({"config__processingTable": ""}, "config.processingTable: is required"),
    ({"config__queueUrl": ""}, "config.queueUrl: is required"),
    ({"config__cloudfrontUrl": ""}, "config.cloudfrontUrl: is required"),
    ({"config__awsRegion": ""}, "config.awsRegion: is required"),
    (KEDA | BARE, "autoscaling.keda.enabled: the cluster does not serve keda.sh/v1alpha1; install KEDA first"),
    (
        BARE | {"autoscaling__hpa__metricName": "depth"},
        "autoscaling.hpa.metricName: the cluster does not serve external.metrics.k8s.io/v1beta1; install an adapter",
    ),
    (
        BARE | {"metrics__serviceMonitor": {"enabled": True}},
        "metrics.serviceMonitor.enabled: the cluster does not serve monitoring.coreos.com/v1",
    ),
    (
        BARE | {"metrics__prometheusRule": {"enabled": True}},
        "metrics.prometheusRule.enabled: the cluster does not serve monitoring.coreos.com/v1",
    ),
    (
        KEDA | {"autoscaling__keda__minReplicas": 5, "autoscaling__keda__maxReplicas": 4},
        "autoscaling.keda: maxReplicas (4) is below minReplicas (5)",
    ),
    (
        {"autoscaling__hpa__minReplicas": 9, "autoscaling__hpa__maxReplicas": 8},
        "autoscaling.hpa: maxReplicas (8) is below minReplicas (9)",
    ),
    (
        KEDA | {"autoscaling__keda__fallback": {"failureThreshold": 3, "replicas": 21}},
        "autoscaling.keda.fallback.replicas (21) must lie between minReplicas (2) and maxReplicas (20)",
    ),
    ({"autoscaling__hpa__cpu": {"enabled": False}}, "autoscaling.hpa: neither metricName nor cpu is set"),
    ({"resources__requests": {"cpu": None, "memory": "1Gi"}}, "autoscaling.hpa.cpu: needs resources.requests.cpu"),
    ({"config__drainSeconds": 60}, "config.drainSeconds (60) must exceed config.processTimeoutSeconds (60)"),
    ({"config__processTimeoutSeconds": 80}, "config.drainSeconds (75) must exceed config.processTimeoutSeconds (80)"),
    ({"terminationGracePeriodSeconds": 100}, "terminationGracePeriodSeconds (100) must exceed"),
    (
        {"preStopSeconds": 30},
        "(120) must exceed preStopSeconds + config.httpTimeoutSeconds + config.drainSeconds (120)",
    ),
    ({"config__httpTimeoutSeconds": 60}, "the pod would be killed while it drains"),
    ({"config__memoryBudgetBytes": 1400 << 20}, "(1736441856 bytes): the pod would be killed for lack of memory"),
    ({"config__maxUploadBytes": 1300 << 20}, "resources.requests.memory (1536Mi) must hold"),
    ({"resources__requests": {"cpu": "1", "memory": "400Mi"}}, "resources.requests.memory (400Mi) must hold"),
    (
        {"resources": {"requests": {"cpu": "1", "memory": "1200Mi"}, "limits": None}},
        "or 1 GiB where neither it nor a limit is set",
    ),
    ({"resources__requests": {"cpu": "1", "memory": None}}, "resources.requests.memory: is required"),
    ({"resources__limits": {"memory": "1535Mi"}}, "resources.limits.memory (1535Mi) must equal"),
    ({"resources__limits": {"memory": "2Gi"}}, "resources.limits.memory (2Gi) must equal"),
    ({"resources__requests": {"cpu": "1", "memory": "1 GB"}}, '"1 GB" is not a quantity of memory'),
    ({"podDisruptionBudget__minAvailable": 1}, "exactly one of minAvailable and maxUnavailable"),
    ({"podDisruptionBudget__maxUnavailable": None}, "exactly one of minAvailable and maxUnavailable"),
    ({"config__stage": "prod", "config__authModes": "none"}, "config.authModes: none lets everybody do everything"),
    ({"config__stage": "prod", "config__authModes": ["none"]}, "config.authModes: none lets everybody do everything"),
    ({"config__corsOrigins": "app.example.com"}, 'config.corsOrigins: "app.example.com" is no origin'),
    ({"config__corsOrigins": "https://a.example,null"}, 'config.corsOrigins: "null" is no origin'),
    ({"config__corsOrigins": ["https://*.example.com"]}, 'config.corsOrigins: "https://*.example.com" is no origin'),
    ({"config__corsOrigins": ["https://a.example/app"]}, 'config.corsOrigins: "https://a.example/app" is no origin'),
    ({"config__corsOrigins": "*,https://a.example"}, "config.corsOrigins: * allows every origin"),
    ({"ingress__enabled": True}, "ingress.hosts: is required"),
    ({"metrics__enabled": False, "metrics__serviceMonitor": {"enabled": True}}, "metrics.enabled: serviceMonitor"),
    ({"metrics__enabled": False, "metrics__prometheusRule": {"enabled": True}}, "metrics.enabled: serviceMonitor"),
    ({"metrics__port": 8080}, "metrics.port: 8080 is the API's"),
]


@pytest.mark.parametrize(("changes", "reason"), GUARDS)
def test_values_that_contradict_each_other_do_not_render_and_the_reason_is_told(
    changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(helm_python.HelmError) as caught:
        render(with_values(**changes))
    assert reason in str(caught.value)


def test_the_guards_know_the_service_s_own_defaults() -> None:
    written = (CHART / "templates" / "_validate.tpl").read_text()

    assert f"default {Settings.model_fields['max_upload_bytes'].default} $config.maxUploadBytes" in written
    assert f"add $upload {LEAST_BUDGET_BYTES} -" in written
    assert f"ternary $least {UNLIMITED_BUDGET_BYTES} " in written
    assert f" {OWN_BYTES} -" in written


def test_every_guard_has_a_test() -> None:
    written = sum(file.read_text().count("{{- fail ") for file in (CHART / "templates").glob("_*.tpl"))
    # One is written in a loop over six values, one in a loop over both scalers.
    assert len({reason.partition(" (")[0] for _, reason in GUARDS}) >= written + 5


CLOSED: list[dict[str, Any]] = [
    {"bogus": 1},
    {"config__sourceBukket": "typo"},
    {"config__PORT": "80"},
    {"autoscaling__keda__minReplicas": 0},
    {"autoscaling__hpa__minReplicas": 0},
    {"replicaCount": 0},
    {"config__webpEffort": 7},
    {"config__stage": "Not a stage"},
    {"config__logLevel": "verbose"},
    {"image__pullPolicy": "Sometimes"},
    {"image__digest": "latest"},
    {"config__cloudfrontUrl": "images.example.com"},
    {"config__s3PublicEndpointUrl": "https://s3.example.com?x=1"},
    {"service__type": "ExternalName"},
    {"serviceAccount__roleArn": "my-role"},
    {"metrics__port": 70000},
    {"terminationGracePeriodSeconds": "2m"},
    {"ingress__hosts": "api.example.com"},
]


@pytest.mark.parametrize("changes", CLOSED)
def test_a_value_that_is_unknown_or_of_the_wrong_kind_is_refused_by_the_schema(changes: dict[str, Any]) -> None:
    with pytest.raises(helm_python.HelmValuesError):
        render(with_values(**changes))


def test_memory_may_be_written_in_any_unit_of_kubernetes() -> None:
    for quantity in ("2Gi", "1.5Gi", "1536Mi", "1572864Ki", "1.6G", "1600M", "1589641216"):
        assert render(with_values(resources={"requests": {"cpu": "1", "memory": quantity}, "limits": None}))


def test_a_grace_period_of_one_second_more_than_needed_is_enough() -> None:
    assert render(with_values(terminationGracePeriodSeconds=101))


def test_values_of_a_parent_chart_are_let_through() -> None:
    assert render(example() | {"global": {"anything": True}})
