"""The ids and keys of images, jobs and files on the wire, in paths and in answers."""

from __future__ import annotations

import re
from typing import Annotated

from aiohttp import web
from pydantic import Field, PlainSerializer, SerializationInfo, WithJsonSchema
from structlog.contextvars import bind_contextvars

from processor import clock
from processor.errors import ImageNotFound, JobNotFound
from processor.images import is_private
from service.http.call import PathPart
from service.http.links import Links


def _public(key: str, info: SerializationInfo) -> str:
    return links_of(info).url(key)


def links_of(info: SerializationInfo) -> Links:
    """What makes the URLs of the answer that is being written."""
    if not isinstance(info.context, Links):
        raise TypeError("An answer with public URLs is written by `as_json` or `as_plain`, which know where they begin")
    return info.context


def _expiry(key: str, info: SerializationInfo) -> str | None:
    expires_at = links_of(info).expires_at(key)
    return None if expires_at is None else clock.to_iso(expires_at)


def is_public(key: str) -> bool:
    """For fields that only private variants have."""
    return not is_private(key)


_EXAMPLE_ID = "6f1f7a52-3a6e-4d0e-9a55-2f0c9b8c1d7e"
_EXAMPLE_JOB = "img_1767323045678_9f86d081884c7d65"
#: The key of a source.
EXAMPLE_KEY = f"uploads/{_EXAMPLE_ID}.jpg"
_EXAMPLE_URL = f"https://images.example.com/processed/{_EXAMPLE_ID}/{_EXAMPLE_JOB}/webp.webp"

Url = Annotated[str, Field(json_schema_extra={"format": "uri"}, examples=[_EXAMPLE_URL])]
#: The key of a public object. It becomes a URL when the answer is written.
PublicUrl = Annotated[Url, PlainSerializer(_public, return_type=str)]
UniqueId = Annotated[str, Field(json_schema_extra={"format": "uuid"}, examples=[_EXAMPLE_ID])]
ProcessingId = Annotated[str, Field(examples=[_EXAMPLE_JOB])]
#: The key of a variant. It becomes the time at which its URL ends when the answer is written.
UrlExpiry = Annotated[
    str,
    PlainSerializer(_expiry, return_type=str | None),
    WithJsonSchema({"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]}),
]
SourceKey = Annotated[str, Field(examples=[EXAMPLE_KEY])]

UNIQUE_ID = PathPart(
    "uniqueId", "A UUID, as answered with the upload URL.", r"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"
)
#: The id of a job, or of an image in its place.
PROCESSING_ID = PathPart(
    "processingId",
    "As answered with the upload URL. A `uniqueId` stands for the image's current job.",
    r"^(img_[0-9]+_[A-Za-z0-9]+|[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})$",
)

_UNIQUE_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_PROCESSING_ID = re.compile(r"img_[0-9]{1,16}_[A-Za-z0-9]{1,64}")


def is_unique_id(text: str) -> bool:
    """Whether a text has the form of an image's id."""
    return _UNIQUE_ID.fullmatch(text.lower()) is not None


def unique_id_of(text: str) -> str:
    """The id of an image in a path, in lower case. Raises `ImageNotFound` if it cannot be an id."""
    if not is_unique_id(text):
        raise ImageNotFound
    return text.lower()


def processing_id_of(text: str) -> str:
    """The id of a job in a path. Raises `JobNotFound` if it cannot be an id."""
    if _PROCESSING_ID.fullmatch(text) is None:
        raise JobNotFound
    return text


def unique_id_in(request: web.Request) -> str:
    """The image in the path. Raises `ImageNotFound`."""
    unique_id = unique_id_of(request.match_info[UNIQUE_ID.name])
    bind_contextvars(uniqueId=unique_id)
    return unique_id
