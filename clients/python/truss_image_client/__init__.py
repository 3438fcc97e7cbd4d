"""A client for the Truss image service: uploads straight to S3, and variants of them.

`Client` blocks, and `AsyncClient` is for asyncio; both have the same methods.
"""

from __future__ import annotations

from truss_image_client import models, webhooks
from truss_image_client._async.client import AsyncClient
from truss_image_client._async.events import AsyncEventStream
from truss_image_client._sync.client import Client
from truss_image_client._sync.events import EventStream
from truss_image_client.content import Content, Progress, Source, Upload
from truss_image_client.errors import (
    ApiError,
    BadRequest,
    Conflict,
    JobFailed,
    NotAllowed,
    NotAuthenticated,
    NotDone,
    NotFound,
    NotReached,
    NotThisService,
    OlderRelease,
    TooManyRequests,
    TrussImageError,
    Unavailable,
    UploadFailed,
    WebhookRefused,
)
from truss_image_client.webhooks import Event
from truss_image_client.wire import Answer, document

__all__ = [
    "Answer",
    "ApiError",
    "AsyncClient",
    "AsyncEventStream",
    "BadRequest",
    "Client",
    "Conflict",
    "Content",
    "Event",
    "EventStream",
    "JobFailed",
    "NotAllowed",
    "NotAuthenticated",
    "NotDone",
    "NotFound",
    "NotReached",
    "NotThisService",
    "OlderRelease",
    "Progress",
    "Source",
    "TooManyRequests",
    "TrussImageError",
    "Unavailable",
    "Upload",
    "UploadFailed",
    "WebhookRefused",
    "document",
    "models",
    "webhooks",
]
