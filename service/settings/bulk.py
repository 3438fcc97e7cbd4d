"""The settings of bulk jobs."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field


class BulkSettings(BaseModel):
    """A part of the whole configuration."""

    bulk_per_second: Annotated[
        int,
        Field(
            alias="BULK_PER_SECOND",
            ge=1,
            le=100,
            description="Images in a second that a bulk job (`POST /images/batch/process` or `/delete` with a filter) "
            "begins at most. A process works on two at once, and on none while uploads wait in the queue.",
        ),
    ] = 10
