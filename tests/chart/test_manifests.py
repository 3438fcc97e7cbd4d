"""Whatever the chart renders is valid for Kubernetes and its operators, and what is generated of it is fresh."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import helm_python
import kubernetes_validate
import pytest
import yaml

from helm.generate import KUSTOMIZE, generated, manifests
from helm.rendering import CHART, Document, objects
from tests.chart.release import EXAMPLES, example

#: The oldest that the chart is for, up to the newest whose schema is at hand.
VERSIONS = [f"1.{minor}" for minor in range(29, int(kubernetes_validate.latest_version().split(".")[1]) + 1)]
#: The resources that Kubernetes itself does not know, and where their models are.
OPERATORS = {
    ("keda.sh/v1alpha1", "ScaledObject"): "cloudcoil.models.keda.v1alpha1",
    ("keda.sh/v1alpha1", "TriggerAuthentication"): "cloudcoil.models.keda.v1alpha1",
    ("monitoring.coreos.com/v1", "ServiceMonitor"): "cloudcoil.models.prometheus_operator.v1",
    ("monitoring.coreos.com/v1", "PrometheusRule"): "cloudcoil.models.prometheus_operator.v1",
    ("gateway.networking.k8s.io/v1", "HTTPRoute"): "tests.chart.gateway",
}
SNAPSHOT = Path(__file__).parent / "snapshots" / "default.yaml"


@pytest.fixture(autouse=True, scope="module")
def definitions_are_read_once() -> Iterator[None]:
    """The library reads a file of a megabyte for each object."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kubernetes_validate.utils, "schema_contents", cache(kubernetes_validate.utils.schema_contents))
        yield


def _is_an_operators(document: Document) -> bool:
    return (document["apiVersion"], document["kind"]) in OPERATORS


def _missing(given: Any, kept: Any, path: str = "") -> list[str]:
    """What was given and is not kept: fields that the model does not know."""
    if isinstance(given, dict):
        return [
            lost
            for name, value in given.items()
            for lost in ([f"{path}.{name}"] if name not in kept else _missing(value, kept[name], f"{path}.{name}"))
        ]
    if isinstance(given, list):
        return [lost for one, other in zip(given, kept, strict=True) for lost in _missing(one, other, f"{path}[]")]
    return []


def _check_by_operator(document: Document) -> None:
    models = import_module(OPERATORS[document["apiVersion"], document["kind"]])
    model = getattr(models, document["kind"]).model_validate(document)
    assert _missing(document, model.model_dump(mode="json", by_alias=True, exclude_unset=True)) == []


def _check(document: Document, version: str) -> None:
    if _is_an_operators(document):
        _check_by_operator(document)
    else:
        kubernetes_validate.validate(document, version, strict=True)


def test_the_range_of_versions_is_what_the_chart_says() -> None:
    assert VERSIONS[0] == "1.29"
    assert len(VERSIONS) >= 9
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["kubeVersion"] == ">=1.29.0-0"


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_every_example_lints(file: Path) -> None:
    found = helm_python.lint(str(CHART), yaml.safe_load(file.read_text()), strict=True)
    assert found["errors"] == []
    assert [message["error"] for message in found["messages"]] == ["icon is recommended"]


@pytest.mark.parametrize(
    "version", [VERSIONS[-1], *(pytest.param(each, marks=pytest.mark.slow) for each in VERSIONS[:-1])]
)
@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_every_object_of_every_example_is_valid(file: Path, version: str) -> None:
    found = objects(yaml.safe_load(file.read_text()))
    assert len(found) >= 8
    for document in found:
        _check(document, version)


@pytest.mark.parametrize(
    ("kind", "break_it"),
    [
        ("ScaledObject", lambda document: document["spec"].update(bogus=1)),
        ("ScaledObject", lambda document: document["spec"].pop("scaleTargetRef")),
        ("ScaledObject", lambda document: document["spec"]["triggers"][0]["metadata"].update(queueLength=3)),
        ("TriggerAuthentication", lambda document: document["spec"]["podIdentity"].update(provider="nobody")),
        ("ServiceMonitor", lambda document: document["spec"]["endpoints"][0].update(prot="metrics")),
        ("PrometheusRule", lambda document: document["spec"]["groups"][0]["rules"][0].pop("expr")),
        ("HTTPRoute", lambda document: document["spec"]["rules"][0].update(backend=[])),
        ("HTTPRoute", lambda document: document["spec"]["rules"][0]["matches"][0]["path"].update(type="Prefix")),
    ],
)
def test_what_an_operator_would_refuse_is_noticed(kind: str, break_it: Any) -> None:
    found = objects(example("keda")) + [each for each in objects(example("corporate")) if each["kind"] == "HTTPRoute"]
    (document,) = [each for each in found if each["kind"] == kind]
    break_it(document)
    with pytest.raises((ValueError, AssertionError)):
        _check_by_operator(document)


