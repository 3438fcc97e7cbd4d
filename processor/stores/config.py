"""Where AWS is, and how patient to be with it; settings name it before any SDK is loaded."""

from __future__ import annotations

from dataclasses import dataclass, field

#: Longest time for a connection to be made, in seconds. Within a region it takes milliseconds.
CONNECT_TIMEOUT_SECONDS = 3.0
#: Longest silence on a connection, in seconds.
READ_TIMEOUT_SECONDS = 10.0
#: The same for SQS: longer than the longest poll (20 s), or a quiet queue would look like a broken one.
POLL_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsCredentials:
    """A key pair, for where the default chain is not to be asked."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsConfig:
    """Where AWS is, and how patient to be with it. Without `credentials` the default chain finds some."""

    region: str
    #: Another endpoint for every service: an emulator.
    endpoint_url: str | None = None
    #: What presigned URLs name instead, where clients reach S3 by another address than this process.
    public_s3_endpoint_url: str | None = None
    credentials: AwsCredentials | None = None
    #: How long a session of the pod's role lasts, in seconds; AWS's least is 900, the role's own most is the most.
    role_session_seconds: int = 3600
    #: Certificates of the authorities that are trusted, in PEM; None: those that the SDK brings along.
    ca_file: str | None = None
    connect_timeout_seconds: float = CONNECT_TIMEOUT_SECONDS
    read_timeout_seconds: float = READ_TIMEOUT_SECONDS
    poll_timeout_seconds: float = POLL_TIMEOUT_SECONDS
    #: Longest time for a whole object to arrive, in seconds: a trickle never trips the read timeout.
    transfer_timeout_seconds: float = 60.0
    #: Tries of a call, the first included.
    max_attempts: int = 3
    #: Connections to each service; more than the calls that run at once, so that none waits for a connection.
    pool_size: int = 64
