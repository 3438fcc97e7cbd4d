"""What provisioning promises: everything is there, again is harmless, missing parts are mended, rights are few."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from botocore.exceptions import ClientError

from processor.errors import Unavailable
from processor.stores.clients import AwsClients, open_clients
from processor.stores.provision import Names, Provisioned, provision, provision_identity
from processor.stores.s3 import S3ObjectStore
from processor.stores.schema import table_definition
from processor.stores.translate import code_of
from tests.contract.conftest import Backend
from tests.local_aws import ORIGIN, LocalAws, fresh_stage
from tests.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture
def aws(backend: Backend) -> LocalAws:
    backend.skip_on("memory", because="there is nothing to provision")
    assert backend.aws
    return backend.aws


@pytest_asyncio.fixture(loop_scope="session")
async def stage(aws: LocalAws) -> AsyncIterator[tuple[AwsClients, Provisioned]]:
    """The administrator's clients, and what was made."""
    async with fresh_stage(aws) as (_, made), open_clients(aws.config()) as administrator:
        yield administrator, made


async def attributes(clients: AwsClients, url: str) -> dict[str, str]:
    found = await clients.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    return {str(name): value for name, value in found["Attributes"].items()}


async def test_names_are_those_of_the_stage() -> None:
    names = Names.of_stage("dev", "123456789012")
    assert names.source_bucket == "truss-image-source-dev-123456789012"
    assert names.processed_bucket == "truss-image-processed-dev-123456789012"
    assert (names.table, names.queue) == ("truss-image-processing-dev", "truss-image-events-dev")
    assert names.dead_letter_queue == "truss-image-events-dev-dlq"


async def test_the_queues_keep_messages_and_move_what_fails(stage: tuple[AwsClients, Provisioned]) -> None:
    clients, made = stage
    queue = await attributes(clients, made.queue_url)
    dead = await attributes(clients, made.dead_letter_queue_url)
    redrive = json.loads(queue["RedrivePolicy"])
    assert (redrive["deadLetterTargetArn"], int(redrive["maxReceiveCount"])) == (dead["QueueArn"], 5)
    assert queue["VisibilityTimeout"] == "60"
    assert queue["MessageRetentionPeriod"] == str(4 * 24 * 3600)
    assert dead["MessageRetentionPeriod"] == str(14 * 24 * 3600)
    [statement] = json.loads(queue["Policy"])["Statement"]
    assert statement["Principal"] == {"Service": "s3.amazonaws.com"}
    assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": made.names.account_id}


INDEXES = ["by-change", "by-digest", "by-status", "by-time"]


async def test_a_table_of_an_earlier_version_gets_the_indexes_that_it_lacks(
    stage: tuple[AwsClients, Provisioned], backend: Backend
) -> None:
    made = stage[1]
    assert backend.administrator is not None
    before = table_definition(f"{made.names.table}-before")
    before["GlobalSecondaryIndexes"] = [
        index for index in before["GlobalSecondaryIndexes"] if index["IndexName"] == "by-time"
    ]
    used = {"processingId", "listKey", "sortKey"}
    before["AttributeDefinitions"] = [each for each in before["AttributeDefinitions"] if each["AttributeName"] in used]
    await backend.administrator.dynamodb.create_table(**before)
    await provision(backend.administrator, replace(made.names, table=before["TableName"]))
    table = (await backend.administrator.dynamodb.describe_table(TableName=before["TableName"]))["Table"]
    assert sorted(index["IndexName"] for index in table["GlobalSecondaryIndexes"]) == INDEXES


async def test_the_table_has_its_indexes_and_lets_records_expire(stage: tuple[AwsClients, Provisioned]) -> None:
    clients, made = stage
    table = (await clients.dynamodb.describe_table(TableName=made.names.table))["Table"]
    assert sorted(index["IndexName"] for index in table["GlobalSecondaryIndexes"]) == INDEXES
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    ttl = (await clients.dynamodb.describe_time_to_live(TableName=made.names.table))["TimeToLiveDescription"]
    assert (ttl["TimeToLiveStatus"], ttl["AttributeName"]) == ("ENABLED", "ttl")


async def test_the_buckets_are_private_and_drop_unfinished_uploads(stage: tuple[AwsClients, Provisioned]) -> None:
    clients, made = stage
    for bucket in (made.names.source_bucket, made.names.processed_bucket):
        block = await clients.s3.get_public_access_block(Bucket=bucket)
        assert set(block["PublicAccessBlockConfiguration"].values()) == {True}
        [rule] = (await clients.s3.get_bucket_lifecycle_configuration(Bucket=bucket))["Rules"]
        assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}
    [page] = (await clients.s3.get_bucket_cors(Bucket=made.names.source_bucket))["CORSRules"]
    assert (page["AllowedOrigins"], page["ExposeHeaders"]) == ([ORIGIN], ["ETag", "Location"])


