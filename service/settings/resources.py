"""The settings for the AWS resources, and for the connection to AWS."""

from __future__ import annotations

import ssl
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field
from pydantic_core import PydanticCustomError
from yarl import URL

from processor.stores.config import AwsConfig, AwsCredentials
from service.http.urls import BaseUrl

#: Hosts of this machine, as `BaseUrl` writes them.
_THIS_MACHINE = ("127.0.0.1", "localhost", "::1")

Name = Annotated[str, Field(min_length=1, pattern=r"^\S+$")]


def _certificates(path: str | None) -> str | None:
    if path is not None:
        try:
            ssl.create_default_context(cafile=path)
        except (OSError, ValueError):  # `ssl.SSLError` is an `OSError`
            raise PydanticCustomError("certificates", "must be a file with certificates in PEM") from None
    return path


class ResourceSettings(BaseModel):
    """The settings of one component."""

    stage: Annotated[
        str,
        Field(alias="STAGE", pattern=r"^[a-z][a-z0-9-]{0,15}$", description="Deployment stage; part of every name."),
    ] = "dev"
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
    event_bus: Annotated[
        Name | None,
        Field(
            alias="EVENT_BUS",
            description="Name or ARN of an EventBridge bus that is told what happens to the images of all tenants; "
            "without it none is.",
        ),
    ] = None
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
    ssl_cert_file: Annotated[
        str | None,
        AfterValidator(_certificates),
        Field(
            alias="SSL_CERT_FILE",
            description="File with the certificates (PEM) of the authorities that are trusted, instead of the usual "
            "ones: for AWS and the user pool.",
        ),
    ] = None
    aws_ca_bundle: Annotated[
        str | None,
        AfterValidator(_certificates),
        Field(alias="AWS_CA_BUNDLE", description="The same; for AWS it goes before `SSL_CERT_FILE`."),
    ] = None
    aws_endpoint_url: Annotated[
        BaseUrl | None, Field(alias="AWS_ENDPOINT_URL", description="Another endpoint for S3, SQS and DynamoDB.")
    ] = None
    s3_public_endpoint_url: Annotated[
        BaseUrl | None,
        Field(
            alias="S3_PUBLIC_ENDPOINT_URL", description="Endpoint that presigned URLs name, when clients need another."
        ),
    ] = None

    @property
    def on_this_machine(self) -> bool:
        """Whether AWS is an emulator on this very machine, so that nothing here is reached from outside."""
        return self.aws_endpoint_url is not None and URL(self.aws_endpoint_url).host in _THIS_MACHINE

    @property
    def ca_file(self) -> str | None:
        """A file with trusted authorities, for servers other than AWS; None: those of the system."""
        return self.ssl_cert_file or self.aws_ca_bundle

    def aws(self, credentials: AwsCredentials | None = None) -> AwsConfig:
        """The configuration of the AWS clients. Without `credentials`, AWS's default chain finds some."""
        return AwsConfig(
            region=self.aws_region,
            endpoint_url=self.aws_endpoint_url,
            public_s3_endpoint_url=self.s3_public_endpoint_url,
            credentials=credentials,
            role_session_seconds=self.role_session_seconds,
            ca_file=self.aws_ca_bundle or self.ssl_cert_file,
        )
