"""Whatever stack the template makes, its outputs install the chart and start the service."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import product

import helm_python
import pytest

from helm.generate import config_variables
from helm.rendering import render
from infra.values import OTHERS, values_of
from service.config import Settings
from tests.infra.template import Stack, load, parameters_behind

#: For each parameter that the outputs depend on, a value that is not its default.
CHOICES: Mapping[str, str] = {
    "Stage": "prod",
    "OidcProvider": "oidc.eks.eu-west-1.amazonaws.com/id/ABC123",
    "PodIdentityCluster": "my-cluster",
    "CorsOrigins": "https://a.example,https://b.example",
    "DomainName": "images.example.com",
    "CreateUserPool": "true",
    "CallbackUrls": "https://a.example/back",
    "EventBusName": "truss-events",
}
IMAGE = {"image": {"repository": "registry.example/image-service"}}


def _stack(chosen: tuple[bool, ...]) -> Stack:
    return Stack({name: value for (name, value), taken in zip(CHOICES.items(), chosen, strict=True) if taken})


def _installed(outputs: Mapping[str, str]) -> Settings:
    """The settings of a pod."""
    return Settings.from_env(render(values_of(outputs) | IMAGE)["configmap.yaml"][0]["data"])


def test_every_parameter_that_the_outputs_depend_on_is_chosen_both_ways() -> None:
    template = load()
    assert parameters_behind(template["Outputs"], template) == CHOICES.keys()


@pytest.mark.parametrize("cluster", [False, True])
@pytest.mark.parametrize("agent", [False, True])
@pytest.mark.parametrize("stage", [False, True])
def test_every_stack_installs_the_chart_and_tells_the_service_all_that_it_says(
    *, stage: bool, cluster: bool, agent: bool
) -> None:
    others = len(CHOICES) - 3
    # How pods have their role has nothing to do with the rest.
    for rest in [(False,) * others, (True,) * others] if agent else product((False, True), repeat=others):
        outputs = _stack((stage, cluster, agent, *rest)).outputs()
        assert all(type(text) is str for text in outputs.values())
        objects = render(values_of(outputs) | IMAGE)
        said = {variable: text for key, variable in config_variables().items() for text in _outputs_for(key, outputs)}
        data = objects["configmap.yaml"][0]["data"]
        assert said.items() <= data.items()
        assert Settings.from_env(data).role_session_seconds == (43200 if cluster and not agent else 3600)
        annotations = objects["serviceaccount.yaml"][0]["metadata"].get("annotations", {})
        assert annotations.get("eks.amazonaws.com/role-arn") == outputs.get("ServiceRoleArn")
        assert ("ServiceRoleArn" in outputs) is (cluster and not agent)
        assert ("169.254.170.23/32" in json.dumps(objects["networkpolicy.yaml"])) is agent


def _outputs_for(key: str, outputs: Mapping[str, str]) -> list[str]:
    return [text for name, text in outputs.items() if name not in OTHERS and name[0].lower() + name[1:] == key]


@pytest.mark.parametrize("key", sorted(config_variables()))
def test_a_value_of_any_type_could_be_an_output(key: str) -> None:
    """The text of a setting, as AWS would give it, is a value that the chart takes."""
    variable = config_variables()[key]
    text = TEXTS.get(variable) or _text_of_default(variable)
    outputs = _stack((False,) * len(CHOICES)).outputs() | {key[0].upper() + key[1:]: text}
    assert render(values_of(outputs) | IMAGE)["configmap.yaml"][0]["data"][variable] == text


#: Of settings without a default, and of those that need more than their default.
TEXTS: Mapping[str, str] = {
    "SOURCE_BUCKET": "sources",
    "PRIVATE_KEY_SECRET_ID": "truss-image/dev/private-key",
    "PROCESSED_BUCKET": "variants",
    "PROCESSING_TABLE": "table",
    "QUEUE_URL": "https://sqs.example/q",
    "DEAD_LETTER_QUEUE_URL": "https://sqs.example/q-dlq",
    "CLOUDFRONT_URL": "https://images.example",
    "CLOUDFRONT_DISTRIBUTION_ID": "E1",
    "AWS_ENDPOINT_URL": "https://aws.example",
    "S3_PUBLIC_ENDPOINT_URL": "https://s3.example",
    "CORS_ORIGINS": "https://a.example",
    "CONSOLE_SIGN_IN_URL": "https://people.example",
    "CONSOLE_CLIENT_ID": "web",
    "METADATA_KEEP": "copyright,profile",
    "WORKER_THREADS": "2",
    "WORKER_SLOTS": "3",
    "MEMORY_BUDGET_BYTES": "1073741824",
    "COGNITO_ISSUER": "https://issuer.example/pool",
    "COGNITO_JWKS_URL": "https://issuer.example/keys",
    "COGNITO_CLIENT_IDS": "one,two",
    "COGNITO_DEFAULT_TENANT": "acme",
    "COGNITO_SCOPE_MAP": '{"editors":["images:read"]}',
}


def _text_of_default(variable: str) -> str:
    value = Settings.variables()[variable].default
    if isinstance(value, tuple | frozenset):
        return ",".join(map(str, value if isinstance(value, tuple) else sorted(value)))
    return value if isinstance(value, str) else json.dumps(value)


@pytest.mark.parametrize("name", ["QueueUrl", "SourceBucket", "CloudfrontUrl"])
@pytest.mark.parametrize("text", [None, ""])
def test_an_output_that_is_missing_or_empty_is_asked_for_by_name(name: str, text: str | None) -> None:
    outputs = {**Stack().outputs(), name: text or ""}
    if text is None:
        del outputs[name]
    with pytest.raises(helm_python.HelmError, match=rf"config\.{name[0].lower()}{name[1:]}: is required"):
        render(values_of(outputs) | IMAGE)


@pytest.mark.parametrize("name", ["CorsOrigins", "RoleSessionSeconds", "ServiceRoleArn", "CloudfrontDistributionId"])
def test_an_empty_output_leaves_its_value_to_the_chart(name: str) -> None:
    without = {key: text for key, text in _stack((True,) * len(CHOICES)).outputs().items() if key != name}
    assert values_of({**without, name: ""}) == values_of(without)
    assert _installed({**without, name: ""}) == _installed(without)


def test_an_output_that_the_chart_does_not_know_stops_no_installation() -> None:
    outputs = Stack().outputs()
    assert _installed(outputs | {"WebAclArn": "arn:aws:wafv2:x"}) == _installed(outputs)
