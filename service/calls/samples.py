"""The objects of one upload from beginning to end, for the examples in the OpenAPI document."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from processor.costs import Cost
from processor.errors import CorruptImage
from processor.facts import Facts
from processor.formats import AVIF
from processor.images import HELD_PREFIX, StoredVariant, source_key, variant_key
from processor.jobs import (
    REPLACED,
    UNAVAILABLE,
    Decision,
    Failure,
    FormatSet,
    Job,
    JobStatus,
    Review,
    Timings,
)
from processor.ports.objects import PostForm, PresignedUpload
from processor.recipes import MODERATION, STANDARD, VEIL
from service.calls.facts import EXAMPLE

URL = "https://images.example.com"
BUCKET = "https://truss-image-source-prod-123456789012.s3.us-east-1.amazonaws.com/"
PROCESSED_BUCKET = "https://truss-image-processed-prod-123456789012.s3.us-east-1.amazonaws.com/"
UNIQUE_ID = "6f1f7a52-3a6e-4d0e-9a55-2f0c9b8c1d7e"
OTHER_IMAGE = "1c9f0ad2-6b77-4f0b-9c3f-5d8a7e1b2c3d"
NEW_ID = "img_1767323999000_60303ae22b998861"
MADE_AT = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
DONE_AT = MADE_AT + timedelta(seconds=9, milliseconds=412)
_SIZES = (("thumbnail", 300, 225, 11204), ("medium", 800, 600, 58310), ("large", 1440, 1080, 190422))
PENDING = Job(
    processing_id="img_1767323045678_9f86d081884c7d65",
    unique_id=UNIQUE_ID,
    tenant="default",
    original_key=source_key(UNIQUE_ID, "jpg"),
    filename="photo.jpg",
    status=JobStatus.PENDING,
    created_at=MADE_AT,
    updated_at=MADE_AT,
    expires_at=0,
    metadata={"album": "summer"},
    recipe=STANDARD,
)
COMPLETED = replace(
    PENDING,
    status=JobStatus.COMPLETED,
    updated_at=DONE_AT,
    facts=Facts.of(EXAMPLE, EXAMPLE),
    timings=Timings(download=38, process=612, upload=71, total=721),
    cost=Cost(cpu_ms=612, pixels=12_192_768, bytes_in=3_801_245, bytes_out=1_161_480, bytes_saved=2_899_701),
    variants=tuple(
        StoredVariant(
            name=name,
            key=variant_key(UNIQUE_ID, PENDING.processing_id, f"{name}.webp"),
            width=width,
            height=height,
            size=size,
            content_type="image/webp",
            quality=85,
            sha256="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            stored_at=DONE_AT,
        )
        for name, width, height, size in (*_SIZES, ("webp", 4032, 3024, 901544))
    ),
)
HELD_VARIANTS = tuple(
    replace(variant, key=variant_key(UNIQUE_ID, PENDING.processing_id, f"{variant.name}.webp", HELD_PREFIX))
    for variant in COMPLETED.variants
)
HELD = replace(
    COMPLETED,
    status=JobStatus.NEEDS_REVIEW,
    variants=(),
    facts=Facts(),
    review=Review(reason="preset", asked_at=DONE_AT, variants=HELD_VARIANTS, facts=COMPLETED.facts),
)
_VEIL = "data:image/webp;base64,UklGRj4AAABXRUJQVlA4IDIAAABQAQCdASoQAAsABABoJZwABHQAAP54OaA1JOXZjJyR"
_SCORED = {
    "nsfw": 0.93,
    MODERATION: {
        "decision": "held",
        "reasons": ["nsfw"],
        "frames": 1,
        "models": {"nsfw": "Open NSFW bed5ea2d9b0b0283"},
    },
    VEIL: _VEIL,
}
MODERATED = replace(
    HELD,
    recipe=replace(STANDARD, name="shop", version=3, moderation=(("nsfw", 0.8),)),
    review=Review(reason="nsfw", asked_at=DONE_AT, variants=HELD_VARIANTS, facts=Facts.of(_SCORED, _SCORED)),
)
_DECIDED = Review(
    reason="preset",
    asked_at=DONE_AT,
    decision=Decision.APPROVED,
    decided_at=DONE_AT + timedelta(hours=1),
    decided_by="key:abcdefghijklmnop",
)
APPROVED = replace(COMPLETED, review=_DECIDED)
REJECTED = replace(
    HELD,
    status=JobStatus.REJECTED,
    review=replace(_DECIDED, decision=Decision.REJECTED, comment="A face is seen."),
)
IN_TWO_FORMATS = replace(
    COMPLETED,
    further=(
        FormatSet(
            format=AVIF.name,
            variants=tuple(
                replace(
                    variant,
                    key=variant_key(UNIQUE_ID, PENDING.processing_id, f"{variant.name}.avif"),
                    size=variant.size * 3 // 5,
                    content_type=AVIF.content_type,
                )
                for variant in COMPLETED.variants
            ),
        ),
    ),
)
FAILED = replace(
    PENDING,
    status=JobStatus.FAILED,
    updated_at=DONE_AT,
    error=Failure(code=CorruptImage.code, message=CorruptImage().message),
)
SUPERSEDED = replace(FAILED, error=REPLACED, superseded_by=NEW_ID)
GIVEN_UP = replace(
    FAILED, error=Failure(code=UNAVAILABLE, message="The job was given up after several tries; it can be redriven.")
)
UPLOAD = PresignedUpload(
    url=f"{BUCKET}{PENDING.original_key}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires=3600&X-Amz-Signature=...",
    headers={"Content-Type": "image/jpeg"},
    post=PostForm(
        url=BUCKET,
        fields={
            "key": PENDING.original_key,
            "Content-Type": "image/jpeg",
            "policy": "...",
            "x-amz-signature": "...",
        },
    ),
    expires_in_seconds=3600,
)


def part_url(number: int) -> str:
    return f"{BUCKET}{PENDING.original_key}?partNumber={number}&uploadId=...&X-Amz-Signature=..."
