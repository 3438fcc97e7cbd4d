"""The service needs the rights that the template gives it, all of them and no others.

The end-to-end tests run once more in a process of their own, where every call to AWS is written down.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from processor.stores import schema
from processor.stores.schema import Names
from tests.fleet import untraced
from tests.local_aws import ADMINISTRATOR

ROOT = Path(__file__).parents[2]
#: What uses everything: uploads of every kind, listing, reprocessing, redrive, deletion, invalidation.
SUITE = ("tests/e2e/test_main_job.py", "tests/e2e/test_large_files.py", "tests/infra/test_deployment.py")
#: Bounds the run: it takes less than a minute on an idle machine.
SECONDS = 600

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


def _needed(call: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Action and resource, for every right that a call needs."""
    service, operation = call["operation"].split(":")
    given = call["parameters"]
    if service == "s3":
        bucket = SOURCE if "-source-" in given["Bucket"] else PROCESSED
        for right in S3_RIGHTS.get(operation, {operation}):
            yield f"s3:{right}", bucket if right in OF_BUCKETS else f"{bucket}/*"
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


def _granted() -> set[tuple[str, str]]:
    names = Names.of_stage("dev", "111122223333")
    policy = schema.service_policy(names, QUEUE, DEAD, TABLE, EDGE)
    places = {
        f"{schema.bucket_arn(names.source_bucket)}/uploads/*": f"{SOURCE}/*",
        f"{schema.bucket_arn(names.processed_bucket)}/processed/*": f"{PROCESSED}/*",
        schema.bucket_arn(names.source_bucket): SOURCE,
        schema.bucket_arn(names.processed_bucket): PROCESSED,
    }
    return {
        (action, places.get(resource, resource))
        for statement in policy["Statement"]
        for action in statement["Action"]
        for resource in statement["Resource"]
    }


def _used(folder: Path) -> set[tuple[str, str]]:
    """What every call needed, but for those of the administrator, who makes the stacks."""
    calls = [json.loads(line) for file in folder.glob("*.jsonl") for line in file.read_text().splitlines()]
    own = [call for call in calls if call["accessKeyId"] != ADMINISTRATOR.access_key_id]
    return {right for call in own for right in _needed(call)}


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 60)
async def test_every_right_that_is_granted_is_used_and_every_one_that_is_used_is_granted(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", *SUITE),
        cwd=ROOT,
        env={
            **{name: value for name, value in untraced().items() if not name.startswith("PYTEST_")},
            "RECORD_AWS_CALLS": str(tmp_path),
            "PYTHONPATH": str(ROOT / "tests" / "recording"),
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), SECONDS)
    assert process.returncode == 0, output.decode()
    assert sorted(_used(tmp_path)) == sorted(_granted())
