"""What the core needs of the world: objects, records, messages, pixels. Adapters live in `stores` and `pipeline`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from processor.images import ImageInfo, Rendered
from processor.jobs import Image, Job, JobStatus, Lease, Source


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectInfo:
    """What a store knows about an object without reading it. `size` in bytes; `etag` without quotes."""

    key: str
    size: int
    etag: str
    last_modified: datetime
    content_type: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadTerms:
    """What an upload must be: `size` and `checksum_sha256` (base64) bind it when the client gave them."""

    key: str
    content_type: str
    expires_in_seconds: int
    max_bytes: int
    size: int | None = None
    checksum_sha256: str | None = None
    once: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PostForm:
    """An upload as an HTML form: every field, then the file."""

    url: str
    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class PresignedUpload:
    """One upload, signed twice: as a PUT to `url` with `headers`, and as a form.

    There is no form for an upload that may be made once: S3 knows no such condition for forms. Both hold for
    `expires_in_seconds`, which is less than was asked for when the session that signed them ends sooner.
    """

    url: str
    headers: Mapping[str, str]
    post: PostForm | None
    expires_in_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MultipartUpload:
    """An upload in parts, from its beginning until it is completed or aborted."""

    key: str
    upload_id: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part that has arrived. Numbers begin at 1; `size` in bytes; `etag` without quotes."""

    number: int
    size: int
    etag: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PresignedPart:
    """One part, signed as a PUT to `url` with `headers`: it must have exactly `size` bytes."""

    number: int
    size: int
    url: str
    headers: Mapping[str, str]
    expires_in_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedUrl:
    """A PUT of whatever size, and how long it holds."""

    url: str
    expires_in_seconds: int


class Download(Protocol):
    """An object that is there, of which no more than its description has been read yet."""

    @property
    def info(self) -> ObjectInfo: ...

    async def read(self, *, max_bytes: int) -> bytes:
        """The whole object, once. Raises `FileTooLarge` before reading a body of more than `max_bytes`."""
        ...


