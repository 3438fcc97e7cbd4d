"""Sessions of a pod's role that last for the URLs which they sign, and how long any session has left.

A presigned URL ends with the credentials that signed it (AWS, "Sharing objects with presigned URLs"). The SDK asks for
sessions of an hour and renews them a quarter of an hour before their end, so a URL that is good for an hour by what it
says of itself may be refused after fifteen minutes.
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

#: Age at which a session is renewed, in seconds: a URL loses no more than this of its time.
RENEWAL_SECONDS = 900
#: So much sooner than its session a URL ends: an upload still has to begin, and clocks differ.
MARGIN = timedelta(seconds=30)


class _Credentials(AioDeferredRefreshableCredentials):
    """Renewed early. When that fails they are used until shortly before their end, like any other."""

    def __init__(self, fetcher: AioAssumeRoleWithWebIdentityCredentialFetcher, *, method: str, seconds: int) -> None:
        super().__init__(refresh_using=fetcher.fetch_credentials, method=method)
        self._advisory_refresh_timeout = seconds - RENEWAL_SECONDS


class RoleSessions:
    """Takes on the role that EKS names to a pod, as the SDK's own provider does, for `seconds`.

    The variables are the pod's identity, and read where the SDK reads them: when the first call is made.
    """

    METHOD = "assume-role-with-web-identity-for-long"
    CANONICAL_NAME = None

    def __init__(self, session: AioSession, *, region: str, seconds: int) -> None:
        # The type stubs that are installed know the services of the product alone.
        self._session: Any = session
        self._region = region
        self._seconds = seconds

    async def load(self) -> _Credentials | None:
        """The credentials, which are fetched when they are needed; None without a role and a token."""
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
    """A session of the SDK with its own chain of credentials, but for the role of a pod."""
    session = AioSession()
    chain = session.get_component("credential_provider")
    chain.insert_before("assume-role-with-web-identity", RoleSessions(session, region=region, seconds=seconds))
    return session


def told_by_pod_identity(environ: Mapping[str, str]) -> bool:
    """Whether the agent of EKS Pod Identity gives the credentials: it, and not this process, says how long they last.

    A role that is named with a token goes before, as in the SDK's own chain.
    """
    return bool(environ.get("AWS_CONTAINER_CREDENTIALS_FULL_URI")) and not environ.get("AWS_WEB_IDENTITY_TOKEN_FILE")


async def lasting(credentials: Any, seconds: int) -> int:
    """How much of `seconds` a URL holds that is signed with these credentials now; at least one second.

    A key of a user, and a session whose end nobody told to this process, are taken to hold on.
    """
    if credentials is None:
        return seconds
    await credentials.get_frozen_credentials()  # renews them first when it is time
    # The SDK tells the end of a session to nobody; every kind that it renews keeps it under this name.
    end = getattr(credentials, "_expiry_time", None)
    if end is None:
        return seconds
    left = end - clock.now() - MARGIN
    return max(1, min(seconds, int(left.total_seconds())))
