"""The AWS resources of the service: names, the table and its keys, the queue, the buckets, the rights."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from processor.assets import ASSET_PREFIX
from processor.images import PREFIXES, SOURCE_PREFIX
from processor.jobs import JobStatus

#: Parameters of an SDK call. The SDK's types for them are installed only in development.
Request = Any

KEY = "processingId"
BY_TIME = "by-time"
BY_STATUS = "by-status"
BY_DIGEST = "by-digest"
BY_CHANGE = "by-change"
TTL = "ttl"

#: Partitions of a tenant's listing. Each accepts 1,000 writes a second (AWS, "Partition key design"). If this number
#: changes, listings lose the existing records.
SHARDS = 4

#: Default time for which a received message stays hidden, in seconds.
VISIBILITY_SECONDS = 60
#: Time for which the queue keeps a message, in seconds: four days.
RETENTION_SECONDS = 4 * 24 * 3600
#: Time for which the dead-letter queue keeps a message, in seconds: fourteen days, the most that SQS allows.
DEAD_LETTER_RETENTION_SECONDS = 14 * 24 * 3600
#: Receives after which a message is moved to the dead-letter queue.
MAX_RECEIVE_COUNT = 5
#: Default length of a long poll, in seconds; the most that SQS allows.
POLL_SECONDS = 20
#: Time for which a browser may cache the answer to a preflight request, in seconds.
PREFLIGHT_SECONDS = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """The names of all resources. `account_id` owns them."""

    account_id: str
    source_bucket: str
    processed_bucket: str
    table: str
    queue: str
    dead_letter_queue: str
    #: The IAM user of the service, if it runs as one.
    user: str

    @classmethod
    def of_stage(cls, stage: str, account_id: str) -> Self:
        """The names of one deployment stage."""
        return cls(
            account_id=account_id,
            source_bucket=f"truss-image-source-{stage}-{account_id}",
            processed_bucket=f"truss-image-processed-{stage}-{account_id}",
            table=f"truss-image-processing-{stage}",
            queue=f"truss-image-events-{stage}",
            dead_letter_queue=f"truss-image-events-{stage}-dlq",
            user=f"truss-image-service-{stage}",
        )


# -- keys of the table and its indexes -------------------------------------------------------------------------------


def shard(unique_id: str) -> int:
    """The number of the tenant's partition that lists an image. It is the same in every process, and never changes."""
    return zlib.crc32(unique_id.encode()) % SHARDS


def list_key(tenant: str, number: int) -> str:
    """Partition of `by-time`. It is split at the last `#`, so a tenant may contain one."""
    return f"{tenant}#{number}"


def status_key(tenant: str, number: int, status: JobStatus) -> str:
    """Partition of `by-status`."""
    return f"{tenant}#{number}#{status.value}"


def digest_key(tenant: str, sha256: str) -> str:
    """Partition of `by-digest`: one file of one tenant."""
    return f"{tenant}#{sha256}"


def change_key(tenant: str, number: int) -> str:
    """Partition of `by-change`."""
    return f"{tenant}#{number}"


def table_definition(table: str) -> Request:
    attributes = (KEY, "listKey", "statusKey", "digestKey", "changeKey", "sortKey", "updatedAt")
    return {
        "TableName": table,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in attributes],
        "KeySchema": [{"AttributeName": KEY, "KeyType": "HASH"}],
        "GlobalSecondaryIndexes": [
            _index(BY_TIME, "listKey"),
            _index(BY_STATUS, "statusKey"),
            _index(BY_DIGEST, "digestKey", projection={"ProjectionType": "KEYS_ONLY"}),  # its results are read again
            _index(
                BY_CHANGE,
                "changeKey",
                "updatedAt",
                projection={"ProjectionType": "INCLUDE", "NonKeyAttributes": ["uniqueId"]},
            ),
        ],
    }


def _index(name: str, partition: str, sort: str = "sortKey", projection: Request | None = None) -> dict[str, Any]:
    keys = [{"AttributeName": partition, "KeyType": "HASH"}, {"AttributeName": sort, "KeyType": "RANGE"}]
    return {"IndexName": name, "KeySchema": keys, "Projection": projection or {"ProjectionType": "ALL"}}


# -- the queue -------------------------------------------------------------------------------------------------------


def dead_letter_attributes() -> Request:
    return {"MessageRetentionPeriod": str(DEAD_LETTER_RETENTION_SECONDS)}


