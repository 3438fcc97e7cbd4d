"""The error tree, split by what whoever catches it must do; it knows neither HTTP nor AWS.

::

    TrussError
    ├── Rejected              can never succeed: tell the client, settle the message
    │   ├── NotAnEvent  NoSuchPart  PartTooSmall  PresetUnusable  PictureRefused
    │   ├── UnknownAsset  LookingNotInstalled  PrivateNotInstalled
    │   └── ImageRejected     the uploaded bytes are at fault: the job is `failed` with this code
    │       ├── EmptyFile  UnsupportedFormat  CorruptImage  UnexpectedFile  TimedOut  DecoderCrashed
    │       └── LimitExceeded ── FileTooLarge  SideTooLong  TooManyPixels  TooManyFrames  TooManyScans
    │                            TooManyPieces  TooLargeForMemory  NotConvertible
    ├── NotFound              there is no such thing (or it is another tenant's)
    │   ├── ImageNotFound ── ImageDeleted
    │   └── JobNotFound  KeyNotFound  BulkNotFound  ObjectNotFound  WebhookNotFound  DeliveryNotFound
    │       PresetNotFound  AssetNotFound
    ├── Conflict              the state of things forbids it now
    │   ├── LeaseLost  ObjectChanged  NotUploaded  AlreadyUploaded  RecordChanged
    │   ├── UploadIncomplete  UploadExpired  WrongUploadMethod
    │   ├── IdempotencyKeyReused  RequestInProgress  AnswerNotKept  KeyEnded  TooManyJobs
    │   ├── FilterMismatch  BulkInProgress  TooManyWebhooks  WebhookOff
    │   ├── PresetBuiltIn  PresetChanged  PresetInUse  TooManyPresets  AssetInUse  AssetMissing
    │   ├── TooManyAssets
    │   ├── DailyLimitReached  ImageLimitReached
    │   ├── NeedsReview  ReviewRejected  NotInReview  ReviewDecided
    │   └── Busy              others were faster, again and again: try again in a moment
    └── Unavailable           nobody's fault: try again later
        └── Throttled  LookingOff  LookingFailed

The first line of a class's docstring is its default message, fit to be shown to a client.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import ClassVar, TypeVar, overload

Kind = TypeVar("Kind", bound="TrussError")


class TrussError(Exception):
    """Something went wrong."""

    #: Stable, snake_case; part of the wire contract.
    code: ClassVar[str] = "internal_error"
    #: What is accepted, and what was asked for or sent, where it is a matter of a number.
    limit: float | None = None
    actual: float | None = None

    def __init__(self, message: str | None = None) -> None:
        self.message = message or default_message(type(self))
        super().__init__(self.message)

    @property
    def numbers(self) -> tuple[float | None, float | None]:
        """`limit` and `actual`, both or none. Whoever stopped to count at the limit knows of one more."""
        return self.limit, (self.limit + 1 if self.actual is None and self.limit is not None else self.actual)


class Rejected(TrussError):
    """The request can never succeed as it stands."""

    code = "rejected"


class NotAnEvent(Rejected):
    """The message is neither an S3 notification nor a request of this service."""

    code = "not_an_event"


class NotReplayable(Rejected):
    """The job cannot be made again."""

    code = "not_replayable"


class NoSuchPart(Rejected):
    """The upload has no part with this number."""

    code = "no_such_part"

    def __init__(self, message: str | None = None, *, limit: int | None = None, actual: int | None = None) -> None:
        #: The highest number that there can be, and the one that was asked for.
        self.limit, self.actual = limit, actual
        super().__init__(message)


class PartTooSmall(Rejected):
    """Every part of a file but the last must have at least 5 MiB."""

    code = "part_too_small"

    def __init__(self, number: int = 0, *, limit: int | None = None, actual: int | None = None) -> None:
        #: The least that it must have, and what it has, in bytes.
        self.limit, self.actual = limit, actual
        told = "Part {} has {:,} bytes; every part but the last must have at least {:,}."
        super().__init__(told.format(number, actual, limit) if number else None)


class LookingNotInstalled(Rejected):
    """This needs the models that look into pictures, which are not installed here."""

    code = "looking_not_installed"

    def __init__(self, names: Sequence[str] = ()) -> None:
        told = "{} needs the models that look into pictures, which are not installed here."
        super().__init__(told.format(" and ".join(f"`{name}`" for name in names)) if names else None)


class PrivateNotInstalled(Rejected):
    """Private pictures are not installed here: the operator adds a key that signs their URLs."""

    code = "private_not_installed"


class PresetUnusable(Rejected):
    """The test picture cannot be made with this preset."""

    code = "preset_unusable"


class PictureRefused(Rejected):
    """The picture cannot be converted."""

    code = "picture_refused"

    def __init__(self, why: ImageRejected | None = None) -> None:
        #: What the job of an upload would fail with.
        self.why = why
        if why is not None:
            self.limit, self.actual = why.limit, why.actual
        super().__init__(None if why is None else f"The picture cannot be converted ({why.code}): {why.message}")


class ImageRejected(Rejected):
    """The uploaded file cannot be turned into variants."""

    code = "image_rejected"
    #: What the service accepts, and what the file has, where it is a matter of a number.
    limit: int | None = None
    actual: int | None = None


class LimitExceeded(ImageRejected):
    """The uploaded file has more of something than the service accepts."""

    #: The sentence that names the numbers.
    told: ClassVar[str] = "The file has {actual:,}; the service accepts {limit:,}."

    def __init__(self, *, limit: int | None = None, actual: int | None = None) -> None:
        self.limit, self.actual = limit, actual
        numbers = {"limit": limit, "actual": actual}
        known = all(number is not None for name, number in numbers.items() if f"{{{name}" in self.told)
        super().__init__(self.told.format(**numbers) if known else None)


class EmptyFile(ImageRejected):
    """The uploaded file is empty."""

    code = "empty_file"


class FileTooLarge(LimitExceeded):
    """The file has more bytes than the service accepts."""

    code = "file_too_large"
    told = "The file has {actual:,} bytes; the service accepts {limit:,}."


class UnsupportedFormat(ImageRejected):
    """The file is not a JPEG, PNG, WebP, GIF, AVIF, HEIC or TIFF image."""

    code = "unsupported_format"

    def __init__(self, kind: str | None = None) -> None:
        #: A kind of one of these that is sound, and nothing that this service can decode.
        self.kind = kind
        super().__init__(f"This kind of {kind} is not supported." if kind else None)


class CorruptImage(ImageRejected):
    """The image is damaged or incomplete."""

    code = "corrupt_image"


class UnexpectedFile(ImageRejected):
    """The uploaded file is not the one that was announced."""

    code = "unexpected_file"


class SideTooLong(LimitExceeded):
    """The image is wider or higher than the service accepts."""

    code = "side_too_long"
    told = "The longer side of the image has {actual:,} pixels; the service accepts {limit:,}."


class TooManyPixels(LimitExceeded):
    """The image has more pixels, frames counted in, than the service accepts."""

    code = "too_many_pixels"
    told = "The image has {actual:,} pixels, frames counted in; the service accepts {limit:,}."


class TooManyFrames(LimitExceeded):
    """The animation has more frames than the service accepts."""

    code = "too_many_frames"
    told = "The animation has {actual:,} frames; the service accepts {limit:,}."


class TooManyScans(LimitExceeded):
    """The image is written in more scans than the service accepts."""

    code = "too_many_scans"
    told = "The image has {actual:,} scans; the service accepts {limit:,}."


class TooManyPieces(LimitExceeded):
    """The file is cut into more segments, chunks, blocks, boxes or tags than the service accepts."""

    code = "too_many_pieces"
    told = "The file has more than {limit:,} segments, chunks, blocks, boxes or tags, as many as the service accepts."


class TooLargeForMemory(LimitExceeded):
    """Converting the image takes more bytes of memory than the service has."""

    code = "too_large_for_memory"
    told = "Converting the image takes {actual:,} bytes of memory; the service has {limit:,}."


class NotConvertible(LimitExceeded):
    """The image cannot be converted."""

    code = "not_convertible"
    told = "The image, of {actual:,} pixels a frame, cannot be converted."


class TimedOut(ImageRejected):
    """The image took longer to process than the service allows."""

    code = "timed_out"

    def __init__(self, *, limit: int | None = None) -> None:
        #: In seconds; it is stopped then, so that nobody knows how much longer it would have taken.
        self.limit = limit
        told = "The image took longer to process than the {:,} seconds that the service allows."
        super().__init__(None if limit is None else told.format(limit))


class DecoderCrashed(ImageRejected):
    """The image cannot be decoded safely."""

    code = "decoder_crashed"


class NotFound(TrussError):
    """There is nothing here."""

    code = "not_found"


class ImageNotFound(NotFound):
    """There is no image with this id."""

    code = "image_not_found"


class ImageDeleted(ImageNotFound):
    """This image was deleted."""

    code = "image_deleted"


class JobNotFound(NotFound):
    """There is no job with this id."""

    code = "job_not_found"


class KeyNotFound(NotFound):
    """There is no key with this id."""

    code = "key_not_found"


class BulkNotFound(NotFound):
    """There is no bulk job with this id."""

    code = "batch_not_found"


class WebhookNotFound(NotFound):
    """There is no webhook with this id."""

    code = "webhook_not_found"


class PresetNotFound(NotFound):
    """There is no preset with this name, or no such version of it."""

    code = "preset_not_found"


class DeliveryNotFound(NotFound):
    """The webhook has no delivery of this event in its log."""

    code = "delivery_not_found"


class ObjectNotFound(NotFound):
    """There is no such object."""

    code = "object_not_found"


class AssetNotFound(NotFound):
    """There is no such asset."""

    code = "asset_not_found"


class UnknownAsset(Rejected):
    """The preset names an asset that the tenant does not have."""

    code = "unknown_asset"


class Conflict(TrussError):
    """The current state does not allow this."""

    code = "conflict"


class LeaseLost(Conflict):
    """Another worker holds this job now."""

    code = "lease_lost"


class ObjectChanged(Conflict):
    """The object was replaced in the meantime."""

    code = "object_changed"


class NotUploaded(Conflict):
    """Nothing has been uploaded for this image yet."""

    code = "not_uploaded"


class NoLikeness(Conflict):
    """This image has no likeness to compare. It has one once it is converted again."""

    code = "no_likeness"


class NoEmbedding(Conflict):
    """This image has no embedding to compare. Convert it with a preset that has this analysis."""

    code = "no_embedding"


class AlreadyUploaded(Conflict):
    """The file has been uploaded already."""

    code = "already_uploaded"


class UploadIncomplete(Conflict):
    """Some parts of the file have not arrived yet; send them and complete again."""

    code = "upload_incomplete"

    def __init__(self, message: str | None = None, missing: Sequence[int] = ()) -> None:
        #: Numbers of the parts that have not arrived, in order.
        self.missing = tuple(missing)
        super().__init__(message)


class UploadExpired(Conflict):
    """The parts of this upload are not there any more; begin a new one."""

    code = "upload_expired"


class WrongUploadMethod(Conflict):
    """This upload was begun in the other way: in parts, or in one piece."""

    code = "wrong_upload_method"


class RecordChanged(Conflict):
    """The record was changed by somebody else in the meantime."""

    code = "record_changed"


class KeyEnded(Conflict):
    """This key has expired or was revoked."""

    code = "key_ended"


class WebhookOff(Conflict):
    """This webhook is off; switch it on first."""

    code = "webhook_off"


class TooManyWebhooks(Conflict):
    """The tenant has as many webhooks as it may; delete one first."""

    code = "too_many_webhooks"

    def __init__(self, *, limit: int | None = None) -> None:
        self.limit = limit
        super().__init__(f"A tenant has {limit} webhooks at most; delete one first." if limit else None)


class NeedsReview(Conflict):
    """The image waits for a review; until it is approved, nobody but a reviewer can see it."""

    code = "needs_review"


class ReviewRejected(Conflict):
    """A reviewer has rejected the image; its variants are gone."""

    code = "review_rejected"


class NotInReview(Conflict):
    """The job needs no review: it has none, or the image has a newer job."""

    code = "not_in_review"


class ReviewDecided(Conflict):
    """A reviewer has decided otherwise already."""

    code = "review_decided"


class PresetBuiltIn(Conflict):
    """This preset is built in; it cannot be changed or deleted."""

    code = "preset_built_in"


class PresetChanged(Conflict):
    """The preset is not as If-Match or If-None-Match says; look at it again."""

    code = "preset_changed"


class PresetInUse(Conflict):
    """The preset is in use."""

    code = "preset_in_use"


class TooManyPresets(Conflict):
    """The tenant has as many presets as it may; delete one first."""

    code = "too_many_presets"

    def __init__(self, *, limit: int | None = None) -> None:
        self.limit = limit
        super().__init__(f"A tenant has {limit} presets at most; delete one first." if limit else None)


class AssetMissing(Conflict):
    """An asset that the job's preset names is not there any more."""

    code = "asset_missing"


