"""Translates errors of the AWS SDK to errors of this project: one table, used around every call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import botocore.exceptions as sdk
import structlog

from processor.errors import ObjectChanged, ObjectNotFound, Throttled, TrussError, Unavailable

#: What AWS's error codes mean. A code that is not here is `Unavailable`: whatever AWS says, the client is not at fault.
CODES: Mapping[str, type[TrussError]] = MappingProxyType(
    {
        # HEAD answers have no body, so their code is the HTTP status.
        "404": ObjectNotFound,
        "InvalidObjectState": ObjectNotFound,  # archived: there is nothing that could be read
        "NoSuchKey": ObjectNotFound,
        "NoSuchUpload": ObjectNotFound,
        "NotFound": ObjectNotFound,
        "412": ObjectChanged,
        "PreconditionFailed": ObjectChanged,
        "InvalidPart": ObjectChanged,
        "429": Throttled,
        "BandwidthLimitExceeded": Throttled,
        "EC2ThrottledException": Throttled,
        "KmsThrottled": Throttled,
        "LimitExceededException": Throttled,
        "OverLimit": Throttled,
        "PriorRequestNotComplete": Throttled,
        "ProvisionedThroughputExceeded": Throttled,
        "ProvisionedThroughputExceededException": Throttled,
        "RequestLimitExceeded": Throttled,
        "RequestThrottled": Throttled,
        "RequestThrottledException": Throttled,
        "SlowDown": Throttled,
        "Throttling": Throttled,
        "ThrottlingError": Throttled,
        "ThrottlingException": Throttled,
        "ThrottledException": Throttled,
        "TooManyInvalidationsInProgress": Throttled,
        "TooManyRequestsException": Throttled,
        "TransactionConflict": Throttled,
        "TransactionConflictException": Throttled,
        "TransactionInProgressException": Throttled,
    }
)

#: AWS's complaints about a request that can never succeed, however often it is sent: defects of this project, too, and
#: no reason to think that AWS is away. A transaction says so of its parts.
DEFECT_CODES = frozenset(
    {
        "InvalidArgument",
        "InvalidMessageContents",
        "InvalidParameterCombination",
        "InvalidParameterValue",
        "ItemCollectionSizeLimitExceededException",
        "MalformedXML",
        "MissingParameter",
        "SerializationException",
        "ValidationError",
        "ValidationException",
    }
)

#: The SDK's complaints about how it was called. They are defects of this project and go on unchanged.
DEFECTS: tuple[type[Exception], ...] = (
    sdk.DataNotFoundError,
    sdk.ApiVersionNotFoundError,
    sdk.ParamValidationError,
    sdk.MissingParametersError,
    sdk.ValidationError,
    sdk.InvalidExpressionError,
    sdk.OperationNotPageableError,
    sdk.PaginationError,
    sdk.StubResponseError,
    sdk.UndefinedModelAttributeError,
    sdk.UnknownClientMethodError,
    sdk.UnknownServiceStyle,
    sdk.UnknownSignatureVersionError,
    sdk.UnsupportedSignatureVersionError,
    sdk.WaiterConfigError,
)

#: Top packages of the HTTP client under the SDK, some of whose errors it lets through while a body is read.
_HTTP_PACKAGES = frozenset({"aiobotocore", "aiohttp"})

log = structlog.get_logger(__name__)


@contextmanager
def translated(*, missing: type[TrussError] = ObjectNotFound) -> Iterator[None]:
    """Translate whatever the AWS calls inside raise. `missing` is what the absence of an object means.

    No text of AWS goes into the new error's message; the old error is its cause.
    """
    try:
        yield
    except Exception as error:
        meaning = translate(error)
        if meaning is None:
            raise
        raise (missing if meaning is ObjectNotFound else meaning)() from error


def translate(error: Exception) -> type[TrussError] | None:
    """What an error means; None for one that is not AWS's doing."""
    if isinstance(error, sdk.ClientError):
        return _by_code(error)
    if isinstance(error, (TrussError, *DEFECTS)):
        return None
    from_http = type(error).__module__.partition(".")[0] in _HTTP_PACKAGES
    if from_http or isinstance(error, sdk.BotoCoreError | OSError | TimeoutError):
        log.warning("AWS cannot be reached", error=type(error).__name__)
        return Unavailable
    return None


def code_of(error: sdk.ClientError) -> str:
    """AWS's code, without the prefix that SQS puts before some."""
    return error.response.get("Error", {}).get("Code", "").removeprefix("AWS.SimpleQueueService.")


def meaning_of(code: str) -> type[TrussError]:
    """What an error code means, in an error or in an answer that reports failures of single items."""
    return CODES.get(code, Unavailable)


def _by_code(error: sdk.ClientError) -> type[TrussError] | None:
    code = code_of(error)
    reasons: Mapping[str, Any] = error.response
    codes = {reason.get("Code", "") for reason in reasons.get("CancellationReasons", ())} | {code}
    if codes & DEFECT_CODES:
        return None
    meaning = meaning_of(code)
    if issubclass(meaning, Unavailable):
        log.warning("AWS call failed", operation=error.operation_name, code=code)
    return meaning