def queue_attributes(
    names: Names, queue_arn: str, dead_letter_arn: str, *, max_receive_count: int = MAX_RECEIVE_COUNT
) -> Request:
    """Attributes of the queue, with the policy that lets S3 send."""
    redrive = {"deadLetterTargetArn": dead_letter_arn, "maxReceiveCount": max_receive_count}
    return {
        "VisibilityTimeout": str(VISIBILITY_SECONDS),
        "MessageRetentionPeriod": str(RETENTION_SECONDS),
        "ReceiveMessageWaitTimeSeconds": str(POLL_SECONDS),
        "RedrivePolicy": json.dumps(redrive),
        "Policy": json.dumps(queue_policy(names, queue_arn)),
    }


def queue_policy(names: Names, queue_arn: str) -> dict[str, Any]:
    """Lets S3 send, only for the source bucket, and only while this account owns it (AWS, "Confused deputy")."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "SourceBucketEvents",
                "Effect": "Allow",
                "Principal": {"Service": "s3.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": queue_arn,
                "Condition": {
                    "ArnEquals": {"aws:SourceArn": bucket_arn(names.source_bucket)},
                    "StringEquals": {"aws:SourceAccount": names.account_id},
                },
            }
        ],
    }


# -- the buckets -----------------------------------------------------------------------------------------------------


def bucket_arn(bucket: str) -> str:
    """The ARN of a bucket. It has neither region nor account."""
    return f"arn:aws:s3:::{bucket}"


def public_access_block() -> Request:
    """Blocks public access to everything in a bucket."""
    return {
        "BlockPublicAcls": True,
        "IgnorePublicAcls": True,
        "BlockPublicPolicy": True,
        "RestrictPublicBuckets": True,
    }


def lifecycle() -> Request:
    """Removes parts of unfinished uploads, because they cost money and no listing shows them."""
    rule = {
        "ID": "abort-unfinished-uploads",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
    }
    return {"Rules": [rule]}


def cors(origins: Sequence[str]) -> Request:
    """Lets pages of these origins upload. They can read the ETag of an upload, and the location after a form."""
    rule = {
        "AllowedOrigins": list(origins),
        "AllowedMethods": ["PUT", "POST", "GET", "HEAD"],
        "AllowedHeaders": ["*"],
        "ExposeHeaders": ["ETag", "Location"],
        "MaxAgeSeconds": PREFLIGHT_SECONDS,
    }
    return {"CORSRules": [rule]}


def notification(queue_arn: str) -> Request:
    """Sends an event for every new object under the source prefix to the queue."""
    rule = {"Name": "prefix", "Value": SOURCE_PREFIX}
    configuration = {
        "Id": "uploads",
        "QueueArn": queue_arn,
        "Events": ["s3:ObjectCreated:*"],
        "Filter": {"Key": {"FilterRules": [rule]}},
    }
    return {"QueueConfigurations": [configuration]}


# -- the rights ------------------------------------------------------------------------------------------------------


def service_policy(
    names: Names,
    queue_arn: str,
    dead_letter_arn: str,
    table_arn: str,
    distribution_arn: str | None = None,
    *,
    bus_arn: str | None = None,
) -> dict[str, Any]:
    """All rights of the service. A presigned URL has the rights of its signer.

    `infra/cloudformation/image-service.yaml` grants the same rights, and has the reason for each.
    """
    source, processed = bucket_arn(names.source_bucket), bucket_arn(names.processed_bucket)
    objects = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion"]
    statements: list[tuple[list[str], list[str]]] = [
        ([*objects, "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"], [f"{source}/{SOURCE_PREFIX}*"]),
        (objects, [f"{source}/{ASSET_PREFIX}*"]),
        (objects, [f"{processed}/{prefix}*" for prefix in PREFIXES]),
        (["s3:ListBucket", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads"], [source, processed]),
        (
            [
                "sqs:ReceiveMessage",
                "sqs:DeleteMessage",
                "sqs:ChangeMessageVisibility",
                "sqs:SendMessage",
                "sqs:GetQueueAttributes",
            ],
            [queue_arn],
        ),
        (
            ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:SendMessage", "sqs:GetQueueAttributes"],
            [dead_letter_arn],
        ),
        (
            [
                "dynamodb:GetItem",
                "dynamodb:BatchGetItem",
                "dynamodb:PutItem",
                "dynamodb:UpdateItem",
                "dynamodb:DeleteItem",
                "dynamodb:BatchWriteItem",
            ],
            [table_arn],
        ),
        (["dynamodb:Query"], [f"{table_arn}/index/{index}" for index in (BY_TIME, BY_STATUS, BY_DIGEST, BY_CHANGE)]),
    ]
    if distribution_arn is not None:
        statements.append((["cloudfront:CreateInvalidation"], [distribution_arn]))
    if bus_arn is not None:
        statements.append((["events:PutEvents"], [bus_arn]))
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": actions, "Resource": resources} for actions, resources in statements
        ],
    }