class AssetInUse(Conflict):
    """A preset names the asset."""

    code = "asset_in_use"


class TooManyAssets(Conflict):
    """The tenant has as many assets as it may; delete one first."""

    code = "too_many_assets"

    def __init__(self, *, limit: int | None = None) -> None:
        self.limit = limit
        super().__init__(f"A tenant has {limit} assets at most; delete one first." if limit else None)


class TooManyJobs(Conflict):
    """The image was uploaded or converted too often; upload it as a new one."""

    code = "too_many_jobs"

    def __init__(self, *, limit: int | None = None, actual: int | None = None) -> None:
        #: How many jobs an image may have, and how many it would have.
        self.limit, self.actual = limit, actual
        told = "An image has {:,} jobs at most, and this would be number {:,}; upload it as a new one."
        super().__init__(None if limit is None else told.format(limit, actual))


class FilterMismatch(Conflict):
    """The image does not match the filter any more."""

    code = "filter_mismatch"


class BulkInProgress(Conflict):
    """A bulk job of this kind is in progress; wait for its end, or cancel it."""

    code = "batch_in_progress"

    def __init__(self, bulk_id: str | None = None) -> None:
        told = "The bulk job {} is in progress; wait for its end, or cancel it."
        super().__init__(None if bulk_id is None else told.format(bulk_id))


