"""Alerts ring when they should and at no other time, and say where to read on; promtool evaluates them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from helm.rendering import CHART
from processor.recipes import STANDARD_VARIANTS
from service.observe import metrics
from tests.chart.release import defaults, example, one

ENABLED = {"metrics__prometheusRule__enabled": True}
TESTS = Path(__file__).with_name("alerts.yaml")
TROUBLESHOOTING = CHART.parents[1] / "docs" / "troubleshooting.md"
#: It comes with Prometheus, whose Debian package it is in: there is no wheel of it.
PROMTOOL = shutil.which("promtool")
#: CI has it, so there these tests are not skipped.
needs_promtool = pytest.mark.skipif(
    PROMTOOL is None and not os.environ.get("CI"), reason="promtool is not installed (Debian's package prometheus)"
)


def _rules(**changes: Any) -> list[dict[str, Any]]:
    rule = one("prometheusrule.yaml", **ENABLED, **changes)
    return [each for group in rule["spec"]["groups"] for each in group["rules"]]


def _names(**changes: Any) -> set[str]:
    return {each["alert"] for each in _rules(**changes)}


def _promtool(*arguments: str, folder: Path) -> None:
    assert PROMTOOL is not None, "promtool is not installed: apt-get install prometheus"
    done = subprocess.run([PROMTOOL, *arguments], cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _adapter_rule() -> dict[str, str]:
    """What the adapter asks Prometheus, for an HPA of the release."""
    (rule,) = yaml.safe_load((CHART / "files" / "prometheus-adapter.yaml").read_text())["rules"]["external"]
    matchers = 'job="image-service",namespace="truss-image"'
    asked = rule["metricsQuery"].replace("<<.Series>>", "truss_queue_messages").replace("<<.LabelMatchers>>", matchers)
    return {"record": rule["name"]["as"], "expr": asked}


def _write_rules(folder: Path) -> None:
    """Without annotations, which every expected alert would have to repeat."""
    rules = [{name: part for name, part in each.items() if name != "annotations"} for each in _rules()]
    groups = [{"name": "chart", "rules": rules}, {"name": "adapter", "rules": [_adapter_rule()]}]
    (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": groups}))


@pytest.mark.slow  # promtool evaluates days of series
@needs_promtool
def test_every_alert_rings_when_it_should_and_at_no_other_time(tmp_path: Path) -> None:
    _write_rules(tmp_path)
    (tmp_path / TESTS.name).write_text(TESTS.read_text())
    _promtool("test", "rules", TESTS.name, folder=tmp_path)


@needs_promtool
def test_prometheus_takes_the_rules_with_all_that_is_said_of_them(tmp_path: Path) -> None:
    added = {"alert": "Mine", "expr": 'absent(up{job="{{ .Release.Name }}"})', "labels": {"severity": "none"}}
    rule = one("prometheusrule.yaml", **ENABLED, metrics__prometheusRule__additionalRules=[added])
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rule["spec"]))
    _promtool("check", "rules", "rules.yaml", folder=tmp_path)
    assert rule["spec"]["groups"][1]["rules"] == [added | {"expr": 'absent(up{job="image-service"})'}]


def test_every_alert_is_tested_ringing_and_silent() -> None:
    ringing: set[str] = set()
    silent: set[str] = set()
    for case in yaml.safe_load(TESTS.read_text())["tests"]:
        for check in case.get("alert_rule_test", []):
            (ringing if check["exp_alerts"] else silent).add(check["alertname"])
    assert ringing == silent == _names() == set(defaults()["metrics"]["prometheusRule"]["alerts"])


def test_every_alert_leads_to_a_section_that_is_there() -> None:
    headings = re.findall(r"^## (.+)$", TROUBLESHOOTING.read_text(), re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", each).lower().replace(" ", "-") for each in headings}
    page = "https://wiki.example/troubleshooting.md"
    urls = {each["annotations"]["runbook_url"] for each in _rules(metrics__prometheusRule__runbookUrl=page)}
    assert {url.partition("#")[0] for url in urls} == {page}
    assert {url.partition("#")[2] for url in urls} <= anchors


def test_alerts_say_where_to_read_on_before_anybody_says_where_the_page_is() -> None:
    for alert in _rules():
        assert alert["annotations"]["runbook_url"].startswith("docs/troubleshooting.md#")
        assert len(alert["annotations"]["description"]) > 40


def test_what_wakes_somebody_is_no_file_of_a_user() -> None:
    """Codes of files count nowhere but in the end of an event, and that it ended is what silences an alert."""
    critical = [each for each in _rules() if each["labels"]["severity"] == "critical"]
    assert len(critical) == 5
    assert [each["alert"] for each in critical if "code" in each["expr"] or 'outcome="failed"' in each["expr"]] == []


def test_labels_that_alerts_choose_by_are_those_of_the_service() -> None:
    seconds = defaults()["metrics"]["prometheusRule"]["alerts"]["ImageServiceSlowToServe"]["seconds"]
    assert seconds in metrics._SERVABLE_BUCKETS
    assert STANDARD_VARIANTS[0].name == "thumbnail"
    expressions = " ".join(each["expr"] for each in _rules())
    assert 'variant="thumbnail"' in expressions


def test_an_alert_can_be_left_out_and_tuned() -> None:
    said = {
        "ImageServiceDeadLetters": {"enabled": False},
        "ImageServiceQueueOld": {"seconds": 60, "for": "1m", "severity": "warning"},
        "ImageServiceApiFails": {"objective": 0.9, "fastBurn": 2},
    }
    assert _names(metrics__prometheusRule__alerts=said) == _names() - {"ImageServiceDeadLetters"}
    rules = _rules(metrics__prometheusRule__alerts=said)
    (old,) = [each for each in rules if each["alert"] == "ImageServiceQueueOld"]
    assert (old["for"], old["labels"]["severity"], old["expr"].endswith("> 60")) == ("1m", "warning", True)
    fast, slow = (each for each in rules if each["alert"] == "ImageServiceApiFails")
    assert "> 0.2 and" in fast["expr"]
    assert "> 0.6 and" in slow["expr"]


def test_every_alert_carries_what_all_do() -> None:
    said = {"alertLabels": {"team": "media"}, "alertAnnotations": {"dashboard": "d"}}
    for alert in _rules(**{f"metrics__prometheusRule__{name}": value for name, value in said.items()}):
        assert alert["labels"].keys() == {"severity", "team"}
        assert alert["annotations"]["dashboard"] == "d"


def test_rules_may_stand_where_prometheus_looks() -> None:
    rule = one("prometheusrule.yaml", **ENABLED, metrics__prometheusRule__namespace="monitoring")
    assert rule["metadata"]["namespace"] == "monitoring"
    assert "namespace" not in one("prometheusrule.yaml", **ENABLED)["metadata"]


def test_alerts_ask_for_the_release_alone() -> None:
    for alert in _rules():
        asked = re.findall(
            r"(\w+)\{([^}]*)\}", re.sub(r'"[^"]*"', lambda text: text[0].replace("}", ""), alert["expr"])
        )
        assert asked != []
        for metric, matchers in asked:
            own = 'job="image-service",namespace="truss-image"' if not metric.startswith("kube_") else "image-service"
            assert own in matchers, (metric, matchers)
            assert 'namespace="truss-image"' in matchers


def test_the_example_s_alerts_are_the_defaults() -> None:
    assert example("keda")["metrics"]["prometheusRule"].keys() == {"enabled", "labels", "alertLabels"}
