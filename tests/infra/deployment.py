"""Deploys the template to the emulator, as `aws cloudformation` deploys it to AWS."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aioboto3
import jwt

from service.local.emulator import REGION
from tests.infra import template
from tests.local_aws import ADMINISTRATOR, LocalAws
from tests.waiting import eventually

#: The cluster, and the pods in it that the role is for.
OIDC_PROVIDER = "oidc.eks.us-east-1.amazonaws.com/id/ABC123"
SERVICE_ACCOUNT = "system:serviceaccount:truss-image:image-service"
#: Rights to batches that the emulator asks for and AWS does not know.
_BATCHES = ("sqs:DeleteMessageBatch", "sqs:ChangeMessageVisibilityBatch")

#: Types of resources that the emulator does not know.
_UNKNOWN = frozenset({"AWS::EKS::PodIdentityAssociation"})


class Deployment:
    """One stack on one emulator."""

    def __init__(self, aws: LocalAws, name: str) -> None:
        self.aws = aws
        self.name = name
        # The type stubs that are installed know the services of the product alone.
        self._session: Any = aioboto3.Session(
            region_name=REGION,
            aws_access_key_id=ADMINISTRATOR.access_key_id,
            aws_secret_access_key=ADMINISTRATOR.secret_access_key,
        )

    async def client(self, stack: AsyncExitStack, service: str) -> Any:
        """A client with all rights."""
        return await stack.enter_async_context(self._session.client(service, endpoint_url=self.aws.endpoint_url))

    async def apply(self, **parameters: str) -> tuple[str, Any]:
        """Make a change set and execute it: how that ended, and what describes the stack now."""
        async with AsyncExitStack() as stack:
            aws = await self.client(stack, "cloudformation")
            made = await aws.create_change_set(
                StackName=self.name,
                ChangeSetName="deploy",
                ChangeSetType="CREATE",
                TemplateBody=json.dumps(within_the_emulator(template.load())),
                Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
                Capabilities=["CAPABILITY_NAMED_IAM"],
            )
            change_set = await _until(
                lambda: aws.describe_change_set(ChangeSetName=made["Id"]), lambda found: found["Status"]
            )
            assert change_set["Status"] == "CREATE_COMPLETE", change_set.get("StatusReason")
            await aws.execute_change_set(ChangeSetName=made["Id"])
            description = await _until(
                lambda: aws.describe_stacks(StackName=self.name), lambda found: found["Stacks"][0]["StackStatus"]
            )
            events = (await aws.describe_stack_events(StackName=self.name))["StackEvents"]
        failures = [
            f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason')}"
            for event in events
            if event["ResourceStatus"].endswith("FAILED")
        ]
        assert not failures, failures
        return description["Stacks"][0]["StackStatus"], description

    async def pod(
        self, outputs: Mapping[str, str], folder: Path, service_account: str = SERVICE_ACCOUNT
    ) -> dict[str, str]:
        """What EKS puts into a pod's environment: its role, and a token that says which service account it has."""
        async with AsyncExitStack() as stack:
            iam = await self.client(stack, "iam")
            batches = {"Effect": "Allow", "Action": list(_BATCHES), "Resource": "*"}
            await iam.put_role_policy(
                RoleName=outputs["ServiceRoleArn"].rpartition("/")[2],
                PolicyName="emulator",
                PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [batches]}),
            )
        claims = {"iss": f"https://{OIDC_PROVIDER}", "aud": "sts.amazonaws.com", "sub": service_account}
        token = folder / "token"
        token.write_text(jwt.encode(claims, "the emulator does not look at the signature", algorithm="HS256"))
        return {"AWS_ROLE_ARN": outputs["ServiceRoleArn"], "AWS_WEB_IDENTITY_TOKEN_FILE": str(token)}


def within_the_emulator(loaded: dict[str, Any]) -> dict[str, Any]:
    """The template without what the emulator cannot do.

    It speaks plain HTTP, which the `TlsOnly` statements refuse, and knows no alarm on more than one metric, and no
    association of EKS Pod Identity.
    """
    resources: Mapping[str, Any] = loaded["Resources"]
    kept = {}
    for name, resource in resources.items():
        properties = resource.get("Properties", {})
        document = properties.get("PolicyDocument", {"Statement": [None]})
        document["Statement"] = [each for each in document["Statement"] if not each or each.get("Sid") != "TlsOnly"]
        unknown = resource["Type"] in _UNKNOWN or (
            resource["Type"] == "AWS::CloudWatch::Alarm" and "Metrics" in properties
        )
        if document["Statement"] and not unknown:
            kept[name] = resource
    return {**loaded, "Resources": kept}


async def _until(ask: Any, status: Any) -> Any:
    """What is told once nothing is in progress."""

    async def settled() -> Any:
        found = await ask()
        return None if status(found).endswith(("IN_PROGRESS", "PENDING")) else found

    return await eventually(settled, what="the end of a deployment")
