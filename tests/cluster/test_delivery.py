"""The deployment workflow's own steps over the real Helm and a real API server, with the rights that its role has."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from docs.generate import ROOT
from helm.rendering import RELEASE
from tests.chart.release import example
from tests.cluster.kube import Namespace, run
from tests.cluster.pods import FAILED, READY, SUCCEEDED, UNSCHEDULED, all_is_well, image, is_test, pods
from tests.packaging import workflows
from tests.waiting import eventually

GOOD, BAD = (f"111122223333.dkr.ecr.eu-west-1.amazonaws.com/image-service@sha256:{digit * 64}" for digit in "ab")


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """The job `service`, a step at a time, in a checkout."""

    namespace: Namespace
    folder: Path

    async def step(self, name: str, **environment: str) -> workflows.Ran:
        """What a step does. A wait for pods is shortened, because some never come."""
        script = workflows.step("service", name)["run"]
        script = script.replace("--namespace truss-image", f"--namespace {self.namespace.name}")
        script = script.replace("infra.release", f"infra.release --namespace {self.namespace.name}")
        script = script.replace("--timeout 10m", "--timeout 20s").replace("--timeout 5m", "--timeout 20s")
        # A shim of a version manager would need the network to itself.
        runner = workflows.Runner(self.folder, {"python3": f'exec {sys.executable} "$@"'}, seconds=300)
        shutil.rmtree(self.folder / "bin", ignore_errors=True)
        for left in ("github_output", "github_step_summary", "calls"):
            (self.folder / left).unlink(missing_ok=True)
        known = {"KUBECONFIG": str(self.folder / "kubeconfig"), "HOME": str(self.folder), "PUBLIC_URL": ""}
        return await asyncio.to_thread(runner.run, script, **known | {"TRUSS_IMAGE_API_KEY": ""} | environment)

    async def deploy(self, image: str, number: int) -> workflows.Ran:
        """The job up to the installation, as the run of this number does it."""
        before = await self.step("See what runs", GITHUB_RUN_NUMBER=str(number))
        if before.code:
            return before
        return await self.step(
            "Install the chart",
            REVISION=before.outputs["revision"],
            IMAGE=image,
            STAGE="dev",
            GITHUB_RUN_NUMBER=str(number),
        )

    async def deployed(self) -> str:
        """The image that the deployment asks for."""
        deployment = await self.namespace.get("deployment", RELEASE)
        return image(deployment["spec"]["template"])


@pytest.fixture
async def workflow(namespace: Namespace, deployer: Namespace, tmp_path: Path) -> Workflow:
    config: dict[str, Any] = json.loads(
        await run("kubectl", "config", "view", "--flatten", "--minify", "--output", "json")
    )
    config["users"][0]["user"] |= {"as": deployer.user, "as-groups": [deployer.group, "system:authenticated"]}
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
    (tmp_path / "stack.json").write_text(json.dumps(example()))
    (tmp_path / "installation.yaml").write_text(yaml.safe_dump(UNSCHEDULED))
    for name in (".github", "helm", "infra"):
        shutil.copytree(ROOT / name, tmp_path / name)
    return Workflow(namespace=namespace, folder=tmp_path)


def only_good(pod: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Pods of the bad image never become ready."""
    return None if image(pod) == BAD else all_is_well(pod)


async def test_a_good_release_stays_whatever_operators_say_of_their_objects(workflow: Workflow) -> None:
    """KEDA cannot read the queue: that is no fault of the release."""
    values = dict(UNSCHEDULED)
    if workflow.namespace.serves("keda.sh/v1alpha1"):
        values["autoscaling"] = {"keda": {"enabled": True}}
    (workflow.folder / "installation.yaml").write_text(yaml.safe_dump(values))
    async with pods(workflow.namespace, all_is_well):
        first = await workflow.deploy(GOOD, 1)
        assert first.outputs == {"revision": "1"}, first.shown
        again = await workflow.deploy(GOOD, 1)  # the job is run again
        assert again.outputs == {"revision": "2"}, again.shown
        tested = await workflow.step("Test it from inside the cluster")
    assert tested.code == 0, tested.shown
    assert await workflow.deployed() == GOOD


