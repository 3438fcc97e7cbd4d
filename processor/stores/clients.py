"""Opens the AWS clients, once for the whole process.

No other module knows which SDK makes them: see docs/adr/0029-aioboto3-behind-one-module.md.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import aioboto3
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError
from botocore.loaders import Loader, create_loader
from botocore.utils import parse_timestamp

from processor.probe import NO_PROBES, Probes
from processor.stores.config import AwsConfig
from processor.stores.role_session import lasting, session_of_role
from processor.stores.translate import DEFECTS, code_of

if TYPE_CHECKING:
    from types_aiobotocore_cloudfront import CloudFrontClient
    from types_aiobotocore_dynamodb import DynamoDBClient
    from types_aiobotocore_events import EventBridgeClient
    from types_aiobotocore_iam import IAMClient
    from types_aiobotocore_s3 import S3Client
    from types_aiobotocore_sqs import SQSClient

#: From a value to DynamoDB's notation, such as `1` to `{"N": "1"}`, and back.
to_attribute, from_attribute = TypeSerializer().serialize, TypeDeserializer().deserialize
#: The field of an answer with many items that has its body, as DynamoDB sent it.
RAW = "Raw"
#: For DynamoDB, which checks all that it is asked for. The SDK would look at each part of each value before.
UNCHECKED = AioConfig(parameter_validation=False)
#: Our name in calls to AWS. The SDK would otherwise build a longer name for every call.
USER_AGENT = "truss-image"
#: The SDK's name for the rules by which a service's endpoint is found, and for the key of an object in those of S3.
ENDPOINT_RULES, KEY_PARAMETER = "endpoint-rule-set-1", "Key"
#: The code of a call without a code from AWS: success; no answer; a call that could not be sent.
OK, UNREACHABLE, DEFECT = "ok", "unreachable", "defect"


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsClients:
    """Open clients. `s3_presign` signs for the public endpoint and never calls it."""

    config: AwsConfig
    s3: S3Client
    s3_presign: S3Client
    sqs: SQSClient
    dynamodb: DynamoDBClient
    #: For changes that must not happen twice: a call whose answer is lost is not sent again.
    dynamodb_once: DynamoDBClient
    cloudfront: CloudFrontClient
    events: EventBridgeClient
    #: The credentials with which all of them sign.
    credentials: Any = field(repr=False)

    async def lasting(self, seconds: int) -> int:
        """How many of `seconds` a URL that is signed now stays valid: it ends with the session that signs it."""
        return await lasting(self.credentials, seconds)


@asynccontextmanager
async def open_clients(config: AwsConfig, probes: Probes = NO_PROBES) -> AsyncIterator[AwsClients]:
    """All clients that the stores need; they are closed together. Probes get each call."""
    session: Any = _session(config)  # the type stubs accept only literal names of services
    endpoint = config.endpoint_url
    public_endpoint = config.public_s3_endpoint_url or endpoint
    calls = _config(config, config.read_timeout_seconds, endpoint)
    polls = _config(config, config.poll_timeout_seconds, endpoint)
    once = _config(replace(config, max_attempts=1), config.read_timeout_seconds, endpoint)
    signing = _config(config, config.read_timeout_seconds, public_endpoint)
    async with AsyncExitStack() as stack:

        async def opened(service: str, options: AioConfig, url: str | None = endpoint) -> Any:
            client = await stack.enter_async_context(session.client(service, endpoint_url=url, config=options))
            return _probed(client, service, probes)

        dynamodb = await opened("dynamodb", calls.merge(UNCHECKED))
        for operation in ("Query", "BatchGetItem"):
            dynamodb.meta.events.register(f"before-parse.dynamodb.{operation}", _leave_raw)
        yield AwsClients(
            config=config,
            credentials=await session.get_credentials(),
            s3=await opened("s3", calls),
            s3_presign=await opened("s3", signing, public_endpoint),
            sqs=await opened("sqs", polls),
            dynamodb=dynamodb,
            dynamodb_once=await opened("dynamodb", once.merge(UNCHECKED)),
            cloudfront=await opened("cloudfront", calls),
            events=await opened("events", calls),
        )


@asynccontextmanager
async def open_iam(config: AwsConfig) -> AsyncIterator[IAMClient]:
    """The client for IAM, which makes identities. The service itself does not use it."""
    options = _config(config, config.read_timeout_seconds, config.endpoint_url)
    async with _session(config).client("iam", endpoint_url=config.endpoint_url, config=options) as iam:
        yield iam


@asynccontextmanager
async def open_secrets_manager(config: AwsConfig) -> AsyncIterator[Any]:
    """The client for secrets. Most installations keep none there."""
    options = _config(config, config.read_timeout_seconds, config.endpoint_url)
    session: Any = _session(config)  # as above
    async with session.client("secretsmanager", endpoint_url=config.endpoint_url, config=options) as client:
        yield client


def _leave_raw(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: object) -> None:
    """Leaves the body of an answer to `pages`, because the SDK would parse it on the event loop. Errors stay for it."""
    if response_dict["status_code"] < HTTPStatus.MULTIPLE_CHOICES:
        customized_response_dict[RAW] = response_dict["body"]
        response_dict["body"] = b"{}"


def _probed(client: Any, service: str, probes: Probes) -> Any:
    """The client, with a span around `_make_api_call`. Every method calls that, and its retries are inside.

    OpenTelemetry's instrumentation of botocore does the same.
    """
    if not probes.told:
        return client
    call = client._make_api_call  # noqa: SLF001 - see above

    async def observed(operation: str, parameters: Any) -> Any:
        with probes.span("aws", service=service, operation=operation) as span:
            try:
                answer = await call(operation, parameters)
            except Exception as error:
                span.facts["code"] = _code(error)
                raise
            span.facts["code"] = OK
            return answer

    client._make_api_call = observed  # noqa: SLF001
    return client


def _code(error: Exception) -> str:
    if isinstance(error, ClientError):
        return code_of(error)
    return DEFECT if isinstance(error, DEFECTS) else UNREACHABLE


def _session(config: AwsConfig) -> aioboto3.Session:
    given = config.credentials
    sdk = AioSession() if given else session_of_role(config.region, config.role_session_seconds)
    sdk.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_moment)
    if config.ca_file is not None:
        sdk.set_config_variable("ca_bundle", config.ca_file)
    sdk.register_component("data_loader", _descriptions())
    if given is None:
        return aioboto3.Session(region_name=config.region, botocore_session=sdk)
    return aioboto3.Session(
        region_name=config.region,
        botocore_session=sdk,
        aws_access_key_id=given.access_key_id,
        aws_secret_access_key=given.secret_access_key,
        aws_session_token=given.session_token,
    )


def _moment(value: Any) -> datetime:
    """A time in an answer. The SDK's own parser guesses the format, which takes most of the time for a long list."""
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):  # another format, which lists do not have
        return parse_timestamp(value)
    return moment if moment.tzinfo else parse_timestamp(value)


@cache
def _descriptions() -> Loader:
    """The SDK's descriptions of services, shared by all sessions. Reading them is most of the work of a new client.

    A bucket's endpoint does not depend on the keys of objects, though S3's description lists the key among what it may
    depend on. Without it the SDK remembers the endpoint, which takes a fifth of a call to find.
    """
    loader = create_loader()
    loader.load_service_model("s3", ENDPOINT_RULES)["parameters"].pop(KEY_PARAMETER, None)
    return loader


def _config(config: AwsConfig, read_timeout_seconds: float, endpoint_url: str | None) -> AioConfig:
    return AioConfig(
        signature_version="v4",
        user_agent=USER_AGENT,
        connect_timeout=config.connect_timeout_seconds,
        read_timeout=read_timeout_seconds,
        max_pool_connections=config.pool_size,
        retries={"mode": "standard", "total_max_attempts": config.max_attempts},
        # Otherwise the SDK adds CRC32 checksums to uploads and presigned URLs, and clients would have to send them.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        # An emulator's host name does not resolve with a bucket's name in front.
        # To sign a body, the SDK would hash it on the event loop. Variants have a checksum of their own.
        s3={"addressing_style": "path" if endpoint_url else "virtual", "payload_signing_enabled": False},
    )
