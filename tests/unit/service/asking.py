"""An upload asked for, in a body and in a query."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest

from service.calls.uploads import UploadUrlQuery, UploadUrlRequest
from service.http.problems import InvalidRequest
from service.http.wire import read_body, read_query

DIGEST = base64.b64encode(hashlib.sha256(b"x").digest()).decode()


def body(**fields: Any) -> UploadUrlRequest:
    return read_body(UploadUrlRequest, json.dumps({"filename": "a.jpg"} | fields).encode())


def query(**fields: str) -> UploadUrlQuery:
    return read_query(UploadUrlQuery, {"filename": "a.jpg"} | fields)


def complaint(error: pytest.ExceptionInfo[InvalidRequest]) -> str:
    (found,) = error.value.errors
    return found.field
