"""A client for the Truss image service: uploads straight to S3, and variants of them.

`Client` blocks, and `AsyncClient` is for asyncio; both have the same methods.
"""

from __future__ import annotations

from truss_image_client import models, webhooks
from truss_image_client._async.client import AsyncClient
from truss_image_client._async.uploads import Progress, Upload
from truss_image_client._sync.client import Client
from truss_image_client.content import Source
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
    TooManyRequests,
    TrussImageError,
    Unavailable,
    UploadFailed,
    WebhookRefused,
)

__all__ = [
    "ApiError",
    "AsyncClient",
    "BadRequest",
    "Client",
    "Conflict",
    "JobFailed",
    "NotAllowed",
    "NotAuthenticated",
    "NotDone",
    "NotFound",
    "NotReached",
    "NotThisService",
    "Progress",
    "Source",
    "TooManyRequests",
    "TrussImageError",
    "Unavailable",
    "Upload",
    "UploadFailed",
    "WebhookRefused",
    "models",
    "webhooks",
]
