"""Creates the AWS resources that the service needs, for the local mode and for tests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from processor.stores import schema
from processor.stores.clients import AwsClients, open_iam
from processor.stores.config import AwsCredentials
from processor.stores.schema import Names, Request
from processor.stores.translate import code_of, translated

if TYPE_CHECKING:
    from types_aiobotocore_iam import IAMClient

__all__ = ["Names", "Provisioned", "provision", "provision_identity"]

#: Seconds between two checks whether a new table is ready, and the most checks. On AWS it takes about ten seconds.
_TABLE_WAIT: Request = {"Delay": 1, "MaxAttempts": 60}
#: Access keys that a user may have at once (AWS, "IAM and AWS STS quotas").
_MAX_ACCESS_KEYS = 2
_POLICY_NAME = "truss-image-service"
#: For a batch, AWS requires the right to the single call. The emulator requires a right that AWS does not have.
_BATCHES = {
    "sqs:DeleteMessage": "sqs:DeleteMessageBatch",
    "sqs:ChangeMessageVisibility": "sqs:ChangeMessageVisibilityBatch",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Provisioned:
    """The names, URLs and ARNs of the resources."""

    names: Names
    queue_url: str
    queue_arn: str
    dead_letter_queue_url: str
    dead_letter_queue_arn: str
    table_arn: str
    #: None: there is no distribution in front of the processed bucket.
    distribution_arn: str | None = None


async def provision(
    clients: AwsClients,
    names: Names,
    *,
    cors_origins: Sequence[str] = (),
    max_receive_count: int = schema.MAX_RECEIVE_COUNT,
) -> Provisioned:
    """Create both queues, the table and both buckets. May be repeated: it creates only what is missing.

    Raises `Unavailable`.
    """
    with translated():
        dead_letter_url, dead_letter_arn = await _queue(clients, names.dead_letter_queue)
        await clients.sqs.set_queue_attributes(QueueUrl=dead_letter_url, Attributes=schema.dead_letter_attributes())
        queue_url, queue_arn = await _queue(clients, names.queue)
        attributes = schema.queue_attributes(names, queue_arn, dead_letter_arn, max_receive_count=max_receive_count)
        await clients.sqs.set_queue_attributes(QueueUrl=queue_url, Attributes=attributes)
        table_arn = await _table(clients, names.table)
        for bucket in (names.source_bucket, names.processed_bucket):
            await _bucket(clients, bucket)
        await _cors(clients, names.source_bucket, cors_origins)
        # Last, because S3 sends a test event to the queue before it accepts the configuration.
        await _notification(clients, names.source_bucket, queue_arn)
    return Provisioned(
        names=names,
        queue_url=queue_url,
        queue_arn=queue_arn,
        dead_letter_queue_url=dead_letter_url,
        dead_letter_queue_arn=dead_letter_arn,
        table_arn=table_arn,
    )


async def provision_identity(clients: AwsClients, provisioned: Provisioned) -> AwsCredentials:
    """A new access key of a user with the rights of the service. Raises `Unavailable`.

    The previous key stays valid, and so do the URLs that it has signed. Older keys are deleted.
    """
    names = provisioned.names
    policy = schema.service_policy(
        names,
        provisioned.queue_arn,
        provisioned.dead_letter_queue_arn,
        provisioned.table_arn,
        provisioned.distribution_arn,
    )
    for statement in policy["Statement"]:
        statement["Action"] += [_BATCHES[action] for action in statement["Action"] if action in _BATCHES]
    with translated():
        async with open_iam(clients.config) as iam:
            await _user(iam, names.user)
            await iam.put_user_policy(UserName=names.user, PolicyName=_POLICY_NAME, PolicyDocument=json.dumps(policy))
            await _make_room_for_a_key(iam, names.user)
            key = (await iam.create_access_key(UserName=names.user))["AccessKey"]
    return AwsCredentials(access_key_id=key["AccessKeyId"], secret_access_key=key["SecretAccessKey"])


async def _queue(clients: AwsClients, name: str) -> tuple[str, str]:
    """URL and ARN. Attributes are set later: SQS refuses to create a queue again with other attributes."""
    url = (await clients.sqs.create_queue(QueueName=name))["QueueUrl"]
    answer = await clients.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return url, answer["Attributes"]["QueueArn"]


async def _table(clients: AwsClients, table: str) -> str:
    dynamodb = clients.dynamodb
    try:
        await dynamodb.create_table(**schema.table_definition(table))
    except ClientError as error:
        if code_of(error) != "ResourceInUseException":
            raise
    await dynamodb.get_waiter("table_exists").wait(TableName=table, WaiterConfig=_TABLE_WAIT)
    await _indexes(clients, table)
    ttl = (await dynamodb.describe_time_to_live(TableName=table)).get("TimeToLiveDescription", {})
    if ttl.get("TimeToLiveStatus") not in ("ENABLED", "ENABLING"):
        await dynamodb.update_time_to_live(
            TableName=table, TimeToLiveSpecification={"Enabled": True, "AttributeName": schema.TTL}
        )
    return (await dynamodb.describe_table(TableName=table))["Table"]["TableArn"]


async def _indexes(clients: AwsClients, table: str) -> None:
    """Add the indexes that a table of an earlier release lacks. AWS creates one at a time."""
    wanted = schema.table_definition(table)
    found = (await clients.dynamodb.describe_table(TableName=table))["Table"].get("GlobalSecondaryIndexes", ())
    missing = {index["IndexName"]: index for index in wanted["GlobalSecondaryIndexes"]}
    for index in found:
        missing.pop(index["IndexName"], None)
    for index in missing.values():
        await clients.dynamodb.update_table(
            TableName=table,
            AttributeDefinitions=wanted["AttributeDefinitions"],
            GlobalSecondaryIndexUpdates=[{"Create": index}],
        )
        await clients.dynamodb.get_waiter("table_exists").wait(TableName=table, WaiterConfig=_TABLE_WAIT)


async def _bucket(clients: AwsClients, bucket: str) -> None:
    if not await _bucket_exists(clients, bucket):
        region = clients.config.region
        if region == "us-east-1":  # S3 refuses this region as a location constraint
            await clients.s3.create_bucket(Bucket=bucket)
        else:
            location = {"LocationConstraint": region}
            await clients.s3.create_bucket(Bucket=bucket, CreateBucketConfiguration=location)  # type: ignore[arg-type]
    await clients.s3.put_public_access_block(
        Bucket=bucket,
        PublicAccessBlockConfiguration=schema.public_access_block(),
    )
    await clients.s3.put_bucket_lifecycle_configuration(
        Bucket=bucket,
        LifecycleConfiguration=schema.lifecycle(),
    )


async def _bucket_exists(clients: AwsClients, bucket: str) -> bool:
    try:
        await clients.s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        if code_of(error) not in ("404", "NoSuchBucket"):
            raise
        return False
    return True


async def _cors(clients: AwsClients, bucket: str, origins: Sequence[str]) -> None:
    if origins:
        await clients.s3.put_bucket_cors(Bucket=bucket, CORSConfiguration=schema.cors(origins))
    else:
        await clients.s3.delete_bucket_cors(Bucket=bucket)


async def _notification(clients: AwsClients, bucket: str, queue_arn: str) -> None:
    """Write the notification only if it differs, because S3 sends a test event for every write."""
    wanted = schema.notification(queue_arn)
    found = await clients.s3.get_bucket_notification_configuration(Bucket=bucket)
    told = [(known["QueueArn"], list(known["Events"])) for known in found.get("QueueConfigurations", ())]
    if told != [(rule["QueueArn"], rule["Events"]) for rule in wanted["QueueConfigurations"]]:
        await clients.s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=wanted)


async def _user(iam: IAMClient, user: str) -> None:
    try:
        await iam.create_user(UserName=user)
    except ClientError as error:
        if code_of(error) != "EntityAlreadyExists":
            raise


async def _make_room_for_a_key(iam: IAMClient, user: str) -> None:
    keys = (await iam.list_access_keys(UserName=user))["AccessKeyMetadata"]
    oldest_first = sorted(keys, key=lambda key: key["CreateDate"])
    for key in oldest_first[: max(0, len(keys) - _MAX_ACCESS_KEYS + 1)]:
        await iam.delete_access_key(UserName=user, AccessKeyId=key["AccessKeyId"])
