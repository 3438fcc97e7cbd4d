"""The template is deployed, its outputs become the chart's values, and a service that runs on them does its work."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from helm.generate import config_variables
from infra.values import outputs_of, values_of
from processor.pace import FREE_JOBS
from tests import corpus
from tests.fleet import ServiceProcess
from tests.infra.deployment import OIDC_PROVIDER, Deployment
from tests.local_aws import LocalAws, run_local_emulator
from tests.waiting import PATIENCE_SECONDS, eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

ORIGIN = "https://app.example"
PARAMETERS = {
    "Stage": "dev",
    "CorsOrigins": ORIGIN,
    "OidcProvider": OIDC_PROVIDER,
    "CreateUserPool": "true",
    "ApiDomain": "api.example.com",
}


def environment_of(values: Mapping[str, Any]) -> dict[str, str]:
    """The variables that the chart makes of its values."""
    variables = config_variables()
    return {variables[name]: str(value) for name, value in values["config"].items()}


@dataclass(frozen=True, slots=True)
class Deployed:
    """A stack, and a service that runs on its outputs with the rights of its role."""

    deployment: Deployment
    service: ServiceProcess
    outputs: Mapping[str, str]
    status: str


@asynccontextmanager
async def _service(
    aws: LocalAws, session: aiohttp.ClientSession, folder: Path, deployment: Deployment, description: Any
) -> AsyncIterator[ServiceProcess]:
    outputs = outputs_of(description)
    environment = environment_of(values_of(outputs)) | {
        "AUTH_MODES": "none",
        "QUEUE_WAIT_SECONDS": "1",
        "AWS_ENDPOINT_URL": aws.endpoint_url,
        **await deployment.pod(outputs, folder),
    }
    service = ServiceProcess(environment, session, folder / "service.log", traced=True)
    try:
        await service.start()
        yield service
        await service.stop()
    finally:
        await service.kill()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def deployed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deployed]:
    folder, patience = tmp_path_factory.mktemp("deployed"), aiohttp.ClientTimeout(total=PATIENCE_SECONDS)
    async with run_local_emulator(folder) as aws, aiohttp.ClientSession(timeout=patience) as session:
        deployment = Deployment(aws, "truss-image-dev")
        status, description = await deployment.apply(**PARAMETERS)
        async with _service(aws, session, folder, deployment, description) as service:
            yield Deployed(deployment, service, outputs_of(description), status)


@pytest.mark.slow
async def test_a_deployed_stack_converts_finds_twins_redrives_outlives_sources_and_forgets(deployed: Deployed) -> None:
    assert deployed.status == "CREATE_COMPLETE"
    service, picture = deployed.service, corpus.jpeg(corpus.photo(640, 480))
    digest = base64.b64encode(hashlib.sha256(picture).digest()).decode()

    issued = await service.put(picture, size=len(picture), checksumSha256=digest)
    # Signed by a session of the role, whose trust names this cluster and this service account.
    assert "X-Amz-Security-Token=" in issued["uploadUrl"]
    job = await service.settled(issued["processingId"])
    assert job["status"] == "completed"
    assert job["processedImages"]["webp"]["url"].startswith(deployed.outputs["CloudfrontUrl"])

    twin = {"filename": "twin.jpg", "checksumSha256": digest, "dedupe": True}
    found = await service.call("POST", "/images/upload-url", json=twin)
    assert (found["processingId"], found["uploadUrl"]) == (issued["processingId"], None)

    large = await service.put(corpus.jpeg(corpus.large(3000, 2000)))
    await service.settled(large["processingId"])
    await _told_twice(deployed, large["uniqueId"])

    await _dead_letter(deployed)
    redriven = await service.call("POST", "/images/failed/redrive", json={"dryRun": False})
    assert redriven["messages"] == 1

    await _expired(deployed, issued)
    deleted = await service.call("DELETE", f"/images/image/{issued['uniqueId']}")
    assert deleted["deletedProcessedImages"] == 4
    async with AsyncExitStack() as stack:
        s3 = await deployed.deployment.client(stack, "s3")
        left = await s3.list_object_versions(Bucket=deployed.outputs["SourceBucket"], Prefix=issued["key"])
        assert not left.get("Versions")
        assert not left.get("DeleteMarkers")
        cloudfront = await deployed.deployment.client(stack, "cloudfront")
        distribution = deployed.outputs["CloudfrontDistributionId"]
        listed = await cloudfront.list_invalidations(DistributionId=distribution)
        assert listed["InvalidationList"]["Quantity"] == 1


@pytest.mark.slow
async def test_the_pods_of_another_service_account_get_nothing(deployed: Deployed) -> None:
    folder = deployed.service.log_file.parent / "other"
    folder.mkdir()
    identity = await deployed.deployment.pod(deployed.outputs, folder, "system:serviceaccount:truss-image:other")
    other = ServiceProcess(
        {**deployed.service.environment, **identity}, deployed.service.session, folder / "service.log"
    )
    await other.launch()

    async def refused() -> bool:
        return "AccessDenied" in other.log_file.read_text()

    async def answers() -> int | None:
        try:
            async with other.session.get(f"{other.url}/images/ready") as answer:
                return answer.status
        except aiohttp.ClientError:
            return None

    try:
        await eventually(refused, what="a refusal")
        assert await eventually(answers, what="an answer") == 503
    finally:
        await other.kill()


async def _expired(deployed: Deployed, issued: dict[str, Any]) -> None:
    """A source that expired is not converted again, and its variants are there still."""
    async with AsyncExitStack() as stack:
        s3 = await deployed.deployment.client(stack, "s3")
        # As S3 expires an object in a bucket with versions: a marker hides it.
        await s3.delete_object(Bucket=deployed.outputs["SourceBucket"], Key=issued["key"])
    refused = await deployed.service.call("POST", f"/images/process/{issued['uniqueId']}", expect=409)
    assert (refused["code"], refused["detail"]) == ("not_uploaded", "The uploaded file is not there any more.")
    shown = await deployed.service.call("GET", f"/images/status/{issued['processingId']}")
    assert len(shown["processedImages"]) == 4


async def _told_twice(deployed: Deployed, unique_id: str) -> None:
    """A second message about a job that is in work: it is given back until the first is settled."""
    async with AsyncExitStack() as stack:
        sqs = await deployed.deployment.client(stack, "sqs")
        for _ in range(FREE_JOBS - 1):  # on a busy machine the second message may come too late for a job
            job = await deployed.service.call("POST", f"/images/process/{unique_id}", expect=202)
            message = {"jobRequested": {"uniqueId": unique_id, "processingId": job["processingId"]}}
            await sqs.send_message(QueueUrl=deployed.outputs["QueueUrl"], MessageBody=json.dumps(message))
            assert (await deployed.service.settled(job["processingId"]))["status"] == "completed"
            if "busy" in deployed.service.log_file.read_text():
                return
    pytest.fail("no message was given back")


async def _dead_letter(deployed: Deployed) -> None:
    """Something that S3 said long ago, and that failed too often; and something that nobody can read, which stays."""
    async with AsyncExitStack() as stack:
        sqs = await deployed.deployment.client(stack, "sqs")
        url = deployed.outputs["DeadLetterQueueUrl"]
        await sqs.send_message(QueueUrl=url, MessageBody=json.dumps({"Records": []}))
        await sqs.send_message(QueueUrl=deployed.outputs["QueueUrl"], MessageBody=json.dumps({"Records": [7]}))

        async def there() -> bool:
            return bool((await deployed.service.call("GET", "/images/failed"))["deadLetters"]["waiting"] == 2)

        await eventually(there, what="two dead letters")