async def test_pods_that_never_become_ready_bring_back_what_ran(workflow: Workflow) -> None:
    async with pods(workflow.namespace, only_good):
        await workflow.deploy(GOOD, 1)
        failed = await workflow.deploy(BAD, 2)
        assert failed.code != 0
        assert await workflow.deployed() == GOOD
        looked = await workflow.step("See what runs", GITHUB_RUN_NUMBER="3")
    assert looked.code == 0, looked.shown


async def test_a_first_installation_that_fails_is_left_and_the_next_run_mends_it(workflow: Workflow) -> None:
    async with pods(workflow.namespace, only_good):
        failed = await workflow.deploy(BAD, 1)
        assert failed.code != 0
        assert await workflow.deployed() == BAD
        mended = await workflow.deploy(GOOD, 2)
    assert mended.code == 0, mended.shown
    assert await workflow.deployed() == GOOD


async def test_a_test_that_fails_brings_back_what_ran(workflow: Workflow) -> None:
    def failing(pod: Mapping[str, Any]) -> Mapping[str, Any]:
        return (FAILED if image(pod) == BAD else SUCCEEDED) if is_test(pod) else READY

    async with pods(workflow.namespace, failing):
        await workflow.deploy(GOOD, 1)
        baseline = await workflow.step("Test what runs")
        assert baseline.code == 0, baseline.shown
        installed = await workflow.deploy(BAD, 2)
        tested = await workflow.step("Test it from inside the cluster")
        assert tested.code != 0
        undone = await workflow.step(
            "Go back to what ran before", BASELINE="success", BEFORE="1", INSTALLED=installed.outputs["revision"]
        )
    assert undone.code == 0, undone.shown
    assert await workflow.deployed() == GOOD


async def test_what_a_job_left_behind_that_died_is_undone_by_the_next(workflow: Workflow) -> None:
    async with pods(workflow.namespace, only_good):
        await workflow.deploy(GOOD, 1)
        dying = await asyncio.create_subprocess_exec(
            *("helm", "--namespace", workflow.namespace.name, "upgrade", RELEASE, "helm/image-service"),
            *("--values", "stack.json", "--values", "installation.yaml"),
            *("--set-string", f"image.repository={BAD.partition('@')[0]}"),
            *("--set-string", f"image.digest={BAD.partition('@')[2]}", "--wait=legacy"),
            cwd=workflow.folder,
            stdout=asyncio.subprocess.DEVNULL,
        )
        try:
            await eventually(lambda: _is(workflow, BAD), within=60, what="a change that is under way")
        finally:
            dying.kill()
            await dying.wait()
        refused = await workflow.step("Install the chart", REVISION="1", IMAGE=GOOD, STAGE="dev", GITHUB_RUN_NUMBER="2")
        assert "another operation (install/upgrade/rollback) is in progress" in refused.shown
        after = await workflow.deploy(GOOD, 2)
    assert after.code == 0, after.shown
    assert await workflow.deployed() == GOOD


async def _is(workflow: Workflow, image: str) -> bool:
    return await workflow.deployed() == image


async def test_a_run_that_was_approved_late_changes_nothing(workflow: Workflow) -> None:
    async with pods(workflow.namespace, all_is_well):
        await workflow.deploy(GOOD, 8)
        late = await workflow.deploy(BAD, 7)
    assert late.code == 1
    assert "Run 8 of the workflow has deployed already" in late.shown
    assert await workflow.deployed() == GOOD


async def test_replicas_that_were_set_by_hand_stop_no_deployment(workflow: Workflow) -> None:
    unscaled = UNSCHEDULED | {"autoscaling": {"hpa": {"enabled": False}}}
    (workflow.folder / "installation.yaml").write_text(yaml.safe_dump(unscaled))
    async with pods(workflow.namespace, all_is_well):
        await workflow.deploy(GOOD, 1)
        await workflow.namespace.kubectl("scale", "deployment", RELEASE, "--replicas", "5")
        after = await workflow.deploy(GOOD, 2)
    assert after.code == 0, after.shown
    assert (await workflow.namespace.get("deployment", RELEASE))["spec"]["replicas"] == 2
