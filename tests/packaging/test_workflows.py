"""The workflows run what they name, with no more rights than they need, and deploy in order."""

from __future__ import annotations

import json
import re
import shutil
import sys
from typing import Any, ClassVar

import pytest

from docs.generate import ROOT
from infra import release
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


def test_what_changes_a_stage_follows_one_another_and_nobody_who_waits_is_put_out() -> None:
    stage = {"group": "change-${{ needs.stage.outputs.stage }}", "queue": "max"}
    locked = {name: job["concurrency"] for name, job in DEPLOY["jobs"].items() if "concurrency" in job}
    assert locked == {
        "infrastructure": stage,
        "service": stage,
        "chart": {"group": "publish-chart", "queue": "max"},
    }


def test_what_waits_for_a_person_holds_no_lock() -> None:
    """A job enters its group before it is approved. In a group, one that nobody approves would stop every later one."""
    assert "concurrency" not in DEPLOY
    approved = "${{ needs.stage.outputs.stage }}"
    assert [name for name, job in DEPLOY["jobs"].items() if job.get("environment") == approved] == ["approve"]
    assert "concurrency" not in DEPLOY["jobs"]["approve"]


def test_every_part_of_make_check_runs_beside_the_others_and_the_coverage_has_a_job() -> None:
    recipe = (ROOT / "Makefile").read_text().partition("\ncheck: ")[2].partition("\n\n")[0]
    parts = {part for line in recipe.splitlines()[1:] for part in line.split() if part.isalpha()}
    matrix = workflows.load("ci.yml")["jobs"]["check"]["strategy"]["matrix"]
    on_each_machine = {part for targets in matrix["targets"] for part in targets.split()}

    assert len(matrix["targets"]) > 1
    assert {"lint", "test", "slow"} <= parts == on_each_machine
    assert [each["targets"] for each in matrix["include"]] == ["cover"]


def test_checks_of_a_pull_request_end_only_those_of_its_older_commits() -> None:
    group = workflows.load("ci.yml")["concurrency"]
    # The ref of a pull request is its own, and a run's id is nobody else's: nothing else waits or is ended.
    assert group["group"] == "ci-${{ github.event_name == 'pull_request' && github.ref || github.run_id }}"
    assert group["cancel-in-progress"] is True


def test_every_job_has_only_the_rights_that_it_names() -> None:
    assert DEPLOY["permissions"] == {}
    rights = {name: job.get("permissions", {}) for name, job in DEPLOY["jobs"].items()}
    publishing = {("packages", "write"), ("attestations", "write")}
    assert {right for granted in rights.values() for right in granted.items()} == publishing | {
        ("contents", "read"),
        ("id-token", "write"),
    }
    assert {name for name, granted in rights.items() if publishing & set(granted.items())} == {"chart"}
    assert {name for name, granted in rights.items() if "id-token" not in granted} == {"stage", "check", "approve"}


def test_nothing_changes_a_stage_before_it_is_approved() -> None:
    environments = {name: job.get("environment") for name, job in DEPLOY["jobs"].items()}
    stage = "${{ needs.stage.outputs.stage }}"
    changing = {name for name, environment in environments.items() if environment == f"{stage}-deploy"}
    assert changing == {"infrastructure", "service"}
    for name in changing:
        assert "approve" in DEPLOY["jobs"][name]["needs"]
        assert "needs.approve.result == 'success'" in DEPLOY["jobs"][name]["if"]
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
    assert set(secrets) == {"SMOKE_API_KEY"}


def test_nothing_is_deployed_that_was_not_checked_and_signed() -> None:
    needs = {name: set(job.get("needs", [])) for name, job in DEPLOY["jobs"].items()}
    assert "check" in needs["plan"]
    assert "check" in needs["image"]
    assert "check" in needs["chart"]
    assert "image" in needs["sign"]
    assert {"check", "plan", "sign"} <= needs["approve"]
    assert {"approve", "infrastructure", "sign"} <= needs["service"]
    assert "needs.sign.result == 'success'" in DEPLOY["jobs"]["service"]["if"]