def test_what_kubernetes_would_refuse_is_noticed() -> None:
    (document,) = [each for each in objects(example()) if each["kind"] == "Deployment"]
    document["spec"]["template"]["spec"]["containers"][0]["prots"] = []
    with pytest.raises(kubernetes_validate.ValidationError):
        _check(document, "1.29")


def test_the_defaults_render_as_they_did() -> None:
    """After a change that is meant: `python -m tests.chart.snapshot`."""
    assert list(yaml.safe_load_all(SNAPSHOT.read_text())) == objects(example())


def test_what_is_generated_of_the_chart_is_fresh() -> None:
    for file, content in generated().items():
        assert file.read_text() == content, f"run `make docs`: {file.name}"


def test_what_kustomize_applies_is_fresh() -> None:
    for file, content in manifests().items():
        assert file.read_text() == content, f"run `make docs`: {file.name}"


def test_the_chart_can_be_packaged_with_all_that_it_needs_and_no_more(tmp_path: Path) -> None:
    archive = helm_python.package(str(CHART), destination=str(tmp_path))
    with tarfile.open(archive) as packed:
        names = {Path(name).relative_to("image-service") for name in packed.getnames()}
    needed = {file.relative_to(CHART) for file in CHART.rglob("*") if file.is_file() and file.parent.name != "ci"}
    assert names == needed
    with helm_python.Chart.load_archive(Path(archive).read_bytes()) as chart:
        assert "image-service/templates/deployment.yaml" in chart.render(example())


def _granted() -> dict[tuple[str, str], set[str]]:
    """The verbs that whoever deploys has, by group and resource."""
    found = list(yaml.safe_load_all((KUSTOMIZE / "deployer.yaml").read_text()))
    (role,) = [each for each in found if each["kind"] == "Role"]
    return {
        (group, resource): set(rule["verbs"])
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


def test_who_deploys_may_make_every_object_of_the_chart() -> None:
    """`tests/cluster/` tries each right on a cluster. Here no kind of object is forgotten."""
    made = {
        (document["apiVersion"].rpartition("/")[0], document["kind"])
        for file in EXAMPLES
        for document in objects(yaml.safe_load(file.read_text()))
    }
    assert len(made) == 15
    plurals = {"Ingress": "ingresses", "NetworkPolicy": "networkpolicies"}
    needed = {(group, plurals.get(kind, f"{kind.lower()}s")) for group, kind in made}
    granted = _granted()
    assert {each for each in needed if not {"create", "patch", "delete"} <= granted.get(each, set())} == set()
    of_helm = {("", "secrets"), ("apps", "replicasets"), ("", "pods/log")}
    assert granted.keys() - needed == of_helm


def test_who_deploys_may_do_nothing_outside_its_namespace_and_nothing_by_a_wildcard() -> None:
    found = list(yaml.safe_load_all((KUSTOMIZE / "deployer.yaml").read_text()))
    for document in found:
        _check(document, VERSIONS[0])
    assert {each["metadata"].get("namespace", "truss-image") for each in found} == {"truss-image"}
    assert {each["kind"] for each in found} == {"Namespace", "Role", "RoleBinding"}
    assert {each["roleRef"]["kind"] for each in found if each["kind"] == "RoleBinding"} == {"Role"}
    assert "*" not in {name for key, verbs in _granted().items() for name in (*key, *verbs)}


def test_kustomize_applies_every_file_and_nothing_that_only_helm_understands() -> None:
    kustomization = yaml.safe_load((KUSTOMIZE / "kustomization.yaml").read_text())
    assert kustomization["resources"] == ["namespace.yaml", "image-service.yaml"]
    found = [each for name in kustomization["resources"] for each in yaml.safe_load_all((KUSTOMIZE / name).read_text())]
    assert {each["kind"] for each in found} >= {"Namespace", "Deployment", "Service", "ServiceAccount", "ConfigMap"}
    assert "helm.sh" not in json.dumps(found)
    for document in found:
        _check(document, VERSIONS[0])
