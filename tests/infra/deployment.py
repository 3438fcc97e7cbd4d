"""Deploys the template to the emulator, as `aws cloudformation` deploys it to AWS."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

import aioboto3

from processor.stores.clients import AwsCredentials
from service.local.emulator import REGION
from tests.infra import template
from tests.local_aws import ADMINISTRATOR, LocalAws
from tests.waiting import eventually

#: Rights to batches that the emulator asks for and AWS does not know.
_BATCHES = ("sqs:DeleteMessageBatch", "sqs:ChangeMessageVisibilityBatch")


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

    async def apply(self, **parameters: str) -> tuple[str, list[str], Any]:
        """Make a change set and execute it: how that ended, what it changed, and what describes the stack now."""
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
            changes = [change["ResourceChange"]["LogicalResourceId"] for change in change_set["Changes"]]
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
        return description["Stacks"][0]["StackStatus"], changes, description

    async def credentials(self, policy_arn: str) -> AwsCredentials:
        """Those of a user who has the service's policy; the emulator knows no identity of a cluster."""
        async with AsyncExitStack() as stack:
            iam = await self.client(stack, "iam")
            await iam.create_user(UserName="pod")
            await iam.attach_user_policy(UserName="pod", PolicyArn=policy_arn)
            batches = {"Effect": "Allow", "Action": list(_BATCHES), "Resource": "*"}
            await iam.put_user_policy(
                UserName="pod",
                PolicyName="emulator",
                PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [batches]}),
            )
            key = (await iam.create_access_key(UserName="pod"))["AccessKey"]
        return AwsCredentials(access_key_id=key["AccessKeyId"], secret_access_key=key["SecretAccessKey"])


def within_the_emulator(loaded: dict[str, Any]) -> dict[str, Any]:
    """The template without what the emulator cannot do.

    It speaks plain HTTP, which the `TlsOnly` statements refuse, and knows no alarm on more than one metric.
    """
    resources: Mapping[str, Any] = loaded["Resources"]
    kept = {}
    for name, resource in resources.items():
        properties = resource.get("Properties", {})
        document = properties.get("PolicyDocument", {"Statement": [None]})
        document["Statement"] = [each for each in document["Statement"] if not each or each.get("Sid") != "TlsOnly"]
        if document["Statement"] and not (resource["Type"] == "AWS::CloudWatch::Alarm" and "Metrics" in properties):
            kept[name] = resource
    return {**loaded, "Resources": kept}


async def _until(ask: Any, status: Any) -> Any:
    """What is told once nothing is in progress."""

    async def settled() -> Any:
        found = await ask()
        return None if status(found).endswith(("IN_PROGRESS", "PENDING")) else found

    return await eventually(settled, within=60, what="the end of a deployment")
