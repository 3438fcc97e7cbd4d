"""Where a network has a certificate authority of its own, one file makes AWS and the user pool trusted."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography import x509

from processor.errors import Unavailable
from processor.stores.clients import open_clients
from processor.stores.config import AwsCredentials
from processor.stores.sqs import SqsMessageQueue
from service.auth.jwks import HttpKeySource
from service.config import Settings, SettingsError
from service.lifespan import open_http
from tests.certificates import self_signed
from tests.unit.service.test_config import REQUIRED

SET = b'{"keys": []}'
CREDENTIALS = AwsCredentials(access_key_id="AKIAEXAMPLE", secret_access_key="secret")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for this machine that nobody else has signed, and its key."""
    folder = tmp_path_factory.mktemp("authority")
    host = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate, key = self_signed("an authority of our own", host)
    (folder / "ca.pem").write_bytes(certificate)
    (folder / "key.pem").write_bytes(key)
    return folder / "ca.pem", folder / "key.pem"


@pytest.fixture
async def url(authority: tuple[Path, Path]) -> AsyncIterator[str]:
    """A queue and the keys of an issuer, behind that certificate."""

    async def queue(_: web.Request) -> web.Response:
        return web.json_response({"Attributes": {"QueueArn": "arn"}}, content_type="application/x-amz-json-1.0")

    async def keys(_: web.Request) -> web.Response:
        return web.Response(body=SET, content_type="application/json")

    app = web.Application()
    app.router.add_post("/", queue)
    app.router.add_get("/jwks.json", keys)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*authority)
    server = TestServer(app, scheme="https")
    await server.start_server(ssl=context)
    yield str(server.make_url("")).rstrip("/")
    await server.close()


def _settings(url: str, **given: str) -> Settings:
    return Settings.from_env(REQUIRED | {"AWS_ENDPOINT_URL": url, "QUEUE_URL": f"{url}/1/queue"} | given)


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "AWS_CA_BUNDLE"])
async def test_one_file_makes_aws_and_the_user_pool_trusted(
    authority: tuple[Path, Path], url: str, variable: str
) -> None:
    settings = _settings(url, **{variable: str(authority[0])})
    async with open_clients(settings.aws(CREDENTIALS)) as clients, open_http(settings.ca_file) as session:
        await SqsMessageQueue(clients, settings.queue_url).ping()
        assert await HttpKeySource(session, f"{url}/jwks.json")() == SET


async def test_who_is_told_of_no_such_file_trusts_neither(url: str) -> None:
    settings = _settings(url)
    async with open_clients(settings.aws(CREDENTIALS)) as clients, open_http(settings.ca_file) as session:
        with pytest.raises(Unavailable):
            await SqsMessageQueue(clients, settings.queue_url).ping()
        with pytest.raises(Unavailable):
            await HttpKeySource(session, f"{url}/jwks.json")()


@pytest.mark.parametrize("content", [None, b"no certificate"])
@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "AWS_CA_BUNDLE"])
def test_a_file_without_certificates_is_refused_at_the_start(
    tmp_path: Path, variable: str, content: bytes | None
) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match=f"{variable}: got .*must be a file with certificates in PEM"):
        _settings("https://aws.example", **{variable: str(path)})
