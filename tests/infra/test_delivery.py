"""What the deployment from GitHub may do, and who may take it on."""

from __future__ import annotations

from typing import Any

import pytest
from cfnlint.api import lint_file

from tests.infra.template import ACCOUNT_ID, PATH, REGION, Stack, load

DELIVERY = PATH.with_name("delivery.yaml")
PARAMETERS = {"Stage": "prod", "GitHubRepository": "acme/images", "ClusterName": "main"}


@pytest.fixture
def stack() -> Stack:
    return Stack(PARAMETERS, load(DELIVERY))


def _statements(stack: Stack, role: str) -> list[dict[str, Any]]:
    (policy,) = stack.resource(role)["Policies"]
    found: list[dict[str, Any]] = policy["PolicyDocument"]["Statement"]
    return found


def test_the_template_has_no_finding_and_ignores_none() -> None:
    assert lint_file(DELIVERY) == []
    assert "cfn-lint" not in DELIVERY.read_text()


@pytest.mark.parametrize(("role", "environment"), [("BuildRole", "prod-build"), ("DeployRole", "prod")])
def test_a_role_is_for_one_environment_of_one_repository(stack: Stack, role: str, environment: str) -> None:
    (statement,) = stack.resource(role)["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Condition"] == {
        "StringEquals": {
            "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
            "token.actions.githubusercontent.com:sub": f"repo:acme/images:environment:{environment}",
        }
    }


def test_what_needs_no_approval_changes_nothing_that_runs(stack: Stack) -> None:
    actions = {action for each in _statements(stack, "BuildRole") for action in _listed(each["Action"])}
    assert not actions & {"cloudformation:ExecuteChangeSet", "cloudformation:UpdateStack", "eks:DescribeCluster"}


def test_what_makes_the_stack_is_taken_on_by_cloudformation_alone(stack: Stack) -> None:
    (trusted,) = stack.resource("StackRole")["AssumeRolePolicyDocument"]["Statement"]
    assert trusted["Principal"] == {"Service": "cloudformation.amazonaws.com"}
    (passes,) = [each for each in _statements(stack, "BuildRole") if each["Action"] == "iam:PassRole"]
    assert passes["Condition"] == {"StringEquals": {"iam:PassedToService": "cloudformation.amazonaws.com"}}
    assert passes["Resource"] == "<StackRole.Arn>"


def _listed(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize("role", ["BuildRole", "DeployRole", "StackRole"])
def test_no_right_is_for_everything(stack: Stack, role: str) -> None:
    for statement in _statements(stack, role):
        actions = _listed(statement["Action"])
        assert not any(action.endswith(":*") for action in actions)
        # Two calls have no resource in IAM's sense.
        assert statement["Resource"] != "*" or actions in (
            ["ecr:GetAuthorizationToken"],
            ["cognito-idp:CreateUserPool"],
        )


@pytest.mark.parametrize(("role", "sid"), [("BuildRole", "Plan"), ("DeployRole", "Execute")])
def test_a_stage_cannot_touch_the_stack_of_another(stack: Stack, role: str, sid: str) -> None:
    (of_stack,) = [each for each in _statements(stack, role) if each["Sid"] == sid]
    assert of_stack["Resource"] == f"arn:aws:cloudformation:{REGION}:{ACCOUNT_ID}:stack/truss-image-prod/*"


def test_what_was_pushed_cannot_be_replaced_and_survives_the_stack(stack: Stack) -> None:
    registry = stack.resource("Registry")
    assert registry["ImageTagMutability"] == "IMMUTABLE"
    assert registry["ImageScanningConfiguration"] == {"ScanOnPush": True}
    assert stack.template["Resources"]["Registry"]["DeletionPolicy"] == "Retain"


def test_a_provider_that_is_there_already_is_not_made_again() -> None:
    there = Stack({**PARAMETERS, "CreateGitHubProvider": "false"}, load(DELIVERY))
    assert there.resources("AWS::IAM::OIDCProvider") == []
