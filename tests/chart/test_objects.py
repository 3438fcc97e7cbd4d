"""What the chart makes of its values."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.scaling.autoscaler import Policy, Rules, ScalerConfig
from helm.generate import MADE_BY_THE_CHART, camel, config_variables
from helm.rendering import CHART, notes, objects, render
from service.config import Settings
from service.observe.metrics import Metrics
from tests.chart.release import (
    ALB,
    APART,
    BARE,
    EXAMPLES,
    KEDA,
    config,
    container,
    defaults,
    example,
    made,
    one,
    pod,
    with_values,
)

DEPTH = {"autoscaling__hpa__metricName": "truss_queue_depth"}
NOTHING_SCALES = {"autoscaling__hpa__enabled": False}
WATCHED = {
    "metrics__serviceMonitor": {"enabled": True},
    "metrics__prometheusRule": {"enabled": True},
    "metrics__dashboard": {"enabled": True},
}


# -- one truth with the settings


def test_the_chart_has_a_value_for_every_setting_but_its_own() -> None:
    assert set(config_variables().values()) == set(Settings.variables()) - MADE_BY_THE_CHART
    assert set(defaults()["config"]) == set(config_variables())


def test_the_service_reads_the_chart_s_defaults_as_its_own() -> None:
    settings = Settings.from_env(config())
    given = config()
    own = Settings.from_env({name: given[name] for name, field in Settings.variables().items() if field.is_required()})
    differing = {name for name in Settings.model_fields if getattr(settings, name) != getattr(own, name)}
    assert differing <= {
        *("metrics_port", "worker_threads", "stop_delay_seconds", "log_format"),  # what a pod needs
        *("stage", "aws_region", "dead_letter_queue_url", "cloudfront_distribution_id"),  # what the example says
    }


@pytest.mark.parametrize("variable", ["SOURCE_BUCKET", "S3_PUBLIC_ENDPOINT_URL", "COGNITO_JWKS_URL", "HOST"])
def test_names_of_values_and_variables_go_back_and_forth(variable: str) -> None:
    assert re.sub("([A-Z])", r"_\1", camel(variable)).upper() == variable


def test_a_large_number_is_written_without_an_exponent() -> None:
    """Helm reads numbers as floats, and Go writes those of seven digits and more with one."""
    large = 3_000_000
    said: dict[str, Any] = {
        **{
            f"autoscaling__{scaler}__{name}": large
            for scaler in ("hpa", "keda")
            for name in ("maxReplicas", "queueLength")
        },
        **{f"autoscaling__{scaler}__cpu__utilization": large for scaler in ("hpa", "keda")},
        "autoscaling__keda__pollingInterval": large,
        "replicaCount": large,
        "minReadySeconds": large,
        "revisionHistoryLimit": large,
        "preStopSeconds": large,
        "podDisruptionBudget__maxUnavailable": large,
        "reconcile__activeDeadlineSeconds": large,
        "reconcile__graceMinutes": large,
        "reconcile__enabled": True,
    }
    for scaler in (DEPTH, KEDA, NOTHING_SCALES):
        texts = yaml.safe_dump_all(objects(with_values(**{**said, **scaler})))
        assert re.findall(r"\de\+\d|\d\.0\b(?!\.)", re.sub(r"0\.0\.0\.0|checksum.*|0\.1\.0", "", texts)) == []
        assert texts.count("3000000") >= 6


@pytest.mark.parametrize(
    ("changes", "variable", "text"),
    [
        ({"config__memoryBudgetBytes": 536870912}, "MEMORY_BUDGET_BYTES", "536870912"),
        ({"config__limitRequestsPerSecond": 0.5}, "LIMIT_REQUESTS_PER_SECOND", "0.5"),
        ({"config__corsOrigins": ["https://a", "https://b"]}, "CORS_ORIGINS", "https://a,https://b"),
        ({"config__cognitoScopeMap": {"e": ["images:read"]}}, "COGNITO_SCOPE_MAP", '{"e":["images:read"]}'),
        ({"config__s3PublicEndpointUrl": "https://s3"}, "S3_PUBLIC_ENDPOINT_URL", "https://s3"),
    ],
)
def test_a_value_is_written_as_the_service_reads_it(changes: dict[str, Any], variable: str, text: str) -> None:
    assert config(**changes)[variable] == text


def test_what_is_null_is_left_to_the_service() -> None:
    assert "WEBP_EFFORT" not in config(config__webpEffort=None)


# -- pods


def test_a_pod_can_write_to_tmp_alone_and_has_no_rights_on_its_node() -> None:
    spec, only = pod()["spec"], container()
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] == 10001
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert only["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert only["volumeMounts"] == [{"name": "tmp", "mountPath": "/tmp"}]
    assert spec["volumes"] == [{"name": "tmp", "emptyDir": {"sizeLimit": "256Mi"}}]


def test_probes_never_ask_aws() -> None:
    only = container()
    paths = {name: only[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "readiness", "liveness")}
    assert paths == {"startup": "/images/live", "readiness": "/images/ready", "liveness": "/images/live"}


def test_a_pod_answers_until_the_load_balancer_forgets_it_and_may_pause_before() -> None:
    assert config()["STOP_DELAY_SECONDS"] == "45"
    assert "lifecycle" not in container()
    assert "time.sleep(7)" in container(preStopSeconds=7)["lifecycle"]["preStop"]["exec"]["command"][-1]


def test_a_change_of_the_settings_replaces_the_pods() -> None:
    def checksum(**changes: Any) -> str:
        return str(pod(**changes)["metadata"]["annotations"]["checksum/config"])

    assert checksum() == checksum()
    assert checksum() != checksum(config__webpEffort=4)


def test_an_image_is_named_by_tag_or_by_digest() -> None:
    digest = f"sha256:{'a' * 64}"
    assert container()["image"].endswith("/image-service:0.1.0")
    assert container(image__tag="1.2.3")["image"].endswith(":1.2.3")
    assert container(image__tag=20261126)["image"].endswith(":20261126")  # as `--set image.tag=20261126` gives it
    assert container(image__suffix="-ai")["image"].endswith("/image-service:0.1.0-ai")
    assert container(image__tag="1.2.3", image__suffix="-ai")["image"].endswith(":1.2.3-ai")
    assert container(image__digest=digest, image__tag="x", image__suffix="-ai")["image"].endswith(f"@{digest}")


def test_pods_are_spread_over_zones_by_their_own_labels() -> None:
    spec, labels = pod()["spec"], pod()["metadata"]["labels"]
    for constraint in spec["topologySpreadConstraints"]:
        assert constraint["whenUnsatisfiable"] == "ScheduleAnyway"
        assert constraint["labelSelector"]["matchLabels"].items() <= labels.items()


def test_a_selector_that_is_given_is_kept() -> None:
    given = {
        "maxSkew": 2,
        "topologyKey": "x",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {}},
    }
    assert pod(topologySpreadConstraints=[given])["spec"]["topologySpreadConstraints"] == [given]


def test_what_is_said_of_placement_and_environment_reaches_every_pod_of_the_image() -> None:
    said = {
        "nodeSelector": {"a": "b"},
        "tolerations": [{"key": "k", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "high",
        "image__pullSecrets": [{"name": "registry"}],
        "runtimeClassName": "gvisor",
        "dnsPolicy": "Default",
        "dnsConfig": {"nameservers": ["10.0.0.2"]},
        "hostAliases": [{"ip": "10.0.0.3", "hostnames": ["proxy"]}],
        "extraVolumes": [{"name": "ca", "configMap": {"name": "ca"}}],
        "extraVolumeMounts": [{"name": "ca", "mountPath": "/ca"}],
        "reconcile__enabled": True,
    }
    found = render(with_values(**said))
    (cron,) = found["cronjob.yaml"]
    specs = [
        found["deployment.yaml"][0]["spec"]["template"]["spec"],
        found["tests/release.yaml"][0]["spec"],
        cron["spec"]["jobTemplate"]["spec"]["template"]["spec"],
    ]
    for spec in specs:
        assert spec["nodeSelector"] == {"a": "b"}
        assert spec["tolerations"] == said["tolerations"]
        assert spec["affinity"] == said["affinity"]
        assert spec["priorityClassName"] == "high"
        assert spec["imagePullSecrets"] == [{"name": "registry"}]
        assert spec["runtimeClassName"] == "gvisor"
        assert spec["dnsPolicy"] == "Default"
        assert spec["dnsConfig"] == said["dnsConfig"]
        assert spec["hostAliases"] == said["hostAliases"]
        assert spec["volumes"][1:] == said["extraVolumes"]
        assert spec["containers"][0]["volumeMounts"][1:] == said["extraVolumeMounts"]


def test_more_environment_annotations_and_labels_are_added() -> None:
    said = {
        "extraEnv": [{"name": "A", "value": "b"}],
        "extraEnvFrom": [{"secretRef": {"name": "s"}}],
        "podAnnotations": {"note": "n"},
        "podLabels": {"team": "media"},
    }
    assert container(**said)["env"] == said["extraEnv"]
    assert container(**said)["envFrom"][1:] == said["extraEnvFrom"]
    assert pod(**said)["metadata"]["annotations"]["note"] == "n"
    assert pod(**said)["metadata"]["labels"]["team"] == "media"


def test_every_object_and_pod_carries_what_everybody_s_does() -> None:
    labels, annotations = {"cost-center": "media"}, {"owner": "media"}
    said = {"commonLabels": labels, "commonAnnotations": annotations, "reconcile__enabled": True}
    said |= {"httpRoute": {"enabled": True, "parentRefs": [{"name": "public"}]}} | ALB | KEDA | WATCHED | APART
    found = objects(with_values(**said)) + made("hpa.yaml", commonLabels=labels, commonAnnotations=annotations)
    assert len({each["kind"] for each in found}) == 15
    for each in found:
        assert each["metadata"]["labels"].items() >= labels.items()
        assert each["metadata"]["annotations"].items() >= annotations.items()
    for each in (each for each in found if each["kind"] == "Deployment"):
        template = each["spec"]["template"]["metadata"]
        assert template["labels"].items() >= labels.items()
        assert template["annotations"].items() >= annotations.items()
        assert "cost-center" not in each["spec"]["selector"]["matchLabels"]  # which can never be changed


def test_an_object_s_own_label_is_stronger_than_everybody_s() -> None:
    said = {"commonLabels": {"team": "all"}, "podLabels": {"team": "media"}, "service__labels": {"team": "edge"}}
    assert pod(**said)["metadata"]["labels"]["team"] == "media"
    assert one("service.yaml", **said)["metadata"]["labels"]["team"] == "edge"
    assert one("configmap.yaml", **said)["metadata"]["labels"]["team"] == "all"


def test_containers_may_run_before_and_beside_the_service() -> None:
    before, beside = {"name": "wait", "image": "wait:1"}, {"name": "logs", "image": "logs:1"}
    spec = pod(initContainers=[before], sidecars=[beside])["spec"]
    assert spec["initContainers"] == [before]
    assert [each["name"] for each in spec["containers"]] == ["image-service", "logs"]


def test_how_pods_are_replaced_can_be_said() -> None:
    recreate = {"type": "Recreate", "rollingUpdate": None}
    spec = one("deployment.yaml", updateStrategy=recreate, minReadySeconds=10)["spec"]
    assert (spec["strategy"], spec["minReadySeconds"]) == ({"type": "Recreate"}, 10)
    shipped = one("deployment.yaml")["spec"]
    assert shipped["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_disk_is_requested_for_what_a_pod_may_write() -> None:
    resources = container()["resources"]
    assert resources["requests"]["ephemeral-storage"] == "384Mi"
    assert resources["limits"]["ephemeral-storage"] == "1Gi"


def test_no_object_holds_a_secret() -> None:
    for file in EXAMPLES:
        assert "Secret" not in {each["kind"] for each in objects(yaml.safe_load(file.read_text()))}


# -- scaling


def test_what_scales_says_how_many_and_the_deployment_does_not() -> None:
    assert "replicas" not in one("deployment.yaml")["spec"]
    assert "replicas" not in one("deployment.yaml", **KEDA)["spec"]
    assert one("deployment.yaml", **NOTHING_SCALES)["spec"]["replicas"] == 2


def test_keda_scales_on_what_waits_and_what_is_in_work_and_on_cpu() -> None:
    spec = one("scaledobject.yaml", **KEDA)["spec"]
    queue, cpu = spec["triggers"]
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (2, 20)
    assert queue["metadata"] == {
        "queueURL": "https://sqs.eu-west-1.amazonaws.com/111122223333/truss-image-events-dev",
        "awsRegion": "eu-west-1",
        "queueLength": "3",
        "scaleOnInFlight": "true",
    }
    assert (cpu["type"], cpu["metricType"], cpu["metadata"]) == (
        *("cpu", "Utilization"),
        {"containerName": "image-service", "value": "80"},
    )
    behavior = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] == 300
    assert one("triggerauthentication.yaml", **KEDA)["spec"] == {"podIdentity": {"provider": "aws"}}


def test_keda_asks_for_the_queue_where_the_service_does() -> None:
    endpoint = "https://sqs.internal.example"
    queue, _ = one("scaledobject.yaml", **KEDA, config__awsEndpointUrl=endpoint)["spec"]["triggers"]
    assert queue["metadata"]["awsEndpoint"] == endpoint


@pytest.mark.parametrize(("cpu", "slots"), [("1500m", "3"), ("500m", "2"), ("4", "5"), (3, "4"), (None, "3")])
def test_without_a_number_of_threads_a_pod_s_slots_follow_its_limit_of_processors(cpu: object, slots: str) -> None:
    memory = {"memory": "1536Mi"}
    limits = memory if cpu is None else memory | {"cpu": cpu}
    changes = {"config__workerThreads": None, "resources": {"requests": {"cpu": "1"} | memory, "limits": limits}}

    queue, _ = one("scaledobject.yaml", **KEDA, **changes)["spec"]["triggers"]

    assert queue["metadata"]["queueLength"] == slots


@pytest.mark.parametrize(
    "changes", [{}, {"config__workerThreads": 4}, {"config__workerSlots": 9}, {"config__workerThreads": None}]
)
def test_a_pod_s_share_of_the_queue_is_its_slots(changes: dict[str, Any]) -> None:
    roomy = {"requests": {"cpu": "1", "memory": "4Gi"}}
    changes = changes | {"resources": roomy | {"limits": None}}
    variables = {"WORKER_THREADS": "2"} | config(**changes)
    slots = str(Settings.from_env(variables).slots)
    queue, _ = one("scaledobject.yaml", **KEDA, **changes)["spec"]["triggers"]
    depth, _ = one("hpa.yaml", **DEPTH, **changes)["spec"]["metrics"]
    assert (queue["metadata"]["queueLength"], depth["external"]["target"]["averageValue"]) == (slots, slots)


def test_a_pod_s_share_of_the_queue_can_be_said() -> None:
    queue, _ = one("scaledobject.yaml", **KEDA, autoscaling__keda__queueLength=7)["spec"]["triggers"]
    assert queue["metadata"]["queueLength"] == "7"


def test_the_chart_ships_what_the_simulation_justifies() -> None:
    shipped, simulated = one("scaledobject.yaml", **KEDA)["spec"], ScalerConfig()
    queue, cpu = shipped["triggers"]
    behavior = shipped["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert (
        ScalerConfig(
            min_replicas=shipped["minReplicaCount"],
            max_replicas=shipped["maxReplicaCount"],
            queue_length=int(queue["metadata"]["queueLength"]),
            cpu_percent=int(cpu["metadata"]["value"]),
            scale_up=_rules(behavior["scaleUp"]),
            scale_down=_rules(behavior["scaleDown"]),
        )
        == simulated
    )


def _rules(given: dict[str, Any]) -> Rules:
    policies = [
        Policy(kind=each["type"], value=each["value"], period_seconds=each["periodSeconds"])
        for each in given["policies"]
    ]
    return Rules(stabilization_seconds=given["stabilizationWindowSeconds"], policies=tuple(policies))


def test_keda_may_take_on_a_role_or_use_an_authentication_that_is_there() -> None:
    role = "arn:aws:iam::111122223333:role/keda"
    assert (
        one("triggerauthentication.yaml", **KEDA, autoscaling__keda__roleArn=role)["spec"]["podIdentity"]["roleArn"]
        == role
    )
    changes = {"autoscaling__keda__authenticationRef": "shared"}
    assert made("triggerauthentication.yaml", **KEDA, **changes) == []
    assert one("scaledobject.yaml", **KEDA, **changes)["spec"]["triggers"][0]["authenticationRef"] == {"name": "shared"}


def test_a_plain_hpa_scales_on_the_depth_of_the_queue_and_on_cpu() -> None:
    labels = {"autoscaling__hpa__metricLabels": {"queue": "q"}}
    spec = one("hpa.yaml", **DEPTH, **labels)["spec"]
    depth, cpu = spec["metrics"]
    assert depth["external"] == {
        "metric": {"name": "truss_queue_depth", "selector": {"matchLabels": {"queue": "q"}}},
        "target": {"type": "AverageValue", "averageValue": "3"},
    }
    assert cpu["containerResource"]["target"]["averageUtilization"] == 80
    assert made("scaledobject.yaml", **DEPTH) == []


def test_the_depth_is_that_of_the_release_s_own_queue() -> None:
    depth, _ = one("hpa.yaml", **DEPTH)["spec"]["metrics"]
    assert depth["external"]["metric"]["selector"] == {"matchLabels": {"job": "image-service"}}


def test_the_adapter_s_rule_makes_the_metric_that_the_example_names_of_what_waits_and_what_is_in_work() -> None:
    (rule,) = yaml.safe_load((CHART / "files" / "prometheus-adapter.yaml").read_text())["rules"]["external"]
    assert rule["name"]["as"] == example("hpa")["autoscaling"]["hpa"]["metricName"]
    assert rule["resources"]["overrides"] == {"namespace": {"resource": "namespace"}}
    assert 'state=~"visible|in_flight"' in rule["metricsQuery"]
    assert "max by (job, state)" in rule["metricsQuery"]  # every pod tells of the same queue


def test_a_cluster_with_nothing_on_it_takes_the_defaults_and_scales_on_cpu() -> None:
    found = objects(with_values(**BARE))
    (hpa,) = [each for each in found if each["kind"] == "HorizontalPodAutoscaler"]
    assert {each["apiVersion"] for each in found} == {
        *("v1", "apps/v1", "autoscaling/v2", "policy/v1", "networking.k8s.io/v1"),
    }
    assert [metric["type"] for metric in hpa["spec"]["metrics"]] == ["ContainerResource"]
    assert (hpa["spec"]["minReplicas"], hpa["spec"]["maxReplicas"]) == (2, 20)


def test_keda_is_told_how_often_to_look_only_by_whoever_says_it() -> None:
    """With a pod or more it looks when the autoscaler asks, and its webhook warns of a number that does nothing."""
    assert "pollingInterval" not in one("scaledobject.yaml", **KEDA)["spec"]
    said = one("scaledobject.yaml", **KEDA, autoscaling__keda__pollingInterval=5)
    assert said["spec"]["pollingInterval"] == 5


def test_a_container_beside_the_service_takes_no_part_in_what_scales_it() -> None:
    """Kubernetes knows no percentage of a pod in which one container requests no processors."""
    (metric,) = one("hpa.yaml")["spec"]["metrics"]
    assert metric["containerResource"]["container"] == container()["name"]
    _, cpu = one("scaledobject.yaml", **KEDA)["spec"]["triggers"]
    assert cpu["metadata"]["containerName"] == container()["name"]


def test_keda_is_let_in_beside_the_hpa_whose_place_it_takes() -> None:
    """KEDA's webhook would refuse its object as long as there is an HPA, which Helm removes last."""
    assert one("hpa.yaml")["metadata"]["annotations"]["validations.keda.sh/hpa-ownership"] == "false"


