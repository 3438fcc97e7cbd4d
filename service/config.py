"""The settings: every environment variable that the service knows, checked once, handed on typed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from aiohttp import web
from pydantic import BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from service import machine
from service.auth.settings import AuthSettings
from service.http.urls import BaseUrl, origins, without_password
from service.limits.settings import LimitSettings

MIB = 1024 * 1024
#: Least memory that is worth a start: a photograph of 4 megapixels.
LEAST_BUDGET_BYTES = 64 * MIB


class SettingsError(Exception):
    """The environment does not describe a service; the message names every bad variable."""


Name = Annotated[str, Field(min_length=1, pattern=r"^\S+$")]
Count = Annotated[int, Field(ge=1)]


class Settings(AuthSettings, LimitSettings):
    """The whole configuration. A field's alias is its variable; its description goes into docs/settings.md."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    stage: Annotated[
        str,
        Field(alias="STAGE", pattern=r"^[a-z][a-z0-9-]{0,15}$", description="Deployment stage; part of every name."),
    ] = "dev"
    # -- where things are
    source_bucket: Annotated[Name, Field(alias="SOURCE_BUCKET", description="Private bucket that clients upload to.")]
    processed_bucket: Annotated[
        Name, Field(alias="PROCESSED_BUCKET", description="Bucket behind CloudFront that variants are written to.")
    ]
    processing_table: Annotated[Name, Field(alias="PROCESSING_TABLE", description="DynamoDB table of jobs and images.")]
    queue_url: Annotated[BaseUrl, Field(alias="QUEUE_URL", description="SQS queue that the source bucket notifies.")]
    dead_letter_queue_url: Annotated[
        BaseUrl | None,
        Field(
            alias="DEAD_LETTER_QUEUE_URL",
            description="SQS queue of what failed too often or cannot be read; without it the API neither counts nor "
            "moves it, and the worker leaves what it cannot read to the queue.",
        ),
    ] = None
    cloudfront_url: Annotated[
        BaseUrl,
        Field(alias="CLOUDFRONT_URL", description="Base of the variants' public URLs, without a slash at the end."),
    ]
    cloudfront_distribution_id: Annotated[
        Name | None,
        Field(
            alias="CLOUDFRONT_DISTRIBUTION_ID",
            description="Distribution whose caches forget what is deleted; without it they keep it until it expires.",
        ),
    ] = None
    # -- AWS
    aws_region: Annotated[Name, Field(alias="AWS_REGION", description="Region of all of the above.")] = "us-east-1"
    role_session_seconds: Annotated[
        int,
        Field(
            alias="ROLE_SESSION_SECONDS",
            ge=1800,
            le=43200,
            description="How long a session of the pod's role lasts, at most what the role allows. An upload URL ends "
            "with the session that signed it, which is renewed every quarter of an hour.",
        ),
    ] = 3600
    aws_endpoint_url: Annotated[
        BaseUrl | None, Field(alias="AWS_ENDPOINT_URL", description="Another endpoint for S3, SQS and DynamoDB.")
    ] = None
    s3_public_endpoint_url: Annotated[
        BaseUrl | None,
        Field(
            alias="S3_PUBLIC_ENDPOINT_URL", description="Endpoint that presigned URLs name, when clients need another."
        ),
    ] = None
    # -- HTTP
    host: Annotated[str, Field(alias="HOST", description="Address to listen on.")] = "0.0.0.0"  # noqa: S104 - a pod's
    port: Annotated[int, Field(alias="PORT", ge=0, le=65535, description="Port to listen on; 0 takes a free one.")] = (
        8080
    )
    metrics_port: Annotated[
        int | None,
        Field(
            alias="METRICS_PORT",
            ge=0,
            le=65535,
            description="Port of `GET /metrics`, for Prometheus; 0 takes a free one; without it there is none.",
        ),
    ] = None
    cors_origins: Annotated[
        tuple[str, ...],
        BeforeValidator(origins),
        Field(
            alias="CORS_ORIGINS",
            description="Origins that may call the API from a browser, by commas, as in `https://app.example.com`; `*` "
            "for any.",
        ),
    ] = ()
    client_timeout_seconds: Annotated[
        float,
        Field(
            alias="CLIENT_TIMEOUT_SECONDS",
            gt=0,
            le=300,
            description="Longest that a client may take to send its first request's headers, or a body.",
        ),
    ] = 20
    keepalive_seconds: Annotated[
        float,
        Field(
            alias="KEEPALIVE_SECONDS",
            gt=0,
            le=3600,
            description="How long a connection is kept between two requests; must exceed the load balancer's idle "
            "timeout.",
        ),
    ] = 75
    http_timeout_seconds: Annotated[
        int,
        Field(
            alias="HTTP_TIMEOUT_SECONDS",
            ge=1,
            le=300,
            description="Longest that running requests may take to end on shutdown.",
        ),
    ] = 15
    # -- the worker
    worker_threads: Annotated[
        int,
        Field(
            alias="WORKER_THREADS",
            ge=1,
            le=256,
            description="Images converted at once; by default the processors that the process may use.",
        ),
    ] = Field(default_factory=machine.processors)
    worker_slots: Annotated[
        int | None,
        Field(
            alias="WORKER_SLOTS",
            ge=1,
            le=512,
            description="Messages in work at once; by default one more than the threads, to overlap downloads.",
        ),
    ] = None
    queue_wait_seconds: Annotated[
        int, Field(alias="QUEUE_WAIT_SECONDS", ge=0, le=20, description="Length of a long poll.")
    ] = 20
    visibility_seconds: Annotated[
        int,
        Field(
            alias="VISIBILITY_SECONDS",
            ge=6,
            le=43200,
            description="How long a message and a job's lease are held between two heartbeats.",
        ),
    ] = 60
    drain_seconds: Annotated[
        int,
        Field(
            alias="DRAIN_SECONDS",
            ge=1,
            le=3600,
            description="Longest wait for running conversions on shutdown; must exceed `PROCESS_TIMEOUT_SECONDS`.",
        ),
    ] = 75
    memory_budget_bytes: Annotated[
        int,
        Field(
            alias="MEMORY_BUDGET_BYTES",
            ge=LEAST_BUDGET_BYTES,
            description="Memory that conversions running at once may use together, by estimate; lowered to what the "
            "container's limit leaves.",
        ),
    ] = 960 * MIB
    # -- limits on what is uploaded
    max_upload_bytes: Annotated[Count, Field(alias="MAX_UPLOAD_BYTES", description="Largest file.")] = 100 * MIB
    max_pixels: Annotated[
        Count, Field(alias="MAX_PIXELS", description="Most pixels in an image, all frames together.")
    ] = 120_000_000
    max_side: Annotated[Count, Field(alias="MAX_SIDE", description="Longest side in pixels.")] = 32_767
    max_frames: Annotated[Count, Field(alias="MAX_FRAMES", description="Most frames in an animation.")] = 500
    process_timeout_seconds: Annotated[
        int,
        Field(
            alias="PROCESS_TIMEOUT_SECONDS", ge=1, le=3600, description="Longest that one image may take to convert."
        ),
    ] = 60
    # -- output and records
    webp_effort: Annotated[
        int, Field(alias="WEBP_EFFORT", ge=0, le=6, description="CPU spent on compression: 0 least, 6 most.")
    ] = 2
    retention_days: Annotated[
        int, Field(alias="RETENTION_DAYS", ge=1, le=3650, description="How long job records are kept.")
    ] = 30
    # -- logs
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Field(alias="LOG_LEVEL", description="Least level that is logged."),
    ] = "info"
    log_format: Annotated[
        Literal["auto", "json", "console"],
        Field(alias="LOG_FORMAT", description="`auto` is `console` on a terminal and `json` elsewhere."),
    ] = "auto"

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """Read the settings; an empty variable is as good as none. Raises `SettingsError`, naming every bad one."""
        aliases = [field.alias for field in cls.model_fields.values() if field.alias]
        given = {alias: environ[alias] for alias in aliases if environ.get(alias)}
        try:
            settings = cls.model_validate(given)
        except ValidationError as error:
            raise SettingsError("\n".join(_complaint(detail, given) for detail in error.errors())) from None
        complaints = settings.complaints_about_access(settings.stage)
        if complaints:
            raise SettingsError("\n".join(complaints))
        if settings.drain_seconds <= settings.process_timeout_seconds:
            raise SettingsError(
                f"DRAIN_SECONDS: got {settings.drain_seconds}; must exceed PROCESS_TIMEOUT_SECONDS "
                f"({settings.process_timeout_seconds}), because a conversion cannot be cut short"
            )
        return settings

    @classmethod
    def describes_a_service(cls, environ: Mapping[str, str]) -> bool:
        """Whether any variable is set that there is no default for."""
        return any(environ.get(str(field.alias)) for field in cls.model_fields.values() if field.is_required())

    @property
    def slots(self) -> int:
        """Messages in work at once."""
        return self.worker_slots or self.worker_threads + 1

    def affordable(self, memory_limit_bytes: int | None) -> Self:
        """With a budget that the memory of the container holds, beside the sources in wait and the process itself.

        Raises `SettingsError` when there is none.
        """
        if memory_limit_bytes is None:
            return self
        others = machine.OWN_BYTES + self.slots * self.max_upload_bytes
        left = memory_limit_bytes - others
        if left < LEAST_BUDGET_BYTES:
            raise SettingsError(
                f"MEMORY_BUDGET_BYTES: the container's limit is {memory_limit_bytes} bytes, of which the process "
                f"itself and {self.slots} slots of MAX_UPLOAD_BYTES take {others}; "
                f"at least {LEAST_BUDGET_BYTES} must be left"
            )
        return self.model_copy(update={"memory_budget_bytes": min(self.memory_budget_bytes, left)})

    @classmethod
    def variables(cls) -> dict[str, FieldInfo]:
        """Every setting by its variable, what must be set before what may be."""
        # A class has its parents' fields first.
        inherited = LimitSettings.model_fields | AuthSettings.model_fields
        fields = {name: field for name, field in cls.model_fields.items() if name not in inherited} | inherited
        return {str(field.alias): field for field in fields.values()}

    @classmethod
    def table(cls, *, required: bool = False) -> str:
        """The settings as a Markdown table, for docs/settings.md; or those alone that must be set."""
        fields = cls.variables().items()
        if required:
            rows = [f"| `{variable}` | {field.description} |" for variable, field in fields if field.is_required()]
            return "\n".join(("| variable | meaning |", "| --- | --- |", *rows))
        rows = [f"| `{variable}` | {_default(field)} | {field.description} |" for variable, field in fields]
        return "\n".join(("| variable | default | meaning |", "| --- | --- | --- |", *rows))


SETTINGS = web.AppKey("settings", Settings)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default_factory is not None:
        return "processors" if field.annotation is int else ""
    value = ",".join(sorted(field.default)) if isinstance(field.default, tuple | frozenset) else field.default
    return "" if value in (None, "") else f"`{value}`"


def _complaint(detail: ErrorDetails, given: Mapping[str, str]) -> str:
    """`NAME: got 'value'; what is allowed`."""
    name = str(detail["loc"][0])
    allowed = detail["msg"][0].lower() + detail["msg"][1:]
    return f"{name}: got {without_password(given[name])!r}; {allowed}" if name in given else f"{name}: is required"