async def test_provisioning_again_changes_nothing(stage: tuple[AwsClients, Provisioned]) -> None:
    clients, made = stage
    await drain_test_event(clients, made)
    before = await attributes(clients, made.queue_url)
    await clients.s3.put_object(Bucket=made.names.processed_bucket, Key="processed/a", Body=b"kept")
    assert await provision(clients, made.names, cors_origins=[ORIGIN]) == made
    after = await attributes(clients, made.queue_url)
    varying = {"LastModifiedTimestamp", "ApproximateNumberOfMessagesNotVisible"}
    assert {name: before[name] for name in before.keys() - varying} == {
        name: after[name] for name in after.keys() - varying
    }
    assert (await clients.s3.head_object(Bucket=made.names.processed_bucket, Key="processed/a"))["ContentLength"] == 4


async def drain_test_event(clients: AwsClients, made: Provisioned) -> None:
    """S3 says hello to a queue that it is told to notify."""

    async def arrived() -> bool:
        answer = await clients.sqs.receive_message(QueueUrl=made.queue_url, WaitTimeSeconds=1)
        for message in answer.get("Messages", ()):
            await clients.sqs.delete_message(QueueUrl=made.queue_url, ReceiptHandle=message["ReceiptHandle"])
        return "Messages" in answer

    await eventually(arrived, what="the test event")


async def test_what_is_missing_is_mended(stage: tuple[AwsClients, Provisioned]) -> None:
    clients, made = stage
    names = made.names
    await clients.s3.put_bucket_notification_configuration(Bucket=names.source_bucket, NotificationConfiguration={})
    await clients.s3.delete_bucket_cors(Bucket=names.source_bucket)
    await clients.s3.delete_bucket(Bucket=names.processed_bucket)
    await clients.sqs.delete_queue(QueueUrl=made.dead_letter_queue_url)
    assert await provision(clients, names, cors_origins=[ORIGIN]) == made
    told = await clients.s3.get_bucket_notification_configuration(Bucket=names.source_bucket)
    assert [each["QueueArn"] for each in told["QueueConfigurations"]] == [made.queue_arn]
    assert (await clients.s3.get_bucket_cors(Bucket=names.source_bucket))["CORSRules"]
    await clients.s3.head_bucket(Bucket=names.processed_bucket)
    await attributes(clients, made.dead_letter_queue_url)


async def test_without_origins_no_page_may_upload(stage: tuple[AwsClients, Provisioned]) -> None:
    clients, made = stage
    await provision(clients, made.names)
    with pytest.raises(ClientError) as raised:
        await clients.s3.get_bucket_cors(Bucket=made.names.source_bucket)
    assert code_of(raised.value) == "NoSuchCORSConfiguration"


async def test_a_new_key_leaves_the_one_before_it_good(aws: LocalAws, stage: tuple[AwsClients, Provisioned]) -> None:
    if aws.kind == "moto":
        pytest.skip("moto: it does not ask who is calling")
    clients, made = stage
    keys = [await provision_identity(clients, made) for _ in range(3)]
    for number, works in ((0, False), (1, True), (2, True)):
        async with open_clients(aws.config(keys[number])) as service:
            store = S3ObjectStore(service, made.names.source_bucket)
            if works:
                await store.ping()
            else:
                with pytest.raises(Unavailable):
                    await store.ping()


async def test_the_service_may_do_nothing_else(aws: LocalAws) -> None:
    if aws.kind == "moto":
        pytest.skip("moto: it does not ask who is calling")
    async with fresh_stage(aws) as (service, made):
        calls = [
            service.s3.put_object(Bucket=made.names.processed_bucket, Key="elsewhere/a", Body=b""),
            service.s3.delete_bucket(Bucket=made.names.source_bucket),
            service.sqs.change_message_visibility(
                QueueUrl=made.dead_letter_queue_url, ReceiptHandle="x", VisibilityTimeout=0
            ),
            service.sqs.purge_queue(QueueUrl=made.queue_url),
            service.dynamodb.scan(TableName=made.names.table),
            service.dynamodb.delete_table(TableName=made.names.table),
        ]
        for call in calls:
            with pytest.raises(ClientError) as raised:
                await call
            assert code_of(raised.value) in ("AccessDenied", "AccessDeniedException")
