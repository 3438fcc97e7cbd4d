"""The workflows run what they name, with no more rights than they need, and deploy in order."""

from __future__ import annotations

import json
import re
import shutil
import sys
from typing import Any, ClassVar

import pytest

from docs.generate import ROOT
from tests.packaging import workflows

DEPLOY = workflows.load("deploy.yml")
JOBS = [
    pytest.param(job, id=f"{path.stem}-{name}")
    for path in sorted(workflows.FOLDER.glob("*.yml"))
    for name, job in workflows.load(path.name)["jobs"].items()
]
STEPS = [pytest.param(step, id=where) for where, step in workflows.steps()]


def test_every_action_is_pinned_to_a_commit_and_says_which_version_that_is() -> None:
    used = [
        line.strip().removeprefix("- ")
        for path in workflows.FOLDER.glob("*.yml")
        for line in path.read_text().splitlines()
        if re.match(r"\s*(- )?uses: (?!\./)", line)
    ]
    assert len(used) > 10
    assert [line for line in used if not re.fullmatch(r"uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)] == []


def test_an_action_has_one_version_everywhere() -> None:
    used = {step["uses"] for _, step in workflows.steps() if "uses" in step}
    assert len({name.partition("@")[0] for name in used}) == len(used)


@pytest.mark.parametrize("job", JOBS)
def test_every_job_ends_by_itself(job: Any) -> None:
    assert "uses" in job or 0 < job["timeout-minutes"] <= 60


@pytest.mark.parametrize("step", STEPS)
def test_no_script_has_anything_pasted_into_it(step: Any) -> None:
    assert "${{" not in step.get("run", "")


@pytest.mark.parametrize("step", STEPS)
def test_no_checkout_leaves_its_token_behind(step: Any) -> None:
    if step.get("uses", "").startswith("actions/checkout@"):
        assert step["with"]["persist-credentials"] is False


def test_the_deployment_has_the_name_and_the_inputs_that_people_know() -> None:
    assert DEPLOY["name"] == "Deploy Image Processing Infrastructure"
    inputs = DEPLOY["on"]["workflow_dispatch"]["inputs"]
    assert set(inputs) == {"deploy_infrastructure", "deploy_image_service"}
    assert all(given["type"] == "boolean" and given["default"] is True for given in inputs.values())
    assert DEPLOY["on"]["push"] == {"branches": ["dev", "main"]}


@pytest.mark.parametrize(("branch", "stage"), [("dev", "dev"), ("main", "prod")])
def test_a_branch_is_deployed_to_its_stage(runner: workflows.Runner, branch: str, stage: str) -> None:
    step = workflows.step("stage", "Tell the stage from the branch")
    ran = runner.run(step["run"], GITHUB_REF=f"refs/heads/{branch}")
    assert (ran.code, ran.outputs) == (0, {"stage": stage})


@pytest.mark.parametrize("ref", ["refs/heads/feature", "refs/tags/main", "refs/heads/main2"])
def test_nothing_else_is_deployed(runner: workflows.Runner, ref: str) -> None:
    step = workflows.step("stage", "Tell the stage from the branch")
    ran = runner.run(step["run"], GITHUB_REF=ref)
    assert (ran.code, ran.outputs) == (1, {})


def test_deployments_to_one_stage_follow_each_other() -> None:
    assert DEPLOY["concurrency"]["cancel-in-progress"] is False
    assert "'prod' || 'dev'" in DEPLOY["concurrency"]["group"]


def test_every_job_has_only_the_rights_that_it_names() -> None:
    assert DEPLOY["permissions"] == {}
    rights = {name: job.get("permissions", {}) for name, job in DEPLOY["jobs"].items()}
    assert {right for granted in rights.values() for right in granted.items()} == {
        ("contents", "read"),
        ("id-token", "write"),
    }
    assert {name for name, granted in rights.items() if "id-token" not in granted} == {"stage", "check"}


def test_only_what_changes_a_stage_waits_for_approval() -> None:
    environments = {name: job.get("environment") for name, job in DEPLOY["jobs"].items()}
    stage = "${{ needs.stage.outputs.stage }}"
    assert {name for name, environment in environments.items() if environment == stage} == {"infrastructure", "service"}
    before = {name for name, environment in environments.items() if isinstance(environment, dict)}
    assert before == {"plan", "image", "sign"}
    assert {environments[name]["name"] for name in before} == {f"{stage}-build"}


@pytest.mark.parametrize("name", ["plan", "image", "sign", "infrastructure", "service"])
def test_what_needs_no_approval_has_a_role_of_its_own(name: str) -> None:
    (configured,) = [
        step for step in DEPLOY["jobs"][name]["steps"] if "configure-aws-credentials" in step.get("uses", "")
    ]
    kind = "BUILD" if name in {"plan", "image", "sign"} else "DEPLOY"
    assert configured["with"]["role-to-assume"] == f"${{{{ vars.AWS_{kind}_ROLE_ARN }}}}"


def test_aws_is_reached_by_a_role_and_no_key() -> None:
    configured = [step for _, step in workflows.steps() if "configure-aws-credentials" in step.get("uses", "")]
    assert len(configured) == 5
    assert all(set(step["with"]) == {"role-to-assume", "aws-region"} for step in configured)
    secrets = re.findall(r"secrets\.(\w+)", (workflows.FOLDER / "deploy.yml").read_text())
    assert secrets == ["SMOKE_API_KEY"]


def test_nothing_is_deployed_that_was_not_checked_and_signed() -> None:
    needs = {name: set(job.get("needs", [])) for name, job in DEPLOY["jobs"].items()}
    assert "check" in needs["plan"]
    assert "check" in needs["image"]
    assert "image" in needs["sign"]
    assert {"plan", "infrastructure", "sign"} <= needs["service"]
    assert "needs.sign.result == 'success'" in DEPLOY["jobs"]["service"]["if"]


def test_the_image_is_deployed_by_its_digest_with_an_sbom_and_provenance() -> None:
    build = workflows.step("image", "Build, describe and push it")["with"]
    assert build["sbom"] is True
    assert build["provenance"] == "mode=max"
    assert '"image.digest=$DIGEST"' in workflows.step("service", "Install the chart")["run"]
    assert DEPLOY["jobs"]["service"]["env"]["DIGEST"] == "${{ needs.sign.outputs.digest }}"


class TestPlan:
    """The change set of the stack is made, and shown, before anything changes."""

    CHANGES = r"printf 'Modify\tTable\tAWS::DynamoDB::Table\tTrue\nAdd\tQueue\tAWS::SQS::Queue\tNone\n'"

    ARN = "arn:aws:cloudformation:eu-west-1:1:changeSet/run-7-1/0d2a"
    #: What the stack was made with; the last one is no parameter any more.
    BEFORE = '["Stage", "CorsOrigins", "DomainName", "CertificateId", "Gone"]'

    def _run(
        self,
        runner: workflows.Runner,
        *,
        stack: str,
        wait: str = "true",
        reason: str = "",
        role: str = "",
        parameters: str = '{"CorsOrigins": "https://a.example,https://b.example"}',
    ) -> workflows.Ran:
        folder = runner.folder / "infra" / "cloudformation"
        folder.mkdir(parents=True)
        shutil.copy(ROOT / "infra" / "cloudformation" / "image-service.yaml", folder)
        runner.commands["aws"] = f"""
case "$2" in
  describe-stacks) if [[ $* == *Parameters* ]]; then echo '{self.BEFORE}'; else {stack}; fi ;;
  create-change-set) echo '{self.ARN}' ;;
  wait) {wait} ;;
  describe-change-set) if [[ $* == *StatusReason* ]]; then echo "{reason}"; else {self.CHANGES}; fi ;;
esac"""
        return runner.run(
            workflows.step("plan", "Plan the changes, and show them")["run"],
            STAGE="dev",
            STACK="truss-image-dev",
            CHANGE_SET="run-7-1",
            STACK_PARAMETERS=parameters,
            STACK_ROLE_ARN=role,
        )

    def test_the_changes_are_in_the_summary(self, runner: workflows.Runner) -> None:
        ran = self._run(runner, stack="echo UPDATE_COMPLETE")
        assert ran.code == 0, ran.shown
        assert ran.outputs == {"change_set": self.ARN, "wait_for": "stack-update-complete"}
        assert "| Modify | `Table` | AWS::DynamoDB::Table | True |" in ran.summary
        assert "| Add | `Queue` | AWS::SQS::Queue |  |" in ran.summary

    @pytest.mark.parametrize(("role", "passed"), [("", False), ("arn:aws:iam::1:role/stack", True)])
    def test_the_stack_is_made_by_its_own_role_when_there_is_one(
        self, runner: workflows.Runner, role: str, passed: bool
    ) -> None:
        ran = self._run(runner, stack="echo UPDATE_COMPLETE", role=role)
        (created,) = [call for call in ran.calls if "create-change-set" in call]
        assert created.endswith(f"--role-arn {role}") is passed

    def test_nothing_is_executed(self, runner: workflows.Runner) -> None:
        ran = self._run(runner, stack="echo UPDATE_COMPLETE")
        assert not [call for call in ran.calls if "execute" in call or " deploy " in call]

    NAMED: ClassVar = [
        {"ParameterKey": "CorsOrigins", "ParameterValue": "https://a.example,https://b.example"},
        {"ParameterKey": "Stage", "ParameterValue": "dev"},
    ]

    def test_the_parameters_of_a_new_stack_are_those_of_the_installation_and_the_stage(
        self, runner: workflows.Runner
    ) -> None:
        self._run(runner, stack="echo REVIEW_IN_PROGRESS")
        assert json.loads((runner.folder / "parameters.json").read_text()) == self.NAMED

    def test_a_parameter_that_is_not_named_survives_an_upgrade(self, runner: workflows.Runner) -> None:
        self._run(runner, stack="echo UPDATE_COMPLETE")
        kept = [{"ParameterKey": name, "UsePreviousValue": True} for name in ("DomainName", "CertificateId")]
        assert json.loads((runner.folder / "parameters.json").read_text()) == self.NAMED + kept

    @pytest.mark.parametrize(
        "stack", ["echo REVIEW_IN_PROGRESS", "{ echo 'Stack with id x does not exist' >&2; exit 254; }"]
    )
    def test_a_stack_that_is_not_there_is_created(self, runner: workflows.Runner, stack: str) -> None:
        ran = self._run(runner, stack=stack)
        assert ran.outputs["wait_for"] == "stack-create-complete"
        assert any("--change-set-type CREATE" in call for call in ran.calls)

    def test_a_stack_that_could_not_be_created_must_be_deleted_first(self, runner: workflows.Runner) -> None:
        ran = self._run(runner, stack="echo ROLLBACK_COMPLETE")
        assert ran.code == 1
        assert "delete-stack --stack-name truss-image-dev" in ran.shown
        assert len(ran.calls) == 1

    def test_parameters_need_not_be_strings(self, runner: workflows.Runner) -> None:
        parameters = '{"AccessLogDays": 30, "CreateUserPool": true, "CorsOrigins": ["https://a", "https://b"]}'
        self._run(runner, stack="echo REVIEW_IN_PROGRESS", parameters=parameters)
        given = json.loads((runner.folder / "parameters.json").read_text())
        assert {each["ParameterKey"]: each["ParameterValue"] for each in given} == {
            "AccessLogDays": "30",
            "CreateUserPool": "true",
            "CorsOrigins": "https://a,https://b",
            "Stage": "dev",
        }

    def test_what_was_shown_is_what_is_made(self, runner: workflows.Runner) -> None:
        ran = self._run(runner, stack="echo UPDATE_COMPLETE")
        shown = [call for call in ran.calls if "describe-change-set" in call]
        assert len(shown) == 2
        assert all(self.ARN in call for call in shown)
        assert "--include-property-values" in shown[-1]

    def test_a_stack_that_cannot_be_looked_at_is_not_taken_for_a_missing_one(self, runner: workflows.Runner) -> None:
        ran = self._run(runner, stack="{ echo 'AccessDenied: no' >&2; exit 254; }")
        assert ran.code == 1
        assert "AccessDenied" in ran.shown
        assert len(ran.calls) == 1

    @pytest.mark.parametrize(
        "reason",
        [
            "The submitted information didn't contain changes. Submit different information to create a change set.",
            "No updates are to be performed.",
        ],
    )
    def test_a_plan_without_changes_succeeds_and_leaves_nothing_behind(
        self, runner: workflows.Runner, reason: str
    ) -> None:
        ran = self._run(runner, stack="echo UPDATE_COMPLETE", wait="exit 255", reason=reason)
        assert (ran.code, ran.outputs) == (0, {})
        assert "None." in ran.summary
        assert ran.calls[-1].startswith("aws cloudformation delete-change-set")

    def test_a_plan_that_cannot_be_made_fails_and_says_why(self, runner: workflows.Runner) -> None:
        ran = self._run(runner, stack="echo UPDATE_COMPLETE", wait="exit 255", reason="Template error: no such thing")
        assert (ran.code, ran.outputs) == (1, {})
        assert "Template error: no such thing" in ran.shown


class TestRollback:
    """What ran before runs again when the new one does not hold."""

    STEP = workflows.step("service", "Go back to what ran before")

    @pytest.mark.parametrize(
        ("listed", "revision"), [('[{"name": "image-service", "revision": "7"}]', "7"), ("[]", "")]
    )
    def test_the_revision_that_runs_is_remembered(self, runner: workflows.Runner, listed: str, revision: str) -> None:
        runner.commands["helm"] = f"echo '{listed}'"
        ran = runner.run(workflows.step("service", "Remember what runs")["run"])
        assert (ran.code, ran.outputs) == (0, {"revision": revision})

    def test_it_comes_after_every_test_and_only_once_something_was_installed(self) -> None:
        assert self.STEP["if"] == "failure() && steps.upgrade.outcome == 'success'"
        assert DEPLOY["jobs"]["service"]["steps"][-1] == self.STEP

    def test_the_release_goes_back_to_that_revision(self, runner: workflows.Runner) -> None:
        runner.commands["helm"] = "true"
        ran = runner.run(self.STEP["run"], REVISION="7")
        assert ran.code == 0
        assert [call.split()[:4] for call in ran.calls] == [["helm", "rollback", "image-service", "7"]]

    def test_a_first_installation_has_nothing_to_go_back_to(self, runner: workflows.Runner) -> None:
        runner.commands["helm"] = "true"
        ran = runner.run(self.STEP["run"], REVISION="")
        assert (ran.code, ran.calls) == (0, [])


class TestValues:
    """The stack's outputs, which AWS tells as text, become values of the types that the chart asks for."""

    STEP = workflows.step("service", "Take the values from the stack")

    def _run(self, runner: workflows.Runner, seconds: str) -> workflows.Ran:
        for name in (
            "infra/__init__.py",
            "infra/aws_cli.py",
            "infra/values.py",
            "helm/image-service/values.schema.json",
        ):
            path = runner.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, path)
        outputs = {"Stage": "dev", "RoleSessionSeconds": seconds}
        listed = [{"OutputKey": key, "OutputValue": value} for key, value in outputs.items()]
        runner.commands["aws"] = f"echo '{json.dumps({'Stacks': [{'Outputs': listed}]})}'"
        # A shim of a version manager would put the real AWS CLI first.
        runner.commands["python3"] = f'exec {sys.executable} "$@"'
        return runner.run(self.STEP["run"], STAGE="dev", CHART_VALUES="replicaCount: 2")

    def test_a_number_is_a_number(self, runner: workflows.Runner) -> None:
        ran = self._run(runner, "43200")
        assert ran.code == 0
        values = json.loads((runner.folder / "stack.json").read_text())
        assert values == {"config": {"stage": "dev", "roleSessionSeconds": 43200}}
        assert (runner.folder / "installation.yaml").read_text() == "replicaCount: 2\n"

    def test_what_is_no_number_ends_the_deployment_before_anything_is_installed(self, runner: workflows.Runner) -> None:
        ran = self._run(runner, "twelve hours")
        assert ran.code == 1
        assert "RoleSessionSeconds is 'twelve hours'" in ran.shown


class TestSmoke:
    """A picture goes all the way once there is a way in, and does not stay."""

    STEP = workflows.step("service", "Test it as a client does")

    def _run(self, runner: workflows.Runner, *, url: str, key: str, curl: str = "true") -> workflows.Ran:
        runner.commands |= {
            "curl": curl,
            "docker": """echo '{"uniqueId": "u-1", "status": "completed"}'; echo '{"total": {}}'""",
        }
        return runner.run(self.STEP["run"], PUBLIC_URL=url, TRUSS_IMAGE_API_KEY=key, REPOSITORY="r", DIGEST="sha256:d")

    def test_a_picture_is_uploaded_and_deleted(self, runner: workflows.Runner) -> None:
        ran = self._run(runner, url="https://img.example", key="k")
        assert ran.code == 0, ran.shown
        health, upload, delete = ran.calls
        assert health.endswith("https://img.example/images/health")
        assert "r@sha256:d" in upload
        assert "--request DELETE" in delete
        assert delete.endswith("https://img.example/images/image/u-1")

    def test_the_key_is_in_no_argument(self, runner: workflows.Runner) -> None:
        ran = self._run(runner, url="https://img.example", key="very-secret")
        assert "very-secret" not in "".join(ran.calls)

    def test_without_a_key_the_health_is_asked(self, runner: workflows.Runner) -> None:
        ran = self._run(runner, url="https://img.example", key="")
        assert ran.code == 0
        assert len(ran.calls) == 1

    def test_without_an_address_nothing_is_asked_and_that_is_said(self, runner: workflows.Runner) -> None:
        ran = self._run(runner, url="", key="")
        assert (ran.code, ran.calls) == (0, [])
        assert "PUBLIC_URL is not set" in ran.shown

    def test_a_service_that_is_not_well_fails_the_deployment(self, runner: workflows.Runner) -> None:
        assert self._run(runner, url="https://img.example", key="k", curl="exit 22").code != 0
