"""Which rights of AWS the calls need that processes wrote down (`tests/recording`)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.local_aws import ADMINISTRATOR

ROOT = Path(__file__).parents[2]

#: Rights that calls need, where they are not named like the call (AWS, "Service Authorization Reference").
S3_RIGHTS = {
    "HeadObject": {"GetObject"},
    "HeadBucket": {"ListBucket"},
    "ListObjectsV2": {"ListBucket"},
    "ListObjectVersions": {"ListBucketVersions"},
    "ListMultipartUploads": {"ListBucketMultipartUploads"},
    "ListParts": {"ListMultipartUploadParts"},
    "CreateMultipartUpload": {"PutObject"},
    "UploadPart": {"PutObject"},
    "CompleteMultipartUpload": {"PutObject"},
    "CopyObject": {"PutObject"},
    "CreateBucket": {"PutObject"},  # how the SDK names the signing of a form
    "DeleteObjects": {"DeleteObject", "DeleteObjectVersion"},
}
OF_BUCKETS = {"ListBucket", "ListBucketVersions", "ListBucketMultipartUploads"}
TRANSACTIONS = {
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
    "ConditionCheck": "ConditionCheckItem",
}

#: The same resources, whatever the stage is called.
SOURCE, PROCESSED, QUEUE, DEAD, TABLE, EDGE = "source", "processed", "queue", "dead-letters", "table", "distribution"


def needed(call: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Action and resource, for every right that a call needs."""
    service, operation = call["operation"].split(":")
    given = call["parameters"]
    if service == "s3":
        bucket = SOURCE if "-source-" in given["Bucket"] else PROCESSED
        folder = call["folder"] or "uploads"  # of a form, the SDK is not told the key
        if call["copied"]:
            yield "s3:GetObject", f"{bucket}/{call['copied']}/*"
        for right in S3_RIGHTS.get(operation, {operation}):
            yield f"s3:{right}", bucket if right in OF_BUCKETS else f"{bucket}/{folder}/*"
    elif service == "sqs":
        yield f"sqs:{operation.removesuffix('Batch')}", DEAD if given["QueueUrl"].endswith("-dlq") else QUEUE
    elif service == "cloudfront":
        yield f"cloudfront:{operation}", EDGE
    elif operation == "TransactWriteItems":
        for part in call["transaction"]:
            yield f"dynamodb:{TRANSACTIONS[part]}", TABLE
    else:
        index = given.get("IndexName")
        yield f"{service}:{operation}", f"{TABLE}/index/{index}" if index else TABLE


def recorded_in(folder: Path) -> dict[str, str]:
    """The variables of a process that writes its calls down in a folder."""
    return {"RECORD_AWS_CALLS": str(folder), "PYTHONPATH": str(ROOT / "tests" / "recording")}


def used(folder: Path) -> set[tuple[str, str]]:
    """What every call needed, but for those of the administrator, who makes the stacks."""
    calls = [json.loads(line) for file in folder.glob("*.jsonl") for line in file.read_text().splitlines()]
    own = [call for call in calls if call["accessKeyId"] != ADMINISTRATOR.access_key_id]
    return {right for call in own for right in needed(call)}
