"""Translates errors of the AWS SDK to errors of this project. One table serves all calls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import botocore.exceptions as sdk
import structlog

from processor.errors import ObjectChanged, ObjectNotFound, Throttled, TrussError, Unavailable

#: The meaning of AWS's error codes. Any other code means `Unavailable`: the client is never at fault.
CODES: Mapping[str, type[TrussError]] = MappingProxyType(
    {
        # HEAD answers have no body, so their code is the HTTP status.
        "404": ObjectNotFound,
        "InvalidObjectState": ObjectNotFound,  # archived: it cannot be read
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

#: AWS's codes for a request that can never succeed. They are defects of this project, and no sign of an outage. In a
#: transaction, the parts have the codes.
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

#: The SDK's errors about wrong calls. They are defects of this project, and are not translated.
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

#: Top packages of the HTTP client under the SDK. While a body is read, some of its errors come through the SDK.
_HTTP_PACKAGES = frozenset({"aiobotocore", "aiohttp"})

log = structlog.get_logger(__name__)


@contextmanager
def translated(*, missing: type[TrussError] = ObjectNotFound) -> Iterator[None]:
    """Translate the errors of AWS calls inside. `missing` is the error for a missing object.

    The new error's message has no text of AWS. The old error is its cause.
    """
    try:
        yield
    except Exception as error:
        meaning = translate(error)
        if meaning is None:
            raise
        raise (missing if meaning is ObjectNotFound else meaning)() from error


def translate(error: Exception) -> type[TrussError] | None:
    """The meaning of an error; None: it does not come from AWS."""
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
    """AWS's code, without the prefix of some SQS codes."""
    return error.response.get("Error", {}).get("Code", "").removeprefix("AWS.SimpleQueueService.")


def meaning_of(code: str) -> type[TrussError]:
    """The meaning of an error code, from an error or from a single failure in an answer."""
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