def test_keda_is_one_value_away_and_takes_the_place_of_the_hpa() -> None:
    kinds = {each["kind"] for each in objects(with_values(**KEDA))}
    assert "ScaledObject" in kinds
    assert "HorizontalPodAutoscaler" not in kinds


@pytest.mark.parametrize(
    ("changes", "said", "unsaid"),
    [
        (BARE, ["on CPU alone", "no metrics-server", "there are 2 pods"], ["nothing\nremoves them"]),
        ({"apiVersions": ["metrics.k8s.io/v1beta1"]}, ["on CPU alone"], ["no metrics-server"]),
        (DEPTH, ["no metrics-server", "nothing\nremoves them", "autoscaling.hpa.cpu.enabled=false"], ["on CPU alone"]),
        (DEPTH | {"autoscaling__hpa__cpu": {"enabled": False}}, [], ["no metrics-server", "on CPU alone"]),
        (KEDA, ["nothing\nremoves them", "autoscaling.keda.cpu.enabled=false"], ["on CPU alone", "Nothing scales"]),
        (KEDA | {"apiVersions": ["metrics.k8s.io/v1beta1", "keda.sh/v1alpha1"]}, [], ["no metrics-server", "Nothing"]),
        (NOTHING_SCALES, ["Nothing scales the pods: there are 2"], ["on CPU alone"]),
    ],
)
def test_what_the_cluster_lacks_for_scaling_is_told(
    changes: dict[str, Any], said: list[str], unsaid: list[str]
) -> None:
    told = notes(with_values(**changes))
    assert [words for words in said if words not in told] == []
    assert [words for words in unsaid if words in told] == []


