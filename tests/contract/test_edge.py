"""What the eraser expects of whatever caches the variants."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest

from processor.errors import Unavailable
from processor.images import image_prefix, new_unique_id
from processor.ports.edge import EdgeCache
from processor.stores.clients import AwsClients, open_clients
from processor.stores.cloudfront import CloudFrontEdge
from processor.stores.memory import MemoryEdge
from processor.stores.provision import provision_identity
from tests.contract.conftest import Backend

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def _distribution(clients: AwsClients) -> tuple[str, str]:
    """Id and ARN of a distribution that is as small as CloudFront lets it be."""
    answer = await clients.cloudfront.create_distribution(
        DistributionConfig={
            "CallerReference": uuid.uuid4().hex,
            "Comment": "variants",
            "Enabled": True,
            "Origins": {
                "Quantity": 1,
                "Items": [
                    {
                        "Id": "processed",
                        "DomainName": "b.s3.amazonaws.com",
                        "S3OriginConfig": {"OriginAccessIdentity": ""},
                    }
                ],
            },
            "DefaultCacheBehavior": {"TargetOriginId": "processed", "ViewerProtocolPolicy": "redirect-to-https"},
        }
    )
    return answer["Distribution"]["Id"], answer["Distribution"]["ARN"]


async def test_an_invalidation_is_ordered_for_the_prefix_and_has_an_id(backend: Backend) -> None:
    prefix = image_prefix(new_unique_id())
    if backend.administrator is None:
        edge: EdgeCache = MemoryEdge()
        assert await edge.invalidate(prefix) != await edge.invalidate(prefix)
        return
    distribution, _ = await _distribution(backend.administrator)
    edge = CloudFrontEdge(backend.administrator, distribution)
    first, second = await edge.invalidate(prefix), await edge.invalidate(prefix)
    assert first != second
    found = await backend.administrator.cloudfront.get_invalidation(DistributionId=distribution, Id=first)
    assert found["Invalidation"]["InvalidationBatch"]["Paths"] == {"Quantity": 1, "Items": [f"/{prefix}*"]}


async def test_a_distribution_that_is_not_there_is_trouble_and_not_a_success(backend: Backend) -> None:
    if backend.administrator is None:
        pytest.skip("memory: there is only one")
    with pytest.raises(Unavailable):
        await CloudFrontEdge(backend.administrator, "EDFDVBD6EXAMPLE").invalidate("processed/x/")


async def test_the_service_may_invalidate_its_own_distribution_and_no_other(backend: Backend) -> None:
    backend.skip_on("memory", "moto", because="it does not ask for rights")
    assert backend.administrator is not None
    assert backend.made is not None
    assert backend.aws is not None
    own, arn = await _distribution(backend.administrator)
    other, _ = await _distribution(backend.administrator)
    credentials = await provision_identity(backend.administrator, replace(backend.made, distribution_arn=arn))
    async with open_clients(backend.aws.config(credentials)) as clients:
        assert await CloudFrontEdge(clients, own).invalidate("processed/x/")
        with pytest.raises(Unavailable):
            await CloudFrontEdge(clients, other).invalidate("processed/x/")
