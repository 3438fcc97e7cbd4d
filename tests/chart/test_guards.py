"""Values that contradict each other do not render, and the reason is told."""

from __future__ import annotations

import re
from typing import Any

import helm_python
import pytest

from benchmarks.scaling.measured import LINE
from helm.rendering import CHART, render
from processor.formats.info import ImageInfo
from processor.pipeline.estimate import working_bytes
from service.config import Settings
from service.machine import OWN_BYTES
from service.settings.work import LEAST_BUDGET_BYTES
from tests.chart.release import ALB, APART, BARE, KEDA, config, container, example, pod, with_values

ROLE = "arn:aws:iam::111122223333:role/pods"

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
    (
        {"autoscaling__hpa__cpu": {"enabled": False}},
        "autoscaling.hpa: neither the queue nor cpu is followed, so there is nothing to scale the component server on",
    ),
    (
        APART | KEDA | {"autoscaling__keda__cpu": {"enabled": False}},
        "autoscaling.keda: neither the queue nor cpu is followed, so there is nothing to scale the component server on",
    ),
    ({"worker__values": {"replicaCount": 3}}, "worker.values: has no effect unless worker.separate is true"),
    (
        BARE | {"httpRoute": {"enabled": True, "parentRefs": [{"name": "public"}]}},
        "httpRoute.enabled: the cluster does not serve gateway.networking.k8s.io/v1",
    ),
    ({"httpRoute": {"enabled": True}}, "httpRoute.parentRefs: is required when the route is enabled"),
    ({"service__loadBalancerClass": "service.k8s.aws/nlb"}, "service: loadBalancerClass and loadBalancerSourceRanges"),
    ({"service__loadBalancerSourceRanges": ["10.0.0.0/8"]}, "are for the type LoadBalancer, not ClusterIP"),
    (
        {"serviceAccount": {"create": False, "roleArn": ROLE}},
        "serviceAccount.roleArn: has no effect on an account that the chart does not make",
    ),
    ({"serviceAccount": {"podIdentity": True, "roleArn": ROLE}}, "roleArn and podIdentity are two ways to a role"),
    (
        {"podLabels": {"app.kubernetes.io/component": "mine"}},
        "podLabels: app.kubernetes.io/component is written by the chart itself, whose selectors need it",
    ),
    ({"commonLabels": {"app.kubernetes.io/name": "mine"}}, "commonLabels: app.kubernetes.io/name is written by"),
    ({"service__labels": {"helm.sh/chart": "mine"}}, "service.labels: helm.sh/chart is written by the chart itself"),
    (
        APART | {"worker__values": {"podLabels": {"app.kubernetes.io/instance": "mine"}}},
        "podLabels: app.kubernetes.io/instance is written by the chart itself",
    ),
    ({"resources__requests": {"cpu": None, "memory": "1Gi"}}, "autoscaling.hpa.cpu: needs resources.requests.cpu"),
    ({"config__drainSeconds": 60}, "config.drainSeconds (60) must exceed config.processTimeoutSeconds (60)"),
    ({"config__processTimeoutSeconds": 80}, "config.drainSeconds (75) must exceed config.processTimeoutSeconds (80)"),
    (
        {"terminationGracePeriodSeconds": 75},
        (
            "terminationGracePeriodSeconds (75) must exceed preStopSeconds (0) + the longer of config.drainSeconds (75"
            ") and config.stopDelaySeconds (45) + config.httpTimeoutSeconds (15) = 75: the pod would be killed while"
        ),
    ),
    ({"terminationGracePeriodSeconds": 80, "preStopSeconds": 5}, "preStopSeconds (5) + the longer"),
    ({"terminationGracePeriodSeconds": 80, "config__httpTimeoutSeconds": 60}, "killed while it drains"),
    ({"terminationGracePeriodSeconds": 80, "config__stopDelaySeconds": 64.5}, "config.stopDelaySeconds (65)"),
    (
        APART | {"worker__values": {"terminationGracePeriodSeconds": 60}},
        "(60) must exceed preStopSeconds (0) + config.drainSeconds (75) = 75",
    ),
    (
        APART | {"terminationGracePeriodSeconds": 60, "worker__values": {"terminationGracePeriodSeconds": 80}},
        "(60) must exceed preStopSeconds (0) + config.stopDelaySeconds (45) + config.httpTimeoutSeconds (15) = 60",
    ),
    (
        ALB | {"config__stopDelaySeconds": 44},
        (
            "preStopSeconds (0) + config.stopDelaySeconds (44) must hold 15 seconds until the ALB hears of a pod's "
            "end + its deregistration delay (30"
        ),
    ),
    (ALB | {"config__stopDelaySeconds": 0, "preStopSeconds": 44}, "(44) + config.stopDelaySeconds (0) must hold 15"),
    (
        ALB | {"ingress__annotations": {"alb.ingress.kubernetes.io/target-type": "ip"}},
        "+ its deregistration delay (300; 300 unless",
    ),
    (
        ALB | {"config__httpTimeoutSeconds": 40},
        "ingress.annotations: the deregistration delay (30) must hold config.httpTimeoutSeconds (40)",
    ),
    (ALB | {"config__keepaliveSeconds": 60}, "config.keepaliveSeconds (60) must exceed the ALB's idle timeout (60; 60"),
    (
        ALB
        | {
            "ingress__annotations": {
                "alb.ingress.kubernetes.io/load-balancer-attributes": "idle_timeout.timeout_seconds=120"
            }
        },
        "config.keepaliveSeconds (75) must exceed the ALB's idle timeout (120",
    ),
    (
        {"config__memoryBudgetBytes": 1400 << 20},
        "resources.requests.memory (1536 MiB) must hold 256 MiB for the process + config.memoryBudgetBytes (1400 MiB)",
    ),
    ({"config__memoryBudgetBytes": 64 << 20, "config__maxUploadBytes": 1300 << 20}, "the pod would be killed for lack"),
    (
        {"config__maxUploadBytes": 300 << 20},
        (
            "(1536 MiB) must hold 256 MiB for the process + config.maxUploadBytes (300 MiB) + "
            "1145 MiB for one picture, which is 10 bytes for each of config.maxPixels, and at least 64 MiB = 1701"
        ),
    ),
    ({"config__maxPixels": 500_000_000}, "+ 4769 MiB for one picture"),
    ({"resources": {"requests": {"cpu": "1", "memory": "1200Mi"}, "limits": None}}, "(1200 MiB) must hold 256 MiB"),
    (
        APART | {"worker__values": {"resources": {"requests": {"memory": "1Gi"}, "limits": {"memory": "1Gi"}}}},
        "resources.requests.memory (1024 MiB) must hold",
    ),
    (
        APART | {"resources": {"requests": {"cpu": "1", "memory": "200Mi"}, "limits": {"memory": "200Mi"}}},
        "resources.requests.memory (200 MiB) must hold 256 MiB for the process",
    ),
    ({"tmpSizeLimit": "1Gi"}, "resources.requests.ephemeral-storage (384Mi) must hold tmpSizeLimit (1Gi)"),
    (
        {"config__workerThreads": 3, "resources__limits": {"cpu": "1500m", "memory": "1536Mi"}},
        "config.workerThreads (3) must not exceed resources.limits.cpu (1500m), rounded up",
    ),
    (
        {"config__workerThreads": 16},
        (
            "config.processTimeoutSeconds (60) must hold 16 threads x 120 megapixels (config.maxPixels) x 0.05 CPU "
            "seconds / 1 processors (resources.requests.cpu) = 96"
        ),
    ),
    ({"resources__requests": {"cpu": "1", "memory": None}}, "resources.requests.memory: is required"),
    ({"resources__limits": {"memory": "1535Mi"}}, "resources.limits.memory (1535Mi) must equal"),
    ({"resources__limits": {"memory": "2Gi"}}, "resources.limits.memory (2Gi) must equal"),
    (
        {"resources__requests": {"cpu": "1", "memory": "1 GB"}},
        'resources.requests.memory: "1 GB" is not a quantity, as in 1Gi',
    ),
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
    (
        {"resources__requests": {"cpu": "1 core", "memory": "1536Mi"}},
        'resources.requests.cpu: "1 core" is not a quantity',
    ),
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

    names = {"max_upload_bytes": "maxUploadBytes", "max_pixels": "maxPixels", "drain_seconds": "drainSeconds"}
    names |= {"http_timeout_seconds": "httpTimeoutSeconds", "process_timeout_seconds": "processTimeoutSeconds"}
    names |= {"keepalive_seconds": "keepaliveSeconds"}
    written += (CHART / "templates" / "_deployments.tpl").read_text()
    assert f"ternary {Settings.model_fields['stop_delay_seconds'].default} $delay" in written
    for field, value in names.items():
        said = re.findall(rf"default (\d+) \S*onfig\.{value} ", written)
        assert said != []
        assert {float(number) for number in said} == {float(Settings.model_fields[field].default)}
    assert f"$least := {LEAST_BUDGET_BYTES} -" in written
    assert f"$own := {OWN_BYTES} -" in written


