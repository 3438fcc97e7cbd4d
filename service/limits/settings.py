"""The settings of the limits, for tenants whose record has none of its own."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from processor.usage import Limits

#: At the least one in a quarter of an hour: slower is a limit of another kind.
Rate = Annotated[float, Field(ge=0.001, le=1_000_000)]
Count = Annotated[int, Field(ge=1)]


class LimitSettings(BaseModel):
    """The settings of one component."""

    limit_requests_per_second: Annotated[
        Rate,
        Field(alias="LIMIT_REQUESTS_PER_SECOND", description="Requests of one key or user, counted by each process."),
    ] = 50
    limit_request_burst: Annotated[
        Count, Field(alias="LIMIT_REQUEST_BURST", description="So many of them at once.")
    ] = 200
    limit_tenant_requests_per_second: Annotated[
        Rate,
        Field(alias="LIMIT_TENANT_REQUESTS_PER_SECOND", description="Requests of one tenant, counted by each process."),
    ] = 500
    limit_tenant_request_burst: Annotated[
        Count, Field(alias="LIMIT_TENANT_REQUEST_BURST", description="So many of them at once.")
    ] = 2000
    limit_bytes_per_day: Annotated[
        Count, Field(alias="LIMIT_BYTES_PER_DAY", description="Bytes that one tenant may upload in a day (UTC).")
    ] = 2**40
    limit_megapixels_per_day: Annotated[
        Count,
        Field(alias="LIMIT_MEGAPIXELS_PER_DAY", description="Megapixels that are converted for one tenant in a day."),
    ] = 10_000_000
    limit_images: Annotated[
        Count, Field(alias="LIMIT_IMAGES", description="Images that one tenant may have stored.")
    ] = 10_000_000

    @property
    def limits(self) -> Limits:
        return Limits(
            requests_per_second=self.limit_requests_per_second,
            request_burst=self.limit_request_burst,
            tenant_requests_per_second=self.limit_tenant_requests_per_second,
            tenant_request_burst=self.limit_tenant_request_burst,
            bytes_per_day=self.limit_bytes_per_day,
            megapixels_per_day=self.limit_megapixels_per_day,
            images=self.limit_images,
        )
