"""EKS Pod Identity: an agent gives credentials that last as long as it says, and no URL is said to last longer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from structlog.testing import capture_logs

from processor.stores.clients import open_clients
from processor.stores.role_session import MARGIN, told_by_pod_identity
from service.config import Settings
from service.lifespan import _tell_of_sessions
from tests.unit.service.test_config import REQUIRED

LASTING = timedelta(minutes=20)
AGENT = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/v1/credentials"}
NO_EFFECT = "ROLE_SESSION_SECONDS has no effect: EKS Pod Identity says how long a session lasts"


@pytest.fixture
async def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[str]]:
    """The agent of a node, and the tokens that it was shown; this process is as a pod would be."""
    shown: list[str] = []

    async def credentials(request: web.Request) -> web.Response:
        shown.append(request.headers.get("Authorization", ""))
        end = (datetime.now(UTC) + LASTING).strftime("%Y-%m-%dT%H:%M:%SZ")
        given = {"AccessKeyId": "ASIAEXAMPLE", "SecretAccessKey": "secret", "Token": "token", "Expiration": end}
        return web.json_response({**given, "AccountId": "111122223333"})

    app = web.Application()
    app.router.add_get("/v1/credentials", credentials)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    (tmp_path / "token").write_text("the pod's")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(tmp_path / "token"))
    async with TestServer(app) as server:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", str(server.make_url("/v1/credentials")))
        yield shown


async def test_a_url_lasts_no_longer_than_the_credentials_of_the_agent(agent: list[str]) -> None:
    settings = Settings.from_env(REQUIRED | {"ROLE_SESSION_SECONDS": "43200"})
    async with open_clients(settings.aws()) as clients:
        left = await clients.lasting(3600)
        assert await clients.lasting(60) == 60
    assert (LASTING - MARGIN).total_seconds() - 120 < left <= (LASTING - MARGIN).total_seconds()
    assert agent == ["the pod's"]


@pytest.mark.parametrize(
    ("environ", "seconds", "told"),
    [
        (AGENT, "43200", True),
        (AGENT, "3600", False),
        ({}, "43200", False),
        (AGENT | {"AWS_WEB_IDENTITY_TOKEN_FILE": "/token"}, "43200", False),
    ],
)
def test_a_length_of_sessions_that_has_no_effect_is_told_of(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], seconds: str, told: bool
) -> None:
    for name in ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_WEB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with capture_logs() as lines:
        _tell_of_sessions(Settings.from_env(REQUIRED | {"ROLE_SESSION_SECONDS": seconds}))
    assert (NO_EFFECT in [line["event"] for line in lines]) is told
    assert told_by_pod_identity(environ) is (environ == AGENT)