class IdempotencyKeyReused(Conflict):
    """The Idempotency-Key was used for another request."""

    code = "idempotency_key_reused"


class RequestInProgress(Conflict):
    """The first request with this Idempotency-Key is still in progress; try again in a moment."""

    code = "request_in_progress"


class AnswerNotKept(Conflict):
    """This was done already; its answer held a secret and was not kept."""

    code = "answer_not_kept"


class DailyLimitReached(Conflict):
    """Today's limit is reached; it begins anew at midnight UTC."""

    code = "daily_limit_reached"

    def __init__(
        self, retry_after: int = 3600, *, what: str = "", limit: int | None = None, actual: int | None = None
    ) -> None:
        #: Seconds until the limit begins anew.
        self.retry_after = retry_after
        self.limit, self.actual = limit, actual
        counted = "Today's limit is {:,} {}, and this would make {:,}; it begins anew at midnight UTC."
        super().__init__(None if limit is None else counted.format(limit, what, actual))


class ImageLimitReached(Conflict):
    """As many images are stored as may be; delete some first."""

    code = "image_limit_reached"

    def __init__(self, *, limit: int | None = None, actual: int | None = None) -> None:
        #: How many may be stored, and how many there would be.
        self.limit, self.actual = limit, actual
        counted = "{:,} images may be stored, and this would make {:,}; delete some first."
        super().__init__(None if limit is None else counted.format(limit, actual))


class Busy(Conflict):
    """Others are changing the same thing just now; try again in a moment."""

    code = "busy"


class Unavailable(TrussError):
    """The service is temporarily unavailable; try again."""

    code = "unavailable"


class Throttled(Unavailable):
    """The service is busy; try again in a moment."""

    code = "throttled"


class LookingOff(Unavailable):
    """This process cannot look into pictures: the models are not installed."""

    code = "looking_off"


class LookingFailed(Unavailable):
    """A model that looks into pictures has failed."""

    code = "looking_failed"


def default_message(error: type[TrussError]) -> str:
    """The first line of the class's docstring."""
    return (inspect.getdoc(error) or error.__name__).splitlines()[0]


@overload
def leaves() -> list[type[TrussError]]: ...
@overload
def leaves(root: type[Kind]) -> list[type[Kind]]: ...
def leaves(root: type[TrussError] = TrussError) -> Sequence[type[TrussError]]:
    """Every class below `root` that has no subclass of its own, in order of definition."""
    children = root.__subclasses__()
    return [leaf for child in children for leaf in leaves(child)] if children else [root]
