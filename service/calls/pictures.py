"""Pictures in the body of a request."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from service.http.problems import FieldError, InvalidRequest

#: Largest picture that may be posted, in bytes; in base64 it takes a third more.
MAX_PICTURE_BYTES = 4 * 1024 * 1024
#: The same, with what is around it.
MAX_PICTURE_BODY_BYTES = MAX_PICTURE_BYTES * 4 // 3 + 64 * 1024


def _bounded(text: str) -> str:
    longest = -(-MAX_PICTURE_BYTES // 3) * 4
    if len(text) > longest:
        told = {"limit": MAX_PICTURE_BYTES, "actual": len(text) * 3 // 4}
        raise PydanticCustomError("picture", "must have at most {limit} bytes; it has {actual}", told)
    return text


#: A file in base64.
Picture = Annotated[str, AfterValidator(_bounded)]


def decoded(picture: str) -> bytes:
    """The file. Raises `InvalidRequest`."""
    try:
        return base64.b64decode(picture, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequest([FieldError(field="picture", message="must be base64")]) from None