@pytest.mark.parametrize(
    ("changes", "fallback"),
    [
        ({}, {"failureThreshold": 4, "replicas": 4}),
        ({"autoscaling__keda__minReplicas": 15}, {"failureThreshold": 4, "replicas": 20}),
        (
            {"autoscaling__keda__fallback": {"failureThreshold": 2, "replicas": 7}},
            {"failureThreshold": 2, "replicas": 7},
        ),
        ({"autoscaling__keda__fallback": None}, None),
    ],
)
def test_while_keda_cannot_read_the_queue_there_are_pods_enough(
    changes: dict[str, Any], fallback: dict[str, int] | None
) -> None:
    assert one("scaledobject.yaml", **KEDA, **changes)["spec"].get("fallback") == fallback


def test_keda_may_have_more_triggers_and_be_paused() -> None:
    cron = {"type": "cron", "metadata": {"timezone": "UTC", "start": "0 8 * * *", "end": "0 18 * * *"}}
    paused = {"autoscaling.keda.sh/paused": "true"}
    scaled = one("scaledobject.yaml", **KEDA, autoscaling__keda__triggers=[cron], autoscaling__keda__annotations=paused)
    assert [trigger["type"] for trigger in scaled["spec"]["triggers"]] == ["aws-sqs-queue", "cpu", "cron"]
    assert scaled["metadata"]["annotations"] == paused


