"""The VPC endpoints let through what the service needs, and nothing else."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase
from itertools import product

import pytest

from tests.infra.template import ACCOUNT_ID, PATH, REGION, Stack, load

PARAMETERS = {
    "Stage": "prod",
    "VpcId": "vpc-0123456789abcdef0",
    "VpcCidr": "10.0.0.0/16",
    "SubnetIds": "subnet-0a,subnet-0b",
    "RouteTableIds": "rtb-0123456789abcdef0",
    "ClusterName": "main",
    "PrivateKeySecret": "yes",
}
#: What the pods call by themselves, by the endpoint that it goes through.
OF_THE_SERVICE = {"S3": "s3", "DynamoDb": "dynamodb", "Sqs": "sqs"}
#: There is no endpoint for CloudFront's API.
WITHOUT_ENDPOINT = {"cloudfront:CreateInvalidation"}


@pytest.fixture
def stack() -> Stack:
    return Stack(PARAMETERS, load(PATH.with_name("endpoints.yaml")))


def _endpoints(stack: Stack) -> list[str]:
    return stack.resources("AWS::EC2::VPCEndpoint")


def _rights(stack: Stack, policy: str) -> set[tuple[str, str]]:
    return {right for each in stack.statements(policy) for right in product(each["Action"], each["Resource"])}


def test_every_right_of_the_service_goes_through_an_endpoint_and_no_other_right_on_its_data(stack: Stack) -> None:
    service = _rights(Stack({"Stage": "prod"}), "ServicePolicy")
    let_through = {right for endpoint in OF_THE_SERVICE for right in _rights(stack, endpoint)}
    for action, resource in service:
        covered = any(action == allowed and fnmatchcase(resource, pattern) for allowed, pattern in let_through)
        assert covered is (action not in WITHOUT_ENDPOINT), (action, resource)
    for allowed, pattern in let_through:
        if "starport" not in pattern:
            assert any(action == allowed and fnmatchcase(resource, pattern) for action, resource in service), allowed


def test_what_scales_the_pods_sees_the_queue_through_the_same_endpoint(stack: Stack) -> None:
    scaler = _rights(Stack({"Stage": "prod", "KedaOperatorRoleName": "keda"}), "ScalerPolicy")
    assert scaler <= _rights(stack, "Sqs")


def test_nobody_of_another_account_comes_through_to_anything(stack: Stack) -> None:
    """By who asks, or by what is asked for: else an endpoint would be a way to carry data away."""
    for endpoint in _endpoints(stack):
        for statement in stack.statements(endpoint):
            asks = statement.get("Condition") == {"StringEquals": {"aws:PrincipalAccount": ACCOUNT_ID}}
            named = all(ACCOUNT_ID in resource for resource in statement["Resource"])
            assert asks or named or statement["Sid"] == "Layers", statement


def test_no_policy_lets_everything_through(stack: Stack) -> None:
    for endpoint in _endpoints(stack):
        actions = [action for statement in stack.statements(endpoint) for action in statement["Action"]]
        assert actions
        assert not any("*" in action for action in actions)


def test_gateways_are_for_what_they_are_free_for_and_names_lead_to_the_others(stack: Stack) -> None:
    for endpoint in _endpoints(stack):
        made = stack.resource(endpoint)
        gateway = endpoint in ("S3", "DynamoDb")
        assert made["VpcEndpointType"] == ("Gateway" if gateway else "Interface")
        assert ("RouteTableIds" in made) is gateway
        assert made.get("PrivateDnsEnabled", False) is not gateway


def test_the_agent_of_pod_identity_has_an_endpoint_where_pods_have_their_role_by_it(stack: Stack) -> None:
    assert stack.statements("EksAuth")[0]["Resource"] == [f"arn:aws:eks:{REGION}:{ACCOUNT_ID}:cluster/main"]
    assert "EksAuth" not in _endpoints(Stack({**PARAMETERS, "ClusterName": ""}, stack.template))


def test_the_secret_of_the_private_key_has_an_endpoint_where_pods_read_it_and_no_other_secret_has(stack: Stack) -> None:
    (allowed,) = _rights(stack, "SecretsManager")
    arn = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT_ID}:secret:truss-image/prod/*"
    assert allowed == ("secretsmanager:GetSecretValue", arn)
    assert "SecretsManager" not in _endpoints(Stack({**PARAMETERS, "PrivateKeySecret": "no"}, stack.template))


def test_the_page_names_every_endpoint(stack: Stack) -> None:
    page = (PATH.parents[2] / "docs" / "deployment.md").read_text()
    prefix = f"com.amazonaws.{REGION}."
    services = {stack.resource(endpoint)["ServiceName"].removeprefix(prefix) for endpoint in _endpoints(stack)}
    rows = re.findall(r"^\| (`.+?`) \|", page, re.MULTILINE)
    assert len(services) == 9
    assert services <= {name for row in rows for name in re.findall(r"`([\w.-]+)`", row)}


def test_only_the_vpc_reaches_the_endpoints_and_only_by_https(stack: Stack) -> None:
    (rule,) = stack.resource("SecurityGroup")["SecurityGroupIngress"]
    assert (rule["FromPort"], rule["ToPort"], rule["CidrIp"]) == (443, 443, PARAMETERS["VpcCidr"])
    assert "0.0.0.0/0" not in json.dumps(stack.resource("SecurityGroup"))
