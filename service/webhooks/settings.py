"""The settings of webhooks."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, Field


class WebhookSettings(BaseModel):
    """The settings of one component."""

    webhook_timeout_seconds: Annotated[
        int,
        Field(
            alias="WEBHOOK_TIMEOUT_SECONDS",
            ge=1,
            le=30,
            description="How long the receiver of a webhook may take for an answer; after that the delivery has failed "
            "and is tried again.",
        ),
    ] = 10
    webhook_failing_days: Annotated[
        int,
        Field(
            alias="WEBHOOK_FAILING_DAYS",
            ge=1,
            le=30,
            description="A webhook is switched off when for so many days none of its deliveries has succeeded.",
        ),
    ] = 3

    @property
    def webhook_failing_limit(self) -> timedelta:
        return timedelta(days=self.webhook_failing_days)