def test_cpu_need_not_count() -> None:
    assert len(one("scaledobject.yaml", **KEDA, autoscaling__keda__cpu={"enabled": False})["spec"]["triggers"]) == 1
    assert len(one("hpa.yaml", **DEPTH, autoscaling__hpa__cpu={"enabled": False})["spec"]["metrics"]) == 1


# -- a deployment for each role


def _deployments(**changes: Any) -> dict[str, dict[str, Any]]:
    return {each["metadata"]["name"]: each for each in made("deployment.yaml", **changes)}


def _env(deployment: dict[str, Any]) -> list[dict[str, str]]:
    env: list[dict[str, str]] = deployment["spec"]["template"]["spec"]["containers"][0].get("env", [])
    return env


def test_one_deployment_does_both_unless_they_are_asked_apart() -> None:
    assert list(_deployments()) == ["image-service"]
    assert _env(_deployments()["image-service"]) == []  # the service's own default is both
    both = _deployments(**APART, extraEnv=[{"name": "A", "value": "b"}])
    assert list(both) == ["image-service", "image-service-worker"]
    assert _env(both["image-service"]) == [{"name": "ROLES", "value": "api"}, {"name": "A", "value": "b"}]
    assert _env(both["image-service-worker"]) == [
        {"name": "ROLES", "value": "worker"},
        {"name": "STOP_DELAY_SECONDS", "value": "0"},  # no load balancer has to forget it
        {"name": "A", "value": "b"},
    ]


