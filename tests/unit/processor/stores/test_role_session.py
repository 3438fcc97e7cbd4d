"""Sessions of a pod's role: as long as asked, renewed while they are young."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiobotocore.credentials import AioCredentials, AioRefreshableCredentials

from processor.stores import role_session
from processor.stores.role_session import MARGIN, RENEWAL_SECONDS, RoleSessions, lasting, session_of_role

ROLE = "arn:aws:iam::111122223333:role/r"


class Sts:
    """Gives sessions of the length that it is asked for, unless it is away."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.away = False
        self.passed = timedelta()

    async def assume_role_with_web_identity(self, **asked: Any) -> dict[str, Any]:
        if self.away:
            raise ConnectionError
        self.asked.append(asked)
        # What has passed since is told by an end that is so much nearer.
        end = datetime.now(UTC) + timedelta(seconds=asked["DurationSeconds"]) - self.passed
        number = len(self.asked)
        return {
            "Credentials": {
                "AccessKeyId": f"key-{number}",
                "SecretAccessKey": "s",
                "SessionToken": "t",
                "Expiration": end.isoformat(),
            },
            "AssumedRoleUser": {"Arn": "arn:aws:sts::111122223333:assumed-role/r/s"},
        }


class Session:
    """Stands in for the SDK's."""

    def __init__(self, sts: Sts) -> None:
        self._sts = sts

    @asynccontextmanager
    async def create_client(self, service: str, **_: Any) -> AsyncIterator[Sts]:
        assert service == "sts"
        yield self._sts


@pytest.fixture
def sts() -> Sts:
    return Sts()


@pytest.fixture
def _pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text("a token")
    monkeypatch.setenv("AWS_ROLE_ARN", ROLE)
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))


async def _credentials(sts: Sts, seconds: int = 43200) -> Any:
    return await RoleSessions(Session(sts), region="eu-west-1", seconds=seconds).load()  # type: ignore[arg-type]


@pytest.mark.usefixtures("_pod")
async def test_a_session_is_as_long_as_asked_and_is_fetched_once(sts: Sts) -> None:
    credentials = await _credentials(sts)
    assert sts.asked == []
    assert (await credentials.get_frozen_credentials()).access_key == "key-1"
    assert (await credentials.get_frozen_credentials()).access_key == "key-1"
    (asked,) = sts.asked
    assert asked.pop("RoleSessionName")
    assert asked == {"RoleArn": ROLE, "WebIdentityToken": "a token", "DurationSeconds": 43200}


@pytest.mark.usefixtures("_pod")
@pytest.mark.parametrize("seconds", [3600, 43200])
async def test_a_session_is_renewed_after_a_quarter_of_an_hour(sts: Sts, seconds: int) -> None:
    credentials = await _credentials(sts, seconds)
    sts.passed = timedelta(seconds=RENEWAL_SECONDS + 1)
    await credentials.get_frozen_credentials()
    sts.passed = timedelta()
    assert (await credentials.get_frozen_credentials()).access_key == "key-2"
    assert (await credentials.get_frozen_credentials()).access_key == "key-2"


@pytest.mark.usefixtures("_pod")
async def test_while_sessions_cannot_be_had_the_last_one_is_used(sts: Sts) -> None:
    credentials = await _credentials(sts)
    sts.passed = timedelta(hours=10)
    await credentials.get_frozen_credentials()
    sts.away = True
    assert (await credentials.get_frozen_credentials()).access_key == "key-1"


async def test_without_a_role_the_sdk_looks_elsewhere(sts: Sts, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    assert await _credentials(sts) is None


def test_a_role_comes_before_the_sdk_s_own_way_to_it_and_after_keys_of_the_environment() -> None:
    chain = [
        provider.METHOD
        for provider in session_of_role("eu-west-1", 3600).get_component("credential_provider").providers
    ]
    assert chain.index("env") < chain.index(role_session.RoleSessions.METHOD)
    assert chain.index(role_session.RoleSessions.METHOD) + 1 == chain.index("assume-role-with-web-identity")


# -- how long a session has left --------------------------------------------------------------------------------------


def _left(seconds: int) -> range:
    """What a session may be found to have left, a moment after it had so many seconds."""
    most = seconds - int(MARGIN.total_seconds())
    return range(most - 30, most + 1)


@pytest.mark.usefixtures("_pod")
async def test_a_role_s_session_bounds_what_it_signs_and_is_renewed_first(sts: Sts) -> None:
    credentials = await _credentials(sts, 3600)
    sts.passed = timedelta(seconds=500)
    assert await lasting(credentials, 3600) in _left(3100)
    assert await lasting(credentials, 60) == 60
    sts.passed = timedelta()
    assert len(sts.asked) == 1
    credentials = await _credentials(sts, 3600)
    sts.passed = timedelta(seconds=RENEWAL_SECONDS + 1)
    await lasting(credentials, 3600)
    sts.passed = timedelta()
    assert await lasting(credentials, 3600) in _left(3600)


async def test_the_session_that_a_pod_is_given_bounds_what_it_signs() -> None:
    async def refresh() -> dict[str, Any]:
        raise ConnectionError

    end = datetime.now(UTC) + timedelta(minutes=12)
    metadata = {"access_key": "k", "secret_key": "s", "token": "t", "expiry_time": end.isoformat()}
    credentials = AioRefreshableCredentials.create_from_metadata(metadata, refresh, method="container-role")
    assert await lasting(credentials, 43200) in _left(720)


async def test_a_key_of_a_user_signs_for_as_long_as_is_asked() -> None:
    assert await lasting(AioCredentials("k", "s"), 43200) == 43200
    assert await lasting(None, 43200) == 43200