def test_where_there_is_no_limit_of_memory_the_service_is_told_what_was_requested() -> None:
    data = config(resources={"requests": {"cpu": "1", "memory": "2Gi"}, "limits": None})
    assert int(data["MEMORY_BUDGET_BYTES"]) == 2 * 1024**3 - OWN_BYTES
    assert "MEMORY_BUDGET_BYTES" not in config()


def test_the_sums_know_what_a_picture_takes() -> None:
    """Of memory, by the estimate that conversions are admitted by; of CPU, by what was measured."""
    pixels = Settings.model_fields["max_pixels"].default
    png = ImageInfo(format="png", width=12_000, height=10_000)
    assert png.width * png.height == pixels
    assert 9.5 * pixels < working_bytes(png, 50 << 20) <= 10 * pixels
    assert LINE.cpu_seconds(pixels / 1e6) <= 0.05 * pixels / 1e6


def test_every_guard_has_a_test() -> None:
    written = sum(file.read_text().count("{{- fail ") for file in (CHART / "templates").glob("_*.tpl"))
    # One is written in a loop over six values, one in a loop over four APIs.
    assert len({reason.partition(" (")[0] for _, reason in GUARDS}) >= written + 8


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


#: As Kubernetes reads them, and as YAML gives them to Helm: with digits alone they are numbers.
QUANTITIES = ["2Gi", "1.5Gi", "1536Mi", "1572864Ki", "1.6G", "1600M", "1589641216", 1610612736, 1.6e9, "16e8", "1.6E9"]
QUANTITIES += ["1600000000000m", ".002T", "2.G"]


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_memory_may_be_written_in_any_way_of_kubernetes(quantity: Any) -> None:
    said = {"requests": {"cpu": 0.5, "memory": quantity}, "limits": {"memory": quantity}}
    written = container(resources=said)["resources"]
    assert written["requests"]["cpu"] == "0.5"
    assert re.fullmatch(r"[0-9.]+([eE][0-9]+|[KMGT]?i?|m)", written["limits"]["memory"])
    assert "e+" not in written["limits"]["memory"]


def test_a_grace_period_of_one_second_more_than_needed_is_enough() -> None:
    assert render(with_values(terminationGracePeriodSeconds=76))


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [
        ({}, 80),
        ({"preStopSeconds": 10}, 90),
        ({"config__drainSeconds": 100}, 105),
        ({"config__stopDelaySeconds": 90, "config__httpTimeoutSeconds": 20}, 115),
        ({"config__stopDelaySeconds": 0}, 80),
    ],
)
def test_without_a_number_the_grace_period_is_what_is_needed_and_five_seconds(
    changes: dict[str, Any], seconds: int
) -> None:
    assert pod(**changes)["spec"]["terminationGracePeriodSeconds"] == seconds


@pytest.mark.parametrize("changes", [{}, {"config__stopDelaySeconds": 0, "preStopSeconds": 45}])
def test_the_shipped_numbers_suit_an_alb_that_sends_to_pods_and_so_does_a_pause_before(changes: dict[str, Any]) -> None:
    assert render(with_values(**ALB, **changes))


def test_values_of_a_parent_chart_are_let_through() -> None:
    assert render(example() | {"global": {"anything": True}})
