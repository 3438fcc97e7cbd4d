"""The fields about a file that all kinds of uploads have in common."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from processor.catalog.uploads import UploadRequest
from processor.errors import FileTooLarge
from processor.jobs import Terms
from service.formats import ACCEPTED_NAMES, CONTENT_TYPES, extension_for, refusal_of
from service.http.problems import UnsupportedContentType
from service.http.wire import Question, WholeNumber, printable

#: The longest validity of an upload URL, in seconds: 12 hours, the longest session of a role.
MAX_EXPIRES_SECONDS = 43_200
#: Metadata is copied into the records of every job and into every row of a list: a few small entries, not a second
#: store. The bytes are those of all keys and values together, in UTF-8.
MAX_METADATA_ENTRIES = 20
MAX_METADATA_KEY = 64
MAX_METADATA_VALUE = 256
MAX_METADATA_BYTES = 4096
ANY_CONTENT_TYPE = "application/octet-stream"

_EXTENSION = re.compile(r"[a-z0-9]{1,8}")
#: Tabs and line ends are allowed in texts that people write. Lone surrogates are in no valid text.
_NO_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_METADATA_KEY = re.compile(r"[A-Za-z0-9._-]+")
#: A type and a subtype (RFC 6838, 4.2) without parameters, because the upload must repeat the text exactly.
_CONTENT_TYPE = re.compile(r"image/[a-z0-9][a-z0-9!#$&^_.+-]{0,99}|application/octet-stream", re.IGNORECASE)


def _checksum(text: str) -> str:
    """Accepts only the canonical spelling of the 32 bytes, because S3 compares the text."""
    try:
        digest = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != 32 or base64.b64encode(digest).decode() != text:  # noqa: PLR2004 - SHA-256
        raise PydanticCustomError("checksum", "must be the base64 form of a SHA-256 digest")
    return text


def _metadata(entries: dict[str, str]) -> dict[str, str]:
    if any(_METADATA_KEY.fullmatch(key) is None for key in entries):
        raise PydanticCustomError("metadata", "must have keys of letters, digits, dots, dashes and underscores")
    if any(_NO_TEXT.search(value) for value in entries.values()):
        raise PydanticCustomError("metadata", "must have values without control characters")
    _bound("entries", MAX_METADATA_ENTRIES, len(entries))
    for key, value in entries.items():
        _bound("characters in a key", MAX_METADATA_KEY, len(key))
        _bound(f"characters in the value of {key}", MAX_METADATA_VALUE, len(value))
    _bound("bytes in all", MAX_METADATA_BYTES, sum(len(text.encode()) for entry in entries.items() for text in entry))
    return entries


def _bound(what: str, limit: int, actual: int) -> None:
    """Raises `PydanticCustomError` with both numbers."""
    if actual > limit:
        told = {"what": what, "limit": limit, "actual": actual}
        raise PydanticCustomError("bound", "must have at most {limit} {what}; it has {actual}", told)


PresetName = Annotated[str, Field(examples=["avatar"])]
PRESET_TOLD = "Name of the preset to convert it with, in its newest version; by default the tenant's default."

Metadata = Annotated[dict[str, str], AfterValidator(_metadata)]


class FileRequest(Question):
    """Facts about a file, for any kind of upload."""

    filename: Annotated[str, Field(min_length=1, max_length=255), AfterValidator(printable)] = Field(
        description="Name of the file, without control characters. It comes back with the status; its extension "
        "becomes part of the key.",
        examples=["photo.jpg"],
    )
    content_type: str | None = Field(
        default=None,
        description="`image/*` or `application/octet-stream`; by default what the extension says. What can never be "
        "converted is refused; `GET /images/limits` lists the formats. A type that is accepted is believed, whatever "
        "the file is called.",
        examples=["image/jpeg"],
    )
    expires_in: WholeNumber = Field(
        default=3600, ge=60, le=MAX_EXPIRES_SECONDS, description="How long the URL holds, in seconds."
    )
    checksum_sha256: Annotated[str, AfterValidator(_checksum)] | None = Field(
        default=None,
        alias="checksumSha256",
        description="SHA-256 of the file in base64; the upload is then bound to it.",
    )
    preset: PresetName | None = Field(default=None, description=PRESET_TOLD)
    metadata: Metadata = Field(
        default_factory=dict,
        description=f"At most {MAX_METADATA_ENTRIES} entries and {MAX_METADATA_BYTES} bytes (UTF-8) in all; keys of 1 "
        f"to {MAX_METADATA_KEY} letters, digits, `.`, `_` and `-`, values of at most {MAX_METADATA_VALUE} characters. "
        "They come back with the status.",
        examples=[{"album": "summer"}],
    )

    def _upload(self, size: int | None, *, max_bytes: int, once: bool = False) -> UploadRequest:
        named = _extension_of(self.filename)
        content_type = self.content_type or CONTENT_TYPES.get(named or "", ANY_CONTENT_TYPE)
        if _CONTENT_TYPE.fullmatch(content_type) is None:
            raise UnsupportedContentType(
                "The contentType must be an image type or application/octet-stream, without spaces and parameters; "
                f"{ACCEPTED_NAMES} are converted."
            )
        refusal = refusal_of(content_type, named)
        if refusal is not None:
            raise UnsupportedContentType(refusal)
        if size is not None and size > max_bytes:
            raise FileTooLarge(limit=max_bytes, actual=size)
        return UploadRequest(
            filename=self.filename,
            extension=named or _extension_for(content_type),
            terms=Terms(content_type=content_type, size=size, checksum_sha256=self.checksum_sha256, once=once),
            expires_in_seconds=self.expires_in,
            metadata=self.metadata,
            preset=self.preset,
        )


def _extension_of(filename: str) -> str | None:
    _, dot, extension = filename.lower().rpartition(".")
    return extension if dot and _EXTENSION.fullmatch(extension) else None


def _extension_for(content_type: str) -> str:
    subtype = content_type.lower().partition("/")[2]
    return extension_for(content_type) or (subtype if _EXTENSION.fullmatch(subtype) else "bin")