def test_the_service_takes_the_roles_that_the_chart_gives() -> None:
    for deployment, does in zip(_deployments(**APART).values(), ((True, False), (False, True)), strict=True):
        settings = Settings.from_env(config(**APART) | {each["name"]: each["value"] for each in _env(deployment)})
        assert (settings.serves, settings.converts) == does


def test_the_api_tells_callers_what_the_workers_may_take() -> None:
    limit = {"resources": {"requests": {"memory": "3Gi"}, "limits": {"memory": "3Gi"}}}
    data = config(**APART, worker__values=limit)
    assert int(data["MEMORY_BUDGET_BYTES"]) == (3 << 30) - (256 << 20)
    assert Settings.from_env(data | {"ROLES": "api"}).told_conversion_budget_bytes == (3 << 30) - (356 << 20)


def test_parting_them_later_keeps_the_selector_of_the_first() -> None:
    """A selector cannot be changed: the upgrade would fail."""
    (before,), after = _deployments().values(), _deployments(**APART)["image-service"]
    assert before["spec"]["selector"] == after["spec"]["selector"]


def test_requests_reach_the_api_alone_and_prometheus_reaches_both() -> None:
    found = render(with_values(**APART))
    api, worker = (each["spec"]["template"]["metadata"]["labels"] for each in found["deployment.yaml"])
    selector = found["service.yaml"][0]["spec"]["selector"]
    assert selector.items() <= api.items()
    assert not selector.items() <= worker.items()
    selected = [each["spec"]["selector"].items() for each in found["service-metrics.yaml"]]
    assert [[each <= labels.items() for labels in (api, worker)] for each in selected] == [[True, False], [False, True]]
    monitor = one("servicemonitor.yaml", **WATCHED, **APART)["spec"]["selector"]["matchLabels"]
    assert all(monitor.items() <= each["metadata"]["labels"].items() for each in found["service-metrics.yaml"])
    policy = found["networkpolicy.yaml"][0]["spec"]["podSelector"]["matchLabels"]
    assert policy.items() <= api.items()
    assert policy.items() <= worker.items()