def test_the_image_is_deployed_by_its_digest_with_an_sbom_and_provenance() -> None:
    build = workflows.step("image", "Build, describe and push it")["with"]
    assert build["sbom"] is True
    assert build["provenance"] == "mode=max"
    assert '"image.digest=${IMAGE#*@}"' in workflows.step("service", "Install the chart")["run"]
    image = DEPLOY["jobs"]["service"]["env"]["IMAGE"]
    assert image.endswith("@${{ needs.sign.outputs[vars.IMAGE_TARGET == 'service-ai' && 'service_ai' || 'service'] }}")


TARGETS = ("service", "service-ai")


def test_every_image_is_built_for_both_architectures_and_signed() -> None:
    stages = re.findall(r"^FROM released AS (.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert set(stages) == set(TARGETS)
    jobs = DEPLOY["jobs"]
    built = {(each["target"], each["architecture"]) for each in jobs["image"]["strategy"]["matrix"]["include"]}
    assert built == {(target, architecture) for target in TARGETS for architecture in ("amd64", "arm64")}
    assert workflows.step("image", "Build, describe and push it")["with"]["target"] == "${{ matrix.target }}"
    names = {target.replace("-", "_") for target in TARGETS}
    assert {f"{name}_{architecture}" for name in names for architecture in ("amd64", "arm64")} == set(
        jobs["image"]["outputs"]
    )
    assert (
        {each["name"] for each in jobs["sign"]["strategy"]["matrix"]["include"]}
        == names
        == set(jobs["sign"]["outputs"])
    )
    suffixes = [each["suffix"] for each in jobs["sign"]["strategy"]["matrix"]["include"]]
    assert len(set(suffixes)) == len(suffixes)  # a tag is for one image


@pytest.mark.parametrize("target", TARGETS)
def test_a_digest_is_handed_on_by_the_name_of_its_target(runner: workflows.Runner, target: str) -> None:
    hand_on = workflows.step("image", "Hand its digest on")["run"]
    built = runner.run(hand_on, NAME=f"{target}-arm64", DIGEST="sha256:1")
    assert built.outputs == {f"{target.replace('-', '_')}_arm64": "sha256:1"}


@pytest.mark.parametrize("name", [target.replace("-", "_") for target in TARGETS])
def test_one_image_of_both_architectures_goes_by_it_too(runner: workflows.Runner, name: str) -> None:
    runner.commands["docker"] = 'case "$*" in *inspect*) echo sha256:2 ;; esac'
    known = {"NAME": name, "AMD64": "sha256:0", "ARM64": "sha256:1", "TAG": "c-1-1", "REPOSITORY": "r"}
    made = runner.run(workflows.step("sign", "Make one image of both architectures")["run"], **known)
    assert made.outputs == {"digest": "sha256:2", name: "sha256:2"}
    assert "`r@sha256:2`" in made.summary
    assert any("r@sha256:0 r@sha256:1" in call for call in made.calls)


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

    def test_a_change_that_another_run_makes_is_waited_for(self, runner: workflows.Runner) -> None:
        runner.commands["sleep"] = "true"
        changing = "if [[ -e asked ]]; then echo UPDATE_COMPLETE; else touch asked; echo UPDATE_IN_PROGRESS; fi"
        ran = self._run(runner, stack=changing)
        assert ran.code == 0, ran.shown
        assert ran.outputs["wait_for"] == "stack-update-complete"
        assert "sleep 15" in ran.calls

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


class TestApproval:
    """A person is asked when there is something to be looked at, once, and never when something failed."""

    RULE = " ".join(DEPLOY["jobs"]["approve"]["if"].split())

    def _asked(self, *, plan: str, change_set: str, sign: str, event: str = "push", service: bool = True) -> bool:
        """The rule, with the operators of Python. Words of GitHub's are no names there."""
        rule = self.RULE.replace("!cancelled()", "True").replace("&&", " and ").replace("||", " or ")
        given = {
            "needs.check.result": "success",
            "needs.plan.result": plan,
            "needs.plan.outputs.change_set": change_set,
            "needs.sign.result": sign,
            "github.event_name": event,
        }
        for name, value in given.items():
            rule = rule.replace(name, repr(value))
        return bool(eval(rule.replace("!inputs.deploy_image_service", f"(not {service})"), {}))

    @pytest.mark.parametrize("change_set", ["arn:1", ""])
    def test_a_push_is_once_its_image_is_there(self, change_set: str) -> None:
        assert self._asked(plan="success", change_set=change_set, sign="success")
        assert not self._asked(plan="success", change_set=change_set, sign="failure")
        assert not self._asked(plan="success", change_set=change_set, sign="skipped")  # the image could not be built
        assert not self._asked(plan="failure", change_set="", sign="success")

    def test_by_hand_it_is_for_what_was_asked(self) -> None:
        by_hand = "workflow_dispatch"
        assert self._asked(plan="success", change_set="arn:1", sign="skipped", event=by_hand, service=False)
        assert not self._asked(plan="success", change_set="", sign="skipped", event=by_hand, service=False)
        assert self._asked(plan="skipped", change_set="", sign="success", event=by_hand)
        assert not self._asked(plan="skipped", change_set="", sign="skipped", event=by_hand)


class TestHelm:
    """One version of Helm, which is what was released, deploys, tests and publishes the chart."""

    SCRIPT = (ROOT / ".github" / "install-helm.sh").read_text()

    def _run(self, runner: workflows.Runner, script: str) -> workflows.Ran:
        runner.commands |= {
            "curl": """
while [[ $1 != --output ]]; do shift; done
mkdir linux-amd64
echo 'echo v9' > linux-amd64/helm
tar --create --gzip --file "$2" linux-amd64""",
            "sudo": 'cp "$2" installed',
        }
        return runner.run(script)

    def test_another_file_is_not_installed(self, runner: workflows.Runner) -> None:
        ran = self._run(runner, self.SCRIPT)
        assert ran.code == 1
        assert "FAILED" in ran.shown
        assert not (runner.folder / "installed").exists()

    def test_the_right_one_is(self, runner: workflows.Runner) -> None:
        of_what_came = 'checksum=$(sha256sum "$archive" | cut --delimiter " " --fields 1)\necho "$checksum'
        ran = self._run(runner, self.SCRIPT.replace('echo "$checksum', of_what_came))
        assert ran.code == 0, ran.shown
        assert (runner.folder / "installed").read_text() == "echo v9\n"

    @pytest.mark.parametrize(
        ("workflow", "job"), [("deploy.yml", "service"), ("deploy.yml", "chart"), ("ci.yml", "cluster")]
    )
    def test_it_is_there_before_it_is_called(self, workflow: str, job: str) -> None:
        scripts = [step.get("run", "") for step in workflows.load(workflow)["jobs"][job]["steps"]]
        first = next(number for number, script in enumerate(scripts) if re.search(r"^\s*helm ", script, re.MULTILINE))
        assert "bash .github/install-helm.sh" in scripts[:first]


class TestRollback:
    """What ran before runs again when the new one does not hold, and only then."""

    STEP = workflows.step("service", "Go back to what ran before")
    INSTALL = workflows.step("service", "Install the chart")

    def _run(
        self, runner: workflows.Runner, *, before: str = "7", baseline: str = "success", runs: str = "8"
    ) -> workflows.Ran:
        runner.commands |= {"helm": "true", "python3": f"echo revision={runs}"}
        return runner.run(self.STEP["run"], BEFORE=before, BASELINE=baseline, INSTALLED="8")

    def test_it_comes_after_every_test_and_only_once_something_was_installed(self) -> None:
        assert self.STEP["if"] == "failure() && steps.upgrade.outcome == 'success'"
        assert DEPLOY["jobs"]["service"]["steps"][-1] == self.STEP

    def test_the_release_goes_back_to_that_revision(self, runner: workflows.Runner) -> None:
        ran = self._run(runner)
        assert ran.code == 0, ran.shown
        (undone,) = [call for call in ran.calls if call.startswith("helm")]
        assert undone.startswith("helm rollback image-service 7 ")

    def test_a_first_installation_has_nothing_to_go_back_to(self, runner: workflows.Runner) -> None:
        ran = self._run(runner, before="")
        assert (ran.code, ran.calls) == (0, [])

    @pytest.mark.parametrize("baseline", ["failure", "skipped"])
    def test_tests_that_failed_before_say_nothing_against_a_release(
        self, runner: workflows.Runner, baseline: str
    ) -> None:
        """A key that has expired, a name that does not resolve, AWS away: what ran before would be no better."""
        ran = self._run(runner, baseline=baseline)
        assert (ran.code, ran.calls) == (0, [])
        assert "it is left as it is" in ran.shown

    def test_what_somebody_else_installed_meanwhile_is_left(self, runner: workflows.Runner) -> None:
        ran = self._run(runner, runs="9")
        assert ran.code == 0
        assert not [call for call in ran.calls if call.startswith("helm")]

    def test_the_tests_before_are_those_after_and_stop_nothing(self) -> None:
        baseline = workflows.step("service", "Test what runs")
        after = [
            workflows.step("service", name) for name in ("Test it from inside the cluster", "Test it as a client does")
        ]
        assert baseline["run"].split("\n")[:-1] == [step["run"] for step in after]
        assert baseline["continue-on-error"] is True
        assert baseline["env"] == after[1]["env"]

    @pytest.mark.parametrize(("before", "undone"), [("7", True), ("", False)])
    def test_pods_that_never_become_ready_are_taken_back_where_there_is_something_to_go_back_to(
        self, runner: workflows.Runner, before: str, undone: bool
    ) -> None:
        runner.commands |= {"helm": "true", "python3": "echo revision=8"}
        ran = runner.run(
            self.INSTALL["run"], REVISION=before, IMAGE="r/i@sha256:d", STAGE="dev", GITHUB_RUN_NUMBER="12"
        )
        assert (ran.code, ran.outputs) == (0, {"revision": "8"}), ran.shown
        (installed, _) = ran.calls
        assert installed.endswith("--rollback-on-failure") is undone
        assert "--set-string image.repository=r/i --set-string image.digest=sha256:d" in installed
        assert "--labels run=12" in installed

    def test_only_pods_are_waited_for(self) -> None:
        """Helm 4 waits for objects of operators too, unless told otherwise: a good release would be taken back."""
        scripts = [step.get("run", "") for _, step in workflows.steps()]
        commands = [
            command
            for script in scripts
            for command in re.findall(r"helm (?:install|upgrade|rollback) (?:[^\n]*\\\n)*[^\n]*", script)
        ]
        assert len(commands) >= 3
        assert [command for command in commands if "--wait=legacy" not in command or "--atomic" in command] == []
        assert release.UNDO[0] == "--wait=legacy"


class TestChart:
    """A version of the chart is published once, and is what its name says."""

    STEP = workflows.step("chart", "Publish this version, unless it is there")
    NAME = "ghcr.io/acme/charts/image-service"

    def _run(self, runner: workflows.Runner, pull: str) -> workflows.Ran:
        shutil.copytree(ROOT / "helm", runner.folder / "helm")
        chart = runner.folder / "helm" / "image-service"
        package = (
            f"tar --create --gzip --file $RUNNER_TEMP/image-service-0.1.0.tgz --directory {chart.parent} image-service"
        )
        runner.commands |= {
            "helm": f'case "$1" in\n package) {package} ;;\n pull) {pull} ;;\nesac',
            "docker": "echo sha256:d",
            "python3": f'exec {sys.executable} "$@"',
        }
        return runner.run(self.STEP["run"], GITHUB_REPOSITORY_OWNER="Acme", HOME=str(runner.folder))

    THERE = "cp $RUNNER_TEMP/image-service-0.1.0.tgz $RUNNER_TEMP/theirs"

    @pytest.mark.parametrize(
        "reason", [f"Error: {NAME}:0.1.0: not found", "Error: denied: denied", "Error: 403 Forbidden", "name unknown"]
    )
    def test_a_new_version_is_pushed(self, runner: workflows.Runner, reason: str) -> None:
        ran = self._run(runner, f"echo '{reason}' >&2; exit 1")
        assert ran.code == 0, ran.shown
        assert ran.outputs == {"name": self.NAME, "digest": "sha256:d"}
        assert any(call.endswith("image-service-0.1.0.tgz oci://ghcr.io/acme/charts") for call in ran.calls)
        said = json.loads((runner.folder / "chart.spdx.json").read_text())
        assert said["name"] == "image-service-0.1.0"

    def test_a_version_that_is_there_is_not_pushed_again_and_signed_all_the_same(
        self, runner: workflows.Runner
    ) -> None:
        """The run before may have ended between the two."""
        ran = self._run(runner, self.THERE)
        assert ran.code == 0, ran.shown
        assert ran.outputs == {"name": self.NAME, "digest": "sha256:d"}
        assert not [call for call in ran.calls if call.startswith("helm push")]

    def test_another_chart_under_a_published_version_is_refused(self, runner: workflows.Runner) -> None:
        changed = "mkdir -p old/image-service; cp -r helm/image-service old; echo x >> old/image-service/values.yaml"
        published = (
            "tar --create --gzip --file $RUNNER_TEMP/theirs/image-service-0.1.0.tgz --directory old image-service"
        )
        ran = self._run(runner, f"{changed}; {published}")
        assert ran.code == 1
        assert "Version 0.1.0 is published, and was another chart. Raise it." in ran.shown
        assert not [call for call in ran.calls if call.startswith("helm push")]

    def test_a_registry_that_cannot_be_asked_is_not_taken_for_an_empty_one(self, runner: workflows.Runner) -> None:
        ran = self._run(runner, "echo 'Error: dial tcp: i/o timeout' >&2; exit 1")
        assert ran.code == 1
        assert "i/o timeout" in ran.shown
        assert not [call for call in ran.calls if call.startswith("helm push")]

    def test_it_is_signed_and_says_how_it_was_made_and_what_is_in_it(self) -> None:
        signing = workflows.step("chart", "Sign it, and see that the signature holds")["run"]
        assert re.findall("cosign [a-z]+", signing) == ["cosign sign", "cosign verify"]
        attested = [
            step["with"]
            for step in DEPLOY["jobs"]["chart"]["steps"]
            if step.get("uses", "").startswith("actions/attest@")
        ]
        assert all(given["push-to-registry"] is True for given in attested)
        assert [given.get("sbom-path") for given in attested] == [None, "${{ runner.temp }}/chart.spdx.json"]


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

    SCRIPT = (ROOT / ".github" / "as-a-client.sh").read_text()

    def _run(self, runner: workflows.Runner, *, url: str, key: str, curl: str = "true") -> workflows.Ran:
        runner.commands |= {
            "curl": curl,
            "docker": """echo '{"uniqueId": "u-1", "status": "completed"}'; echo '{"total": {}}'""",
        }
        return runner.run(self.SCRIPT, PUBLIC_URL=url, TRUSS_IMAGE_API_KEY=key, IMAGE="r@sha256:d")

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

    def test_a_picture_that_does_not_come_through_fails_it_too(self, runner: workflows.Runner) -> None:
        runner.commands |= {"curl": "true", "docker": "echo 'the job failed' >&2; exit 1"}
        ran = runner.run(self.SCRIPT, PUBLIC_URL="https://img.example", TRUSS_IMAGE_API_KEY="k", IMAGE="r@sha256:d")
        assert ran.code == 1
        assert "the job failed" in ran.shown
