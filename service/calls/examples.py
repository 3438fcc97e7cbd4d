"""One upload, followed through every answer: the examples of the OpenAPI document, made by the code that answers."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from processor.catalog.images import Submission, first_image
from processor.catalog.parts import MultipartSubmission, PartsState, part_size, part_sizes
from processor.catalog.redrive import Attempt, Redrive
from processor.erasure import Erasure
from processor.errors import CorruptImage, NotUploaded, TrussError
from processor.images import StoredVariant, source_key, variant_key
from processor.jobs import REPLACED, UNAVAILABLE, Failure, Job, JobStatus, Timings
from processor.manifest import manifest_key
from processor.ports.objects import Part, PostForm, PresignedPart, PresignedUpload, SignedUrl
from processor.ports.queue import QueueDepth
from service.calls.answers import (
    CompletedUploadAnswer,
    DeleteAnswer,
    FailedAnswer,
    HealthAnswer,
    JobAnswer,
    ListAnswer,
    MultipartAnswer,
    PartsAnswer,
    ProcessAnswer,
    ProcessedAnswer,
    RedriveAnswer,
    UploadUrlAnswer,
)
from service.calls.uppy_wire import FinishedAnswer, FormAnswer, ListedParts, PartUrlAnswer, StartedAnswer
from service.http.problems import ProblemDocument, problem_of

_URL = "https://images.example.com"
_BUCKET = "https://truss-image-source-prod-123456789012.s3.us-east-1.amazonaws.com/"
_UNIQUE_ID = "6f1f7a52-3a6e-4d0e-9a55-2f0c9b8c1d7e"
_NEW_ID = "img_1767323999000_60303ae22b998861"
_MADE_AT = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
_DONE_AT = _MADE_AT + timedelta(seconds=9, milliseconds=412)
_SIZES = (("thumbnail", 300, 225, 11204), ("medium", 800, 600, 58310), ("large", 1440, 1080, 190422))

_PENDING = Job(
    processing_id="img_1767323045678_9f86d081884c7d65",
    unique_id=_UNIQUE_ID,
    tenant="default",
    original_key=source_key(_UNIQUE_ID, "jpg"),
    filename="photo.jpg",
    status=JobStatus.PENDING,
    created_at=_MADE_AT,
    updated_at=_MADE_AT,
    expires_at=0,
    metadata={"album": "summer"},
)
_COMPLETED = replace(
    _PENDING,
    status=JobStatus.COMPLETED,
    updated_at=_DONE_AT,
    timings=Timings(download=38, process=612, upload=71, total=721),
    variants=tuple(
        StoredVariant(
            name=name,
            key=variant_key(_UNIQUE_ID, _PENDING.processing_id, f"{name}.webp"),
            width=width,
            height=height,
            size=size,
            content_type="image/webp",
            quality=85,
            sha256="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            stored_at=_DONE_AT,
        )
        for name, width, height, size in (*_SIZES, ("webp", 4032, 3024, 901544))
    ),
)
_FAILED = replace(
    _PENDING,
    status=JobStatus.FAILED,
    updated_at=_DONE_AT,
    error=Failure(code=CorruptImage.code, message=CorruptImage().message),
)
_SUPERSEDED = replace(_FAILED, error=REPLACED, superseded_by=_NEW_ID)
_GIVEN_UP = replace(
    _FAILED, error=Failure(code=UNAVAILABLE, message="The job was given up after several tries; it can be redriven.")
)
_UPLOAD = PresignedUpload(
    url=f"{_BUCKET}{_PENDING.original_key}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires=3600&X-Amz-Signature=...",
    headers={"Content-Type": "image/jpeg"},
    post=PostForm(
        url=_BUCKET,
        fields={
            "key": _PENDING.original_key,
            "Content-Type": "image/jpeg",
            "policy": "...",
            "x-amz-signature": "...",
        },
    ),
    expires_in_seconds=3600,
)

UPLOAD_URL = UploadUrlAnswer.of(Submission(job=_PENDING, upload=_UPLOAD), base_url=_URL)
_LARGE = 20 * 1024 * 1024
_PARTS = tuple(
    PresignedPart(
        number=number,
        size=size,
        url=f"{_BUCKET}{_PENDING.original_key}?partNumber={number}&uploadId=...&X-Amz-Signature=...",
        headers={"Content-Length": str(size)},
        expires_in_seconds=3600,
    )
    for number, size in part_sizes(_LARGE).items()
)
_MULTIPART = MultipartSubmission(job=_PENDING, part_size=part_size(_LARGE), parts=_PARTS)
MULTIPART = MultipartAnswer.of(_MULTIPART, base_url=_URL)
PARTS = MultipartAnswer.of(replace(_MULTIPART, parts=_PARTS[1:2]), base_url=_URL)
PARTS_STATE = PartsAnswer.of(
    PartsState(
        job=_PENDING,
        size=_LARGE,
        part_size=part_size(_LARGE),
        arrived=(Part(number=1, size=part_size(_LARGE), etag=""),),
        missing=(2, 3),
    )
)
KNOWN_PARTS = MultipartAnswer.of_duplicate(_COMPLETED, part_size=part_size(_LARGE), base_url=_URL)
UPPY_FORM = FormAnswer.of(Submission(job=_PENDING, upload=_UPLOAD))
UPPY_STARTED = StartedAnswer.of(_PENDING)
UPPY_PART = PartUrlAnswer.of(SignedUrl(url=_PARTS[0].url, expires_in_seconds=3600))
UPPY_PARTS = ListedParts.of([Part(number=1, size=5 * 1024 * 1024, etag="9f86d081884c7d659a2feaa0c55ad015")])
UPPY_FINISHED = FinishedAnswer.of(first_image(_PENDING), _URL)
COMPLETED_UPLOAD = CompletedUploadAnswer.of(first_image(_PENDING))
ABORTED_UPLOAD = DeleteAnswer.of(
    _UNIQUE_ID, Erasure(sources=(), variants=(), manifests=(), invalidation=None, erased_at=_DONE_AT)
)
JOBS = {
    "pending": JobAnswer.of(_PENDING, _URL),
    "completed": JobAnswer.of(_COMPLETED, _URL),
    "failed": JobAnswer.of(_FAILED, _URL),
    "superseded": JobAnswer.of(_SUPERSEDED, _URL),
}
LIST = ListAnswer.of([_COMPLETED], None, _URL)
FAILED = FailedAnswer.of([_FAILED], None, _URL, QueueDepth(waiting=3, in_flight=0))
REDRIVES = {
    "dryRun": RedriveAnswer.of(
        Redrive(attempts=(Attempt(job=_GIVEN_UP),), messages=3, next_after=None), None, dry_run=True
    ),
    "redriven": RedriveAnswer.of(
        Redrive(attempts=(Attempt(job=_GIVEN_UP, new_processing_id=_NEW_ID),), messages=3, next_after=None),
        None,
        dry_run=False,
    ),
    "refused": RedriveAnswer.of(
        Redrive(attempts=(Attempt(job=_GIVEN_UP, refused=NotUploaded.code),), messages=0, next_after=None),
        None,
        dry_run=False,
    ),
}
PROCESS = ProcessAnswer.of(replace(_PENDING, processing_id=_NEW_ID))
PROCESSED = ProcessedAnswer.of(_UNIQUE_ID, _COMPLETED.variants, _URL)
DELETE = DeleteAnswer.of(
    _UNIQUE_ID,
    Erasure(
        sources=(_COMPLETED.original_key,),
        variants=tuple(variant.key for variant in _COMPLETED.variants),
        manifests=(manifest_key(_UNIQUE_ID, _COMPLETED.processing_id),),
        invalidation="I2J0I21PCUYOIK",
        erased_at=_DONE_AT,
    ),
)
HEALTHY = HealthAnswer(
    status="healthy",
    stage="prod",
    timestamp=_MADE_AT,
    checks={"sourceBucket": "ok", "processedBucket": "ok", "queue": "ok", "table": "ok", "worker": "ok"},
)
UNHEALTHY = HEALTHY.model_copy(update={"status": "unhealthy", "checks": {**HEALTHY.checks, "table": "failing"}})
LIVE = HEALTHY.model_copy(update={"checks": {"worker": "ok", "engine": "ok"}})
NOT_LIVE = LIVE.model_copy(update={"status": "unhealthy", "checks": {"worker": "ok", "engine": "failing"}})
READY = HEALTHY.model_copy(update={"checks": {"worker": "ok", "engine": "ok", "queue": "ok"}})
NOT_READY = READY.model_copy(update={"status": "unhealthy", "checks": {**READY.checks, "queue": "failing"}})


def problem(error: TrussError) -> ProblemDocument:
    """How the error looks on the wire."""
    return problem_of(error).document("0b6c7e5f4a3d4a0f8c2d1e9b7a605f43")