def test_each_role_has_its_own_size_scaling_probes_and_budget() -> None:
    mine = {
        "resources": {"requests": {"cpu": "4", "memory": "3Gi"}, "limits": {"memory": "3Gi"}},
        "autoscaling": {"hpa": {"maxReplicas": 60, "behavior": {"scaleDown": {"stabilizationWindowSeconds": 900}}}},
        "readinessProbe": {"periodSeconds": 20},
        "podDisruptionBudget": {"maxUnavailable": "50%"},
        "preStopSeconds": 3,
        "podLabels": {"spot": "true"},
    }
    found = render(with_values(**APART, **DEPTH, worker__values=mine))
    api, worker = found["deployment.yaml"]
    (api_pod,), (worker_pod,) = (each["spec"]["template"]["spec"]["containers"] for each in (api, worker))
    assert (api_pod["resources"]["requests"]["cpu"], worker_pod["resources"]["requests"]["cpu"]) == ("1", "4")
    assert (api_pod["readinessProbe"]["periodSeconds"], worker_pod["readinessProbe"]["periodSeconds"]) == (5, 20)
    assert worker_pod["readinessProbe"]["failureThreshold"] == 2  # what is not said is as it is for the API
    assert ("lifecycle" in api_pod, "lifecycle" in worker_pod) == (False, True)
    assert "spot" not in api["spec"]["template"]["metadata"]["labels"]
    api_hpa, worker_hpa = (each["spec"] for each in found["hpa.yaml"])
    assert (api_hpa["maxReplicas"], worker_hpa["maxReplicas"]) == (20, 60)
    assert api_hpa["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 300
    budgets = [(each["metadata"]["name"], each["spec"]["maxUnavailable"]) for each in found["poddisruptionbudget.yaml"]]
    assert budgets == [("image-service", 1), ("image-service-worker", "50%")]
    assert found["configmap.yaml"][0]["data"]["WORKER_THREADS"] == "8"  # the worker's processors count


def test_a_value_can_be_taken_away_from_the_worker() -> None:
    """False and nought are values, too."""
    said = {"podDisruptionBudget": {"enabled": False}, "preStopSeconds": 0, "autoscaling": {"hpa": {"enabled": False}}}
    found = render(with_values(**APART, worker__values=said, preStopSeconds=5))
    lives = ["lifecycle" in each["spec"]["template"]["spec"]["containers"][0] for each in found["deployment.yaml"]]
    assert lives == [True, False]
    assert [each["metadata"]["name"] for each in found["poddisruptionbudget.yaml"]] == ["image-service"]
    assert [each["metadata"]["name"] for each in found["hpa.yaml"]] == ["image-service"]
    assert [each["spec"].get("replicas") for each in found["deployment.yaml"]] == [None, 2]


def test_a_pod_that_converts_nothing_does_not_wait_for_conversions_when_it_ends() -> None:
    api, worker = _deployments(**APART).values()
    seconds = [each["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] for each in (api, worker)]
    assert seconds == [45 + 15 + 5, 75 + 5]


def test_an_image_of_its_own_replaces_no_pod_of_the_other() -> None:
    before = _deployments(**APART, worker__values={"image": {"tag": "1.0"}}, image__tag="1.0")
    after = _deployments(**APART, worker__values={"image": {"tag": "1.0"}}, image__tag="1.1")
    assert before["image-service-worker"] == after["image-service-worker"]
    assert before["image-service"] != after["image-service"]


def test_the_queue_scales_who_works_on_it_and_cpu_the_other() -> None:
    api, worker = made("scaledobject.yaml", **KEDA, **APART)
    assert [trigger["type"] for trigger in api["spec"]["triggers"]] == ["cpu"]
    assert [trigger["type"] for trigger in worker["spec"]["triggers"]] == ["aws-sqs-queue", "cpu"]
    assert "fallback" not in api["spec"]  # which KEDA refuses for CPU alone
    assert worker["spec"]["scaleTargetRef"]["name"] == "image-service-worker"
    api, worker = made("hpa.yaml", **DEPTH, **APART)
    assert [[metric["type"] for metric in each["spec"]["metrics"]] for each in (api, worker)] == [
        ["ContainerResource"],
        ["External", "ContainerResource"],
    ]


# -- disruption


def test_pods_are_kept_while_nodes_are_drained() -> None:
    spec = one("poddisruptionbudget.yaml")["spec"]
    assert (spec["maxUnavailable"], spec["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")


@pytest.mark.parametrize(
    "changes",
    [
        {**KEDA, "autoscaling__keda__minReplicas": 1},
        {"autoscaling__hpa__minReplicas": 1},
        {**NOTHING_SCALES, "replicaCount": 1},
        {"podDisruptionBudget__enabled": False},
    ],
)
def test_a_single_pod_keeps_no_node_from_being_drained(changes: dict[str, Any]) -> None:
    assert made("poddisruptionbudget.yaml", **changes) == []


def test_a_budget_of_nought_is_a_budget() -> None:
    away = {"maxUnavailable": 0}
    assert one("poddisruptionbudget.yaml", podDisruptionBudget=away)["spec"]["maxUnavailable"] == 0
    there = {"maxUnavailable": None, "minAvailable": 0}
    assert one("poddisruptionbudget.yaml", podDisruptionBudget=there)["spec"]["minAvailable"] == 0


# -- who reaches what


def test_the_role_and_templates_are_written_into_the_service_account() -> None:
    role = "arn:aws:iam::111122223333:role/r"
    account = one(
        "serviceaccount.yaml", serviceAccount__roleArn=role, serviceAccount__annotations={"of": "{{ .Release.Name }}"}
    )
    assert account["metadata"]["annotations"] == {"eks.amazonaws.com/role-arn": role, "of": "image-service"}
    assert account["automountServiceAccountToken"] is False


def test_a_service_account_that_is_there_is_used() -> None:
    changes = {"serviceAccount__create": False, "serviceAccount__name": "theirs"}
    assert made("serviceaccount.yaml", **changes) == []
    assert pod(**changes)["spec"]["serviceAccountName"] == "theirs"


def test_only_named_ports_are_let_in_and_dns_and_https_out() -> None:
    spec = one("networkpolicy.yaml")["spec"]
    assert [rule["ports"][0]["port"] for rule in spec["ingress"]] == [8080, 9090]
    assert [port["port"] for rule in spec["egress"][:2] for port in rule["ports"]] == [53, 53, 443]
    assert spec["egress"][2]["to"]  # the test of the release, to the pods alone
    assert len(spec["egress"]) == 3
    assert made("networkpolicy.yaml", networkPolicy__enabled=False) == []


def test_callers_and_prometheus_can_be_told_apart() -> None:
    caller: list[Any] = [{"ipBlock": {"cidr": "10.0.0.0/8"}}]
    prometheus: list[Any] = [{"namespaceSelector": {}}]
    spec = one("networkpolicy.yaml", networkPolicy__from=caller, networkPolicy__metricsFrom=prometheus)["spec"]
    assert [rule["from"][0] for rule in spec["ingress"]] == [caller[0], prometheus[0]]
    assert [len(rule["from"]) for rule in spec["ingress"]] == [2, 1]


def test_whoever_may_call_the_test_of_the_release_may_too() -> None:
    found = render(with_values(networkPolicy__from=[{"ipBlock": {"cidr": "10.0.0.0/8"}}]))
    test = found["tests/release.yaml"][0]["metadata"]["labels"]
    policy = found["networkpolicy.yaml"][0]["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= test.items()  # so it needs a way out, and one in
    assert policy["ingress"][0]["from"][-1]["podSelector"]["matchLabels"].items() <= test.items()
    assert policy["egress"][-1]["to"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "server"


def test_nothing_may_leave_but_to_the_service_itself() -> None:
    spec = one("networkpolicy.yaml", networkPolicy__egress=[])["spec"]
    assert [port["port"] for rule in spec["egress"] for port in rule["ports"]] == [8080]


def test_with_pod_identity_the_pods_reach_its_agent_and_lack_no_role() -> None:
    changes = {"serviceAccount__podIdentity": True}
    spec = one("networkpolicy.yaml", **changes)["spec"]
    agent = {"to": [{"ipBlock": {"cidr": "169.254.170.23/32"}}, {"ipBlock": {"cidr": "fd00:ec2::23/128"}}]}
    assert agent | {"ports": [{"protocol": "TCP", "port": 80}]} in spec["egress"]
    assert "has no IAM role" not in notes(with_values(**changes))
    assert "roleSessionSeconds has no effect" in notes(with_values(**changes))


def test_without_metrics_there_is_no_port_for_them() -> None:
    changes = {"metrics__enabled": False}
    assert [port["name"] for port in container(**changes)["ports"]] == ["http"]
    assert made("service-metrics.yaml", **changes) == []
    assert len(one("networkpolicy.yaml", **changes)["spec"]["ingress"]) == 1
    assert "METRICS_PORT" not in config(**changes)


@pytest.mark.parametrize("kind", ["ClusterIP", "NodePort", "LoadBalancer"])
def test_metrics_stay_inside_however_the_api_is_opened(kind: str) -> None:
    spec = one("service.yaml", service__type=kind)["spec"]
    assert [port["name"] for port in spec["ports"]] == ["http"]
    assert one("service-metrics.yaml", service__type=kind)["spec"]["type"] == "ClusterIP"


def test_the_service_monitor_finds_the_metrics_and_names_the_release_as_their_job() -> None:
    spec = one("servicemonitor.yaml", **WATCHED)["spec"]
    labels = one("service-metrics.yaml")["metadata"]["labels"]
    assert spec["selector"]["matchLabels"].items() <= labels.items()
    assert not spec["selector"]["matchLabels"].items() <= one("service.yaml")["metadata"]["labels"].items()
    assert labels[spec["jobLabel"]] == "image-service"


def test_an_ingress_opens_the_api_and_nothing_else() -> None:
    spec = one("ingress.yaml", ingress={"enabled": True, "className": "alb", "hosts": ["api.example.com"]})["spec"]
    ((rule,), (path,)) = spec["rules"], spec["rules"][0]["http"]["paths"]
    assert (rule["host"], path["path"], path["pathType"]) == ("api.example.com", "/images", "Prefix")
    assert path["backend"]["service"] == {"name": "image-service", "port": {"name": "http"}}


def test_the_path_of_an_ingress_can_be_said() -> None:
    said = {"enabled": True, "hosts": ["a.example"], "path": "/images*", "pathType": "ImplementationSpecific"}
    (path,) = one("ingress.yaml", ingress=said)["spec"]["rules"][0]["http"]["paths"]
    assert (path["path"], path["pathType"]) == ("/images*", "ImplementationSpecific")


def test_a_gateway_opens_the_api_and_nothing_else() -> None:
    filters = [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"remove": ["X-Tenant"]}}]
    said = {"enabled": True, "parentRefs": [{"name": "public"}], "hostnames": ["a.example"], "filters": filters}
    spec = one("httproute.yaml", httpRoute=said, service__port=8000)["spec"]
    (rule,) = spec["rules"]
    assert (spec["parentRefs"], spec["hostnames"]) == ([{"name": "public"}], ["a.example"])
    assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": "/images"}}]
    assert rule["backendRefs"] == [{"name": "image-service", "port": 8000}]
    assert rule["filters"] == filters
    assert made("httproute.yaml") == []


def test_a_load_balancer_is_made_by_whom_and_for_whom_it_is_said() -> None:
    said = {
        "type": "LoadBalancer",
        "loadBalancerClass": "service.k8s.aws/nlb",
        "loadBalancerSourceRanges": ["10.0.0.0/8"],
        "externalTrafficPolicy": "Local",
        "internalTrafficPolicy": "Cluster",
        "trafficDistribution": "PreferClose",
        "nodePort": 30080,
        "annotations": {"service.beta.kubernetes.io/aws-load-balancer-scheme": "internal"},
    }
    service = one("service.yaml", service=said)
    spec = service["spec"]
    assert {name: spec[name] for name in said if name in spec} == {
        name: value for name, value in said.items() if name not in ("nodePort", "annotations")
    }
    assert spec["ports"][0]["nodePort"] == 30080
    assert service["metadata"]["annotations"] == said["annotations"]


def test_what_prometheus_does_with_the_metrics_can_be_said() -> None:
    relabelings = [{"targetLabel": "cluster", "replacement": "a", "action": "replace"}]
    said = {"enabled": True, "namespace": "monitoring", "scrapeTimeout": "5s", "relabelings": relabelings}
    said |= {"metricRelabelings": [{"regex": "platform", "action": "labeldrop"}], "annotations": {"a": "b"}}
    monitor = one("servicemonitor.yaml", metrics__serviceMonitor=said)
    (endpoint,) = monitor["spec"]["endpoints"]
    assert (monitor["metadata"]["namespace"], monitor["metadata"]["annotations"]) == ("monitoring", {"a": "b"})
    assert monitor["spec"]["namespaceSelector"] == {"matchNames": ["truss-image"]}
    assert {name: endpoint[name] for name in said if name in endpoint} == {
        name: said[name] for name in ("scrapeTimeout", "relabelings", "metricRelabelings")
    }


def test_every_selector_finds_the_pods_of_the_server_and_no_others() -> None:
    found = render(with_values(reconcile__enabled=True))
    server = found["deployment.yaml"][0]["spec"]["template"]["metadata"]["labels"]
    job = found["cronjob.yaml"][0]["spec"]["jobTemplate"]["spec"]["template"]["metadata"]["labels"]
    test = found["tests/release.yaml"][0]["metadata"]["labels"]
    for selector in (
        found["service.yaml"][0]["spec"]["selector"],
        found["service-metrics.yaml"][0]["spec"]["selector"],
        found["poddisruptionbudget.yaml"][0]["spec"]["selector"]["matchLabels"],
        found["deployment.yaml"][0]["spec"]["selector"]["matchLabels"],
    ):
        assert selector.items() <= server.items()
        assert not selector.items() <= job.items()
        assert not selector.items() <= test.items()


# -- watching


def _metric_names() -> set[str]:
    """What the service exports, with the endings that queries use."""
    table = (CHART.parents[1] / "docs" / "metrics.md").read_text()
    documented = set(re.findall(r"`(truss_[a-z_]+)`", table))
    endings = ("", "_bucket", "_count", "_sum")
    process = {"process_resident_memory_bytes", "process_cpu_seconds_total"}
    return {name + ending for name in documented for ending in endings} | process


def _metrics_in(text: str) -> set[str]:
    return set(re.findall(r"\b((?:truss|process)_[a-z_]+)\b", text))


def test_alerts_ask_for_metrics_that_there_are() -> None:
    """What there is stands in metrics.md, which is held to what a running service tells."""
    rule = one("prometheusrule.yaml", **WATCHED)
    for alert in (each for group in rule["spec"]["groups"] for each in group["rules"]):
        assert _metrics_in(alert["expr"]) != set() or "kube_" in alert["expr"]
        assert _metrics_in(alert["expr"]) <= _metric_names()


def test_the_dashboard_shows_metrics_that_there_are() -> None:
    data = one("dashboard.yaml", **WATCHED)["data"]
    dashboard = json.loads(data["image-service.json"])
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert len(expressions) > 20
    for expression in expressions:
        assert _metrics_in(expression) <= _metric_names()
        chosen = re.findall(r"truss_\w+{([^}]*)}|process_\w+{([^}]*)}", expression)
        assert len(chosen) == len(re.findall(r"\b(?:truss|process)_", expression))
        for matchers in chosen:
            assert 'namespace="$namespace",job="$job"' in "".join(matchers)
    shown = set().union(*map(_metrics_in, expressions))
    assert {name for name in shown if name.startswith("truss_worker")} >= {"truss_worker_polling", "truss_worker_slots"}
    assert {name for name in shown if "queue" in name or "dead" in name} == {
        *("truss_queue_messages", "truss_queue_oldest_message_age_seconds", "truss_dead_letter_messages"),
    }


def test_the_dashboard_chooses_a_namespace_and_in_it_a_release() -> None:
    dashboard = json.loads(one("dashboard.yaml", **WATCHED)["data"]["image-service.json"])
    source, namespace, job = dashboard["templating"]["list"]
    assert (source["type"], namespace["name"], job["name"]) == ("datasource", "namespace", "job")
    assert '{namespace="$namespace"}' in job["query"]["query"]
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in dashboard["panels"]]
    assert len(set(places)) == len(places)
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(places)


def test_the_metrics_that_are_watched_are_those_that_the_service_exports() -> None:
    metrics = Metrics()
    exported = {family.name for family in text_string_to_metric_families(metrics.exposition()[0].decode())}
    assert {"truss_events", "truss_servable_seconds", "truss_http_request_seconds"} <= exported


def test_what_watches_is_made_when_asked_for() -> None:
    for template in ("servicemonitor.yaml", "prometheusrule.yaml", "dashboard.yaml"):
        assert made(template) == []
        assert len(made(template, **WATCHED)) == 1


# -- the rest


def test_reconcile_runs_alone_for_a_bounded_time_and_as_the_service() -> None:
    cron = one("cronjob.yaml", reconcile__enabled=True)["spec"]
    spec = cron["jobTemplate"]["spec"]
    (only,) = spec["template"]["spec"]["containers"]
    assert (cron["concurrencyPolicy"], spec["activeDeadlineSeconds"]) == ("Forbid", 3600)
    assert only["args"] == ["reconcile", "--grace", "180"]
    assert only["envFrom"] == container()["envFrom"]
    assert spec["template"]["spec"]["serviceAccountName"] == "image-service"


def test_more_objects_are_filled_in_and_added() -> None:
    as_text = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: "{{ .Release.Name }}-text"}'
    as_object = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-object"}}
    found = made("extra-objects.yaml", extraObjects=[as_text, as_object])
    assert [each["metadata"]["name"] for each in found] == ["image-service-text", "image-service-object"]


def test_the_test_of_a_release_asks_it_from_outside_its_pods() -> None:
    test = one("tests/release.yaml")
    assert test["metadata"]["annotations"]["helm.sh/hook"] == "test"
    script = test["spec"]["containers"][0]["command"][-1]
    compile(script, "test", "exec")
    assert "http://image-service:80/images/" in script


def test_names_can_be_changed_and_never_grow_too_long() -> None:
    named = render(with_values(fullnameOverride="pictures"))
    assert {
        each["metadata"]["name"].removesuffix("-test").removesuffix("-metrics")
        for found in named.values()
        for each in found
    } == {"pictures"}
    other = render(with_values(reconcile__enabled=True, **APART), release="r" * 50)
    assert all(len(each["metadata"]["name"]) <= 63 for found in other.values() for each in found)
    assert len(other["cronjob.yaml"][0]["metadata"]["name"]) <= 52


def test_long_names_that_begin_alike_stay_two() -> None:
    one_name, other_name = (
        render(with_values(), release=f"{'team-with-a-long-name-' * 2}{end}")["service.yaml"][0]["metadata"]["name"]
        for end in ("a", "b")
    )
    assert one_name != other_name
    assert len(one_name) <= 42


def test_after_the_installation_the_next_steps_are_told() -> None:
    told = notes(with_values(config__cloudfrontDistributionId=None))
    assert "truss-image keys create" in told
    assert "has no IAM role" in told
    assert "keeps what is deleted" in told
    assert "https://api.example.com/images/docs" in notes(example("locked-down"))


def test_the_chart_is_of_the_version_of_the_service() -> None:
    described = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = (CHART.parents[1] / "pyproject.toml").read_text()
    assert f'version = "{described["appVersion"]}"' in project


def test_a_private_key_is_mounted_from_its_secret_alone_and_for_reading() -> None:
    def pod(**values: Any) -> tuple[list[Any], list[Any]]:
        (document,) = [each for each in objects({**example(), **values}) if each["kind"] == "Deployment"]
        spec = document["spec"]["template"]["spec"]
        return spec["volumes"], spec["containers"][0]["volumeMounts"]

    volumes, mounts = pod(privateKeySecret="truss-image-private-key")
    (volume,) = [each for each in volumes if each["name"] == "private-key"]
    assert volume["secret"]["secretName"] == "truss-image-private-key"
    assert [item["key"] for item in volume["secret"]["items"]] == ["private-key.pem"]
    (mount,) = [each for each in mounts if each["name"] == "private-key"]
    assert (mount["mountPath"], mount["readOnly"]) == ("/etc/truss-image", True)
    assert "private-key" not in str(pod())
