"""A CloudFront distribution as an edge cache."""

from __future__ import annotations

import uuid

from processor.stores.clients import AwsClients
from processor.stores.translate import translated


class CloudFrontEdge:
    """A distribution, by its id, whose origin is the processed bucket."""

    def __init__(self, clients: AwsClients, distribution_id: str) -> None:
        self._cloudfront = clients.cloudfront
        self._distribution_id = distribution_id

    async def invalidate(self, prefix: str) -> str:
        """Invalidate everything under the prefix. Returns the id of the invalidation. A wildcard is billed as one path,
        however many objects it covers.

        Raises `Unavailable`; `Throttled` while too many are in progress (AWS, "Quotas on invalidations": 15 with a
        wildcard).
        """
        with translated():
            answer = await self._cloudfront.create_invalidation(
                DistributionId=self._distribution_id,
                InvalidationBatch={
                    "Paths": {"Quantity": 1, "Items": [f"/{prefix}*"]},
                    "CallerReference": uuid.uuid4().hex,
                },
            )
        return answer["Invalidation"]["Id"]
