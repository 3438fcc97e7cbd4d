"""The address of AWS, its timeouts and its retries. Settings can use it without loading the SDK."""

from __future__ import annotations

from dataclasses import dataclass, field

#: Time limit for making a connection, in seconds. Within a region it takes milliseconds.
CONNECT_TIMEOUT_SECONDS = 3.0
#: Time limit for each read from a connection, in seconds.
READ_TIMEOUT_SECONDS = 10.0
#: The same for SQS. It must be longer than the longest poll (20 s): an empty queue must not look like a broken one.
POLL_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsCredentials:
    """An access key that replaces the SDK's default chain of credentials."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsConfig:
    """The address of AWS, its timeouts and its retries. Without `credentials`, the SDK's default chain finds some."""

    region: str
    #: Another endpoint for all services, such as an emulator.
    endpoint_url: str | None = None
    #: The endpoint in presigned URLs, if clients reach S3 by another address than this process.
    public_s3_endpoint_url: str | None = None
    credentials: AwsCredentials | None = None
    #: Duration of a session of the pod's role, in seconds: from 900 (AWS) to the role's own maximum.
    role_session_seconds: int = 3600
    #: A PEM file with the certificates of trusted authorities; None: those of the SDK.
    ca_file: str | None = None
    connect_timeout_seconds: float = CONNECT_TIMEOUT_SECONDS
    read_timeout_seconds: float = READ_TIMEOUT_SECONDS
    poll_timeout_seconds: float = POLL_TIMEOUT_SECONDS
    #: Time limit for a whole object, in seconds. A very slow transfer never reaches the read timeout.
    transfer_timeout_seconds: float = 60.0
    #: Tries of a call, including the first.
    max_attempts: int = 3
    #: Connections to each service. There must be more than simultaneous calls, so that no call waits for one.
    pool_size: int = 64
