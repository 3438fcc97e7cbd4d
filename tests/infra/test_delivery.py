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


def test_the_deploy_role_is_for_one_environment_of_one_repository(stack: Stack) -> None:
    (statement,) = stack.resource("DeployRole")["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Condition"] == {
        "StringEquals": {
            "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
            "token.actions.githubusercontent.com:sub": "repo:acme/images:environment:prod",
        }
    }


def test_what_makes_the_stack_is_taken_on_by_cloudformation_alone(stack: Stack) -> None:
    (trusted,) = stack.resource("StackRole")["AssumeRolePolicyDocument"]["Statement"]
    assert trusted["Principal"] == {"Service": "cloudformation.amazonaws.com"}
    (passes,) = [each for each in _statements(stack, "DeployRole") if each["Action"] == "iam:PassRole"]
    assert passes["Condition"] == {"StringEquals": {"iam:PassedToService": "cloudformation.amazonaws.com"}}
    assert passes["Resource"] == "<StackRole.Arn>"


@pytest.mark.parametrize("role", ["DeployRole", "StackRole"])
def test_no_right_is_for_everything(stack: Stack, role: str) -> None:
    for statement in _statements(stack, role):
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        assert not any(action.endswith(":*") for action in actions)
        # Two calls have no resource in IAM's sense.
        assert statement["Resource"] != "*" or actions in (
            ["ecr:GetAuthorizationToken"],
            ["cognito-idp:CreateUserPool"],
        )


def test_a_stage_cannot_touch_the_stack_of_another(stack: Stack) -> None:
    (of_stack,) = [each for each in _statements(stack, "DeployRole") if each["Sid"] == "Stack"]
    assert of_stack["Resource"] == f"arn:aws:cloudformation:{REGION}:{ACCOUNT_ID}:stack/truss-image-prod/*"


def test_what_was_pushed_cannot_be_replaced_and_survives_the_stack(stack: Stack) -> None:
    registry = stack.resource("Registry")
    assert registry["ImageTagMutability"] == "IMMUTABLE"
    assert registry["ImageScanningConfiguration"] == {"ScanOnPush": True}
    assert stack.template["Resources"]["Registry"]["DeletionPolicy"] == "Retain"


def test_a_provider_that_is_there_already_is_not_made_again() -> None:
    there = Stack({**PARAMETERS, "CreateGitHubProvider": "false"}, load(DELIVERY))
    assert there.resources("AWS::IAM::OIDCProvider") == []
