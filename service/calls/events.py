"""Events about images on the wire: CloudEvents 1.0 in JSON."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, Field

from processor.formats import FORMATS
from processor.images import StoredVariant
from processor.moments import Kind
from processor.notices import Notice
from processor.ports.webhooks import TEST, Delivery
from service.calls.names import ProcessingId, UniqueId
from service.calls.variants import FileAnswer
from service.http.wire import Answer, Time, as_json, is_empty, is_none

#: The source of events (CloudEvents 1.0, `source`). Their ids are unique within it.
SOURCE = "/images"

_FORMATS = {content_type: each.name for each in FORMATS for content_type in each.content_types}


class EventVariant(FileAnswer):
    """A variant that is stored."""

    name: str = Field(examples=["thumbnail"])
    format: str = Field(examples=["webp"])

    @classmethod
    def named(cls, variant: StoredVariant) -> Self:
        return cls.of(variant, name=variant.name, format=_FORMATS.get(variant.content_type, ""))


class EventError(Answer):
    """The reason why a job failed."""

    code: str = Field(description="As in the status of the job.", examples=["corrupt_image"])


class EventData(Answer):
    """An image, and what happened to it."""

    unique_id: UniqueId
    processing_id: ProcessingId = Field(description="Of `image.deleted`, the image's last job.")
    variant: EventVariant | None = Field(default=None, exclude_if=is_none, description="Of `image.variant`.")
    processed_images: dict[str, EventVariant] = Field(
        default={}, exclude_if=is_empty, description="Of `image.completed`: every variant by name."
    )
    error: EventError | None = Field(default=None, exclude_if=is_none, description="Of `image.failed`.")
    superseded_by: ProcessingId | None = Field(
        default=None, exclude_if=is_none, description="Of `image.superseded`: the job that took the place."
    )

    @classmethod
    def of(cls, notice: Notice) -> Self:
        variants = [EventVariant.named(variant) for variant in notice.variants]
        one = notice.kind is Kind.VARIANT
        return cls(
            unique_id=notice.unique_id,
            processing_id=notice.processing_id,
            variant=variants[0] if one else None,
            processed_images={} if one else {variant.name: variant for variant in variants},
            error=EventError(code=notice.code) if notice.code else None,
            superseded_by=notice.superseded_by,
        )


class EventAnswer(Answer):
    """Something that happened to an image: a CloudEvent."""

    specversion: Literal["1.0"] = "1.0"
    id: str = Field(
        description="The same, however often the event is told. As text, the ids of one job sort as things happened.",
        examples=["1767323055090-img_1767323045678_9f86d081884c7d65-0002"],
    )
    source: str = Field(default=SOURCE, examples=[SOURCE])
    type: Kind
    subject: UniqueId = Field(description="The image: `uniqueId`.")
    time: Time
    datacontenttype: Literal["application/json"] = "application/json"
    tenant: str = Field(examples=["default"])
    data: EventData

    @classmethod
    def of(cls, notice: Notice) -> Self:
        return cls(
            id=notice.id,
            type=notice.kind,
            subject=notice.unique_id,
            time=notice.at,
            tenant=notice.tenant,
            data=EventData.of(notice),
        )


class TestData(Answer):
    """It tells of nothing."""

    webhook_id: str


class TestEvent(Answer):
    """What a webhook is sent when its owner asks for a test: a CloudEvent about no image."""

    specversion: Literal["1.0"] = "1.0"
    id: str
    source: str = SOURCE
    type: Literal["webhook.test"] = TEST
    subject: str
    time: Time
    datacontenttype: Literal["application/json"] = "application/json"
    tenant: str
    data: TestData

    @classmethod
    def of(cls, delivery: Delivery) -> Self:
        return cls(
            id=delivery.event_id,
            subject=delivery.webhook_id,
            time=delivery.event_at,
            tenant=delivery.tenant,
            data=TestData(webhook_id=delivery.webhook_id),
        )


def event_body(delivery: Delivery, notice: Notice | None, *, public_url: str) -> bytes:
    """What a webhook is sent: the same bytes at every try."""
    answer: BaseModel = TestEvent.of(delivery) if notice is None else EventAnswer.of(notice)
    return as_json(answer, public_url)
