"""Sessions of a pod's role that last as long as the URLs that they sign, and the time that a session has left.

A presigned URL ends with the credentials that signed it (AWS, "Sharing objects with presigned URLs"). The SDK asks for
sessions of an hour, and renews them a quarter of an hour before their end. So S3 may refuse a URL after fifteen
minutes, although the URL names an hour.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from aiobotocore.credentials import (
    AioAssumeRoleWithWebIdentityCredentialFetcher,
    AioDeferredRefreshableCredentials,
)
from aiobotocore.session import AioSession
from botocore.utils import FileWebIdentityTokenLoader

from processor import clock

#: Age at which a session is renewed, in seconds. A URL loses no more than this.
RENEWAL_SECONDS = 900
#: A URL ends so much before its session, because an upload still has to begin, and clocks differ.
MARGIN = timedelta(seconds=30)


class _Credentials(AioDeferredRefreshableCredentials):
    """Credentials that are renewed early. If that fails, they are used until shortly before their end, as usual."""

    def __init__(self, fetcher: AioAssumeRoleWithWebIdentityCredentialFetcher, *, method: str, seconds: int) -> None:
        super().__init__(refresh_using=fetcher.fetch_credentials, method=method)
        self._advisory_refresh_timeout = seconds - RENEWAL_SECONDS


class RoleSessions:
    """Assumes the role that EKS gives to a pod, like the SDK's own provider, but for `seconds`.

    The environment variables are the pod's identity. Like the SDK, it reads them at the first call.
    """

    METHOD = "assume-role-with-web-identity-for-long"
    CANONICAL_NAME = None

    def __init__(self, session: AioSession, *, region: str, seconds: int) -> None:
        # The installed type stubs have only the services that the product uses.
        self._session: Any = session
        self._region = region
        self._seconds = seconds

    async def load(self) -> _Credentials | None:
        """Credentials that are fetched when they are needed; None: there is no role or no token."""
        token_file, role = os.environ.get("AWS_WEB_IDENTITY_TOKEN_FILE"), os.environ.get("AWS_ROLE_ARN")
        if not token_file or not role:
            return None
        name = os.environ.get("AWS_ROLE_SESSION_NAME")
        fetcher = AioAssumeRoleWithWebIdentityCredentialFetcher(
            client_creator=self._client,
            web_identity_token_loader=FileWebIdentityTokenLoader(token_file),
            role_arn=role,
            extra_args={"DurationSeconds": self._seconds} | ({"RoleSessionName": name} if name else {}),
            expiry_window_seconds=self._seconds - RENEWAL_SECONDS,
        )
        return _Credentials(fetcher, method=self.METHOD, seconds=self._seconds)

    def _client(self, service: str, **options: Any) -> Any:
        return self._session.create_client(service, region_name=self._region, **options)


def session_of_role(region: str, seconds: int) -> AioSession:
    """A session of the SDK with its usual chain of credentials, except for the role of a pod."""
    session = AioSession()
    chain = session.get_component("credential_provider")
    chain.insert_before("assume-role-with-web-identity", RoleSessions(session, region=region, seconds=seconds))
    return session


def told_by_pod_identity(environ: Mapping[str, str]) -> bool:
    """Whether EKS Pod Identity gives the credentials. Then its agent decides how long they last, not this process.

    A role with a token file has priority, as in the SDK's own chain.
    """
    return bool(environ.get("AWS_CONTAINER_CREDENTIALS_FULL_URI")) and not environ.get("AWS_WEB_IDENTITY_TOKEN_FILE")


async def lasting(credentials: Any, seconds: int) -> int:
    """How many of `seconds` a URL stays valid if it is signed with these credentials now; at least one second.

    An access key of a user, and a session with an unknown end, count as valid for all of `seconds`.
    """
    if credentials is None:
        return seconds
    await credentials.get_frozen_credentials()  # renews them first if it is time
    # The SDK has no public attribute for the end of a session. All renewable credentials have this private one.
    end = getattr(credentials, "_expiry_time", None)
    if end is None:
        return seconds
    left = end - clock.now() - MARGIN
    return max(1, min(seconds, int(left.total_seconds())))