class ObjectStore(Protocol):
    """One bucket."""

    async def presign_upload(self, terms: UploadTerms) -> PresignedUpload: ...

    async def begin_multipart(self, key: str, *, content_type: str) -> MultipartUpload:
        """There is no object before the upload is completed, and nothing is told to the queue."""
        ...

    async def sign_parts(
        self, upload: MultipartUpload, sizes: Mapping[int, int], *, expires_in_seconds: int
    ) -> tuple[PresignedPart, ...]:
        """The parts whose `sizes` in bytes are given by number, in that order. It is not asked whether the upload is
        still there. A part that is sent again takes the place of the one before."""
        ...

    async def sign_part(self, upload: MultipartUpload, number: int, *, expires_in_seconds: int) -> SignedUrl:
        """Where one part may be PUT, of whatever size. It is not asked whether the upload is still there."""
        ...

    async def list_parts(self, upload: MultipartUpload) -> tuple[Part, ...]:
        """What has arrived so far, by number. Raises `ObjectNotFound` for an upload that is not there any more."""
        ...

    async def complete_multipart(self, upload: MultipartUpload, parts: Sequence[Part]) -> None:
        """Make one object of `parts`, in order. Raises `ObjectNotFound` like `list_parts`, except perhaps when this
        was done already; `ObjectChanged` when a part is not there as it was listed."""
        ...

    async def abort_multipart(self, upload: MultipartUpload) -> None:
        """Remove the parts; from then on the upload cannot be completed. One that is gone is no error."""
        ...

    async def head(self, key: str) -> ObjectInfo:
        """Raises `ObjectNotFound`."""
        ...

    def open(self, key: str, *, etag: str | None = None) -> AbstractAsyncContextManager[Download]:
        """Begin to fetch an object: one call tells what it is, and brings it if it is wanted.

        Raises `ObjectNotFound`; `ObjectChanged` when it has another etag than `etag`."""
        ...

    async def fetch(self, key: str, *, max_bytes: int, etag: str | None = None) -> bytes:
        """The whole object. Raises `ObjectNotFound`; `ObjectChanged` when it has another etag than `etag`;
        `FileTooLarge` before reading a body of more than `max_bytes`."""
        ...

    async def store(
        self,
        key: str,
        body: bytes,
        *,
        content_type: str,
        cache_control: str,
        metadata: Mapping[str, str],
    ) -> None: ...

    async def purge(self, prefix: str) -> tuple[str, ...]:
        """Remove every object under the prefix with all its versions, and every unfinished upload, and look again until
        nothing is left; the keys of the objects that there were. Nothing under the prefix is no error."""
        ...

    def walk(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        """Every object under the prefix, in key order; `content_type` and `metadata` are not filled in."""
        ...

    async def list(self, prefix: str) -> list[ObjectInfo]:
        """The same at once, for a prefix under which few lie."""
        ...

    async def ping(self) -> None:
        """Raises `Unavailable` when the bucket cannot be reached."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class JobQuery:
    """Which jobs to list. `after` is the position of the last row already seen, in the order asked for."""

    tenant: str
    limit: int
    status: JobStatus | None = None
    newest_first: bool = True
    created_from: datetime | None = None
    created_to: datetime | None = None
    after: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPage:
    """A page of current jobs, and the position to go on `after`; None at the end."""

    jobs: tuple[Job, ...]
    next_after: str | None


class JobStore(Protocol):
    """The records. Every change is conditional: `RecordChanged` or `LeaseLost` say that somebody was faster, and `Busy`
    that so many others were at the same record that it could not be found out."""

    async def create(self, image: Image, job: Job) -> None:
        """Write a new image and its first job together."""
        ...

    async def get_image(self, unique_id: str) -> Image:
        """Consistent read; a deleted image is returned while its tombstone lives. Raises `ImageNotFound`."""
        ...

    async def get_job(self, processing_id: str) -> Job:
        """Consistent read; an expired record is as good as gone. Raises `JobNotFound`."""
        ...

    async def accept(self, image: Image, job: Job, source: Source, expires_at: int, *, counted: bool = True) -> Job:
        """The first source arrived: `pending -> uploaded`, and the image lives on. `job` expires at `expires_at`. With
        `counted` its image counts as stored.

        Raises `RecordChanged` unless the image is not deleted, has the current job that `image` has, and the job is
        still pending. Returns the job as written.
        """
        ...

    async def replace(self, image: Image, old: Job | None, new: Job) -> None:
        """Make `new` the current job.

        `old` (the current job, if its record still exists) leaves the listing and names `new` as `superseded_by`; when
        it has not ended it fails with `superseded`. Raises `RecordChanged` unless the image is not deleted, has the
        current job that `image` has, and `old` still has the status it was read with.
        """
        ...

    async def extend(self, image: Image, job: Job, expires_at: int) -> Job:
        """Let a pending upload live on until `expires_at`. Raises `RecordChanged` unless it is pending and as read."""
        ...

    async def claim(self, processing_id: str, lease: Lease, now: datetime) -> Job:
        """`uploaded -> processing` under `lease`, attempts + 1; likewise from `processing` with an expired lease and
        from `failed` with a code of `NOT_THE_FILES_FAULT`. Raises `Conflict` otherwise (also for a job that does not
        exist)."""
        ...

    async def renew(self, processing_id: str, lease: Lease) -> None:
        """Write the lease's new expiry. Raises `LeaseLost` unless its token holds a `processing` job."""
        ...

    async def release(self, processing_id: str, lease: Lease) -> None:
        """End the lease at once, so that another worker may claim; the attempt does not count, because nothing is wrong
        with the job. Raises `LeaseLost` like `renew`."""
        ...

    async def finish(self, job: Job, lease: Lease) -> None:
        """Write the outcome (`status`, `variants`, `error`, `timings`, `updated_at`, `expires_at`) and drop the lease.
        Raises `LeaseLost` like `renew`."""
        ...

    async def fail(self, job: Job) -> None:
        """Write `job.error` for a job that no worker holds. Raises `RecordChanged` unless it is still `uploaded`."""
        ...

    async def tombstone(self, image: Image, deleted_at: datetime, expires_at: int, *, uncounted: bool = False) -> Image:
        """Mark the image deleted and remove its current job, together; the image as written. With `uncounted` the job
        must not have been counted. Raises `RecordChanged` when its current job changed or it is deleted already."""
        ...

    async def forget_jobs(self, image: Image, erased_at: datetime) -> None:
        """Remove every job record of a deleted image, then note on its tombstone that nothing is left."""
        ...

    async def list(self, query: JobQuery) -> JobPage:
        """By query on an index, never a scan; eventually consistent, so no decision may rest on it."""
        ...

    async def find_completed(self, tenant: str, sha256: str) -> tuple[str, ...]:
        """Ids of completed jobs of a tenant over the file with this SHA-256 (hex), newest first; a few, and eventually
        consistent: whoever needs one reads it again."""
        ...

    async def signing_key(self, name: str) -> bytes:
        """32 random bytes, made on first use and the same for every process that shares the table."""
        ...

    async def ping(self) -> None:
        """Raises `Unavailable` when the table cannot be reached."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """An SQS envelope. `receive_count` includes this receive."""

    message_id: str
    receipt: str
    body: str = field(repr=False)
    receive_count: int = 1
    #: Why it is a dead letter, where this service made it one.
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueDepth:
    """About how many messages a queue holds: not received now, delayed ones included; received and not settled."""

    waiting: int
    in_flight: int


class MessageQueue(Protocol):
    """The queue that S3 and this service write to."""

    async def receive(self, limit: int, *, wait_seconds: int, visibility_seconds: int) -> list[Message]:
        """At most `limit` (1 to 10) messages; waits up to `wait_seconds` (0 to 20) for the first."""
        ...

    async def settle(self, receipts: Sequence[str]) -> None:
        """Delete messages, in batches. One that is gone already is no error."""
        ...

    async def set_visibility(self, receipts: Sequence[str], seconds: int) -> None:
        """Hide messages for `seconds` from now (0: give back at once), in batches. One that is gone is no error."""
        ...

    async def send(self, body: str, *, delay_seconds: int = 0, reason: str = "") -> None:
        """Nobody receives the message before `delay_seconds` (0 to 900) are over. `reason` goes with a dead letter."""
        ...

    async def depth(self) -> QueueDepth:
        """How much is in the queue; it may lag behind what was just sent or settled."""
        ...

    async def max_receive_count(self) -> int | None:
        """After how many receives the queue moves a message to its dead-letter queue; None: never."""
        ...

    async def ping(self) -> None:
        """Raises `Unavailable` when the queue cannot be reached."""
        ...


class EdgeCache(Protocol):
    """What stands between the processed bucket and its viewers."""

    async def invalidate(self, prefix: str) -> str:
        """Have every edge forget what lies under the prefix; the id of the order, which takes a minute or so."""
        ...


async def _nothing(_: ImageInfo) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """Whose an image is, for fair turns, and who is to know that its turn has come."""

    tenant: str = ""
    #: Awaited when thread and memory are there, before a pixel is worked on. What it raises ends the render.
    begin: Callable[[ImageInfo], Awaitable[None]] = _nothing


#: For whoever renders for itself alone.
NO_TICKET = Ticket()


class Renderer(Protocol):
    """Turns bytes into variants. A render whose caller is cancelled is called off."""

    async def render(self, data: bytes, ticket: Ticket = NO_TICKET) -> Rendered:
        """Raises an `ImageRejected` when the bytes are at fault, `Unavailable` when the machine is."""
        ...
