"""What the deployment from GitHub may do, and who may take it on."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from itertools import product
from typing import Any

import pytest

from tests.infra.template import ACCOUNT_ID, PATH, REGION, Stack, load

DELIVERY = PATH.with_name("delivery.yaml")
PARAMETERS = {"Stage": "prod", "GitHubRepository": "acme/images", "ClusterName": "main"}

#: These have no resource in IAM's sense.
WITHOUT_RESOURCE = {"ecr:GetAuthorizationToken", "cognito-idp:CreateUserPool", "cognito-idp:DescribeUserPoolDomain"}


@pytest.fixture
def stack() -> Stack:
    return Stack(PARAMETERS, load(DELIVERY))


def _statements(stack: Stack, role: str) -> list[dict[str, Any]]:
    (policy,) = stack.resource(role)["Policies"]
    found: list[dict[str, Any]] = policy["PolicyDocument"]["Statement"]
    return found


@pytest.mark.parametrize(("role", "environment"), [("BuildRole", "prod-build"), ("DeployRole", "prod-deploy")])
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
        assert statement["Resource"] != "*" or set(actions) <= WITHOUT_RESOURCE


@pytest.mark.parametrize(("role", "sid"), [("BuildRole", "Plan"), ("DeployRole", "Execute")])
def test_a_stage_cannot_touch_the_stack_of_another(stack: Stack, role: str, sid: str) -> None:
    (of_stack,) = [each for each in _statements(stack, role) if each["Sid"] == sid]
    assert of_stack["Resource"] == f"arn:aws:cloudformation:{REGION}:{ACCOUNT_ID}:stack/truss-image-prod/*"


def test_no_template_can_make_a_role_that_may_more_than_the_service(stack: Stack) -> None:
    statements = _statements(stack, "StackRole")
    for statement in statements:
        actions = set(_listed(statement["Action"]))
        if actions & {"iam:CreateRole", "iam:PutRolePermissionsBoundary"}:
            assert statement["Condition"] == {"StringEquals": {"iam:PermissionsBoundary": "<ServiceBoundary>"}}
        if "iam:AttachRolePolicy" in actions:
            assert statement["Condition"]["ArnEquals"]["iam:PolicyARN"].startswith(
                f"arn:aws:iam::{ACCOUNT_ID}:policy/truss-image-service-prod-"
            )
    everything = {action for statement in statements for action in _listed(statement["Action"])}
    assert not everything & {"iam:PutRolePolicy", "iam:DeleteRolePermissionsBoundary", "iam:CreateUser"}


def test_the_stack_passes_on_the_role_of_the_service_alone_and_to_its_pods_alone(stack: Stack) -> None:
    passing = [each for each in _statements(stack, "StackRole") if "iam:PassRole" in _listed(each["Action"])]
    assert passing == [
        {
            "Sid": "ServiceRoleForPods",
            "Effect": "Allow",
            "Action": "iam:PassRole",
            "Resource": f"arn:aws:iam::{ACCOUNT_ID}:role/truss-image-service-prod-{REGION}",
            "Condition": {"StringEquals": {"iam:PassedToService": "pods.eks.amazonaws.com"}},
        }
    ]


def test_the_stack_associates_pods_with_roles_in_one_cluster_alone(stack: Stack) -> None:
    (associates,) = [each for each in _statements(stack, "StackRole") if each["Sid"] == "PodIdentity"]
    cluster = f"arn:aws:eks:{REGION}:{ACCOUNT_ID}"
    assert associates["Resource"] == [f"{cluster}:cluster/main", f"{cluster}:podidentityassociation/main/*"]


def test_the_boundary_holds_every_right_of_the_service(stack: Stack) -> None:
    boundary = [(action, each["Resource"]) for each in stack.statements("ServiceBoundary") for action in each["Action"]]
    service = Stack({"Stage": "prod", "EventBusName": "default"})
    for statement in service.statements("ServicePolicy"):
        for action, resource in product(statement["Action"], statement["Resource"]):
            covering = [pattern for allowed, patterns in boundary if allowed == action for pattern in patterns]
            assert any(fnmatchcase(resource, pattern) for pattern in covering), (action, resource)
    secret = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT_ID}:secret:truss-image/prod/private-key-AbCdEf"
    (held,) = [patterns for action, patterns in boundary if action == "secretsmanager:GetSecretValue"]
    assert [fnmatchcase(secret, pattern) for pattern in held] == [True]


def test_only_a_role_that_is_named_is_given_the_right_to_see_the_queue(stack: Stack) -> None:
    assert "Scaler" not in {each["Sid"] for each in _statements(stack, "StackRole")}
    named = Stack({**PARAMETERS, "KedaOperatorRoleName": "keda"}, load(DELIVERY))
    (scaler,) = [each for each in _statements(named, "StackRole") if each["Sid"] == "Scaler"]
    assert scaler["Resource"] == f"arn:aws:iam::{ACCOUNT_ID}:role/keda"


@pytest.mark.parametrize("name", ["acme/images", "acme@12/images@345"])
def test_a_repository_is_named_as_its_tokens_name_it(stack: Stack, name: str) -> None:
    assert re.fullmatch(stack.template["Parameters"]["GitHubRepository"]["AllowedPattern"], name)


def test_what_was_pushed_cannot_be_replaced_and_survives_the_stack(stack: Stack) -> None:
    registry = stack.resource("Registry")
    assert registry["ImageTagMutability"] == "IMMUTABLE"
    assert registry["ImageScanningConfiguration"] == {"ScanOnPush": True}
    assert stack.template["Resources"]["Registry"]["DeletionPolicy"] == "RetainExceptOnCreate"


def test_a_provider_that_is_there_already_is_not_made_again() -> None:
    there = Stack({**PARAMETERS, "CreateGitHubProvider": "false"}, load(DELIVERY))
    assert there.resources("AWS::IAM::OIDCProvider") == []
