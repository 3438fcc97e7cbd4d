"""How AWS is called and what is signed, without calling it."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.awsrequest import HeadersDict
from botocore.loaders import create_loader

from processor import clock
from processor.ports.objects import MultipartUpload, PostForm, PresignedUpload, UploadTerms
from processor.stores.clients import ENDPOINT_RULES, KEY_PARAMETER, open_clients
from processor.stores.config import AwsConfig, AwsCredentials
from processor.stores.parts import LIST_PAGE
from processor.stores.role_session import MARGIN
from processor.stores.s3 import S3ObjectStore
from tests.loop_work import MOST_CALLS, counted

CREDENTIALS = AwsCredentials(access_key_id="AKIAEXAMPLE", secret_access_key="secret", session_token="token")
TERMS = UploadTerms(
    key="uploads/a b.jpg",
    content_type="image/jpeg",
    expires_in_seconds=900,
    max_bytes=1000,
    size=22,
    checksum_sha256="c2Vjcg==",
)

MULTIPART = MultipartUpload(key="uploads/a.png", upload_id="u")


def config(**how: str) -> AwsConfig:
    return AwsConfig(**{"region": "eu-west-1", "credentials": CREDENTIALS, **how})  # type: ignore[arg-type]


async def test_secrets_are_not_shown() -> None:
    assert "secret" not in repr(config()).replace("secret_access_key", "")
    assert "token" not in repr(config()).replace("session_token", "")


async def test_the_signed_headers_are_all_that_binds_the_upload() -> None:
    async with open_clients(config()) as clients:
        upload = await S3ObjectStore(clients, "bucket").presign_upload(TERMS)
    asked = parse_qs(urlsplit(upload.url).query)
    assert asked["X-Amz-SignedHeaders"] == ["content-length;content-type;host;x-amz-checksum-sha256"]
    assert {name.lower() for name in upload.headers} == {"content-length", "content-type", "x-amz-checksum-sha256"}
    assert asked["X-Amz-Expires"] == ["900"]
    assert asked["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    assert asked["X-Amz-Security-Token"] == ["token"]
    assert not [name for name in asked if "crc32" in name.lower()]


async def test_to_sign_many_parts_lets_the_loop_go_on() -> None:
    others = 0

    async def other() -> None:
        nonlocal others
        while True:
            others += 1
            await asyncio.sleep(0)

    async with open_clients(config()) as clients:
        task = asyncio.create_task(other())
        parts = await S3ObjectStore(clients, "bucket").sign_parts(
            MULTIPART, dict.fromkeys(range(1, 101), 5), expires_in_seconds=60
        )
        task.cancel()
    assert [part.number for part in parts] == list(range(1, 101))
    assert others >= 100


ENTRY = """<Version><Key>a</Key><VersionId>v</VersionId><IsLatest>true</IsLatest><Size>7</Size><ETag>"e"</ETag>
<LastModified>2026-01-02T03:04:05.678Z</LastModified></Version>"""


class Listing:
    """An answer of S3 with as much as was asked for."""

    status_code = 200
    headers = HeadersDict({"content-type": "application/xml"})

    @property
    async def content(self) -> bytes:
        return f"<ListVersionsResult><IsTruncated>false</IsTruncated>{ENTRY * LIST_PAGE}</ListVersionsResult>".encode()


async def test_a_list_of_s3_is_taken_apart_in_small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, list[str]]] = []

    async def send(_: Any, request: Any) -> Listing:
        asked.append(parse_qs(urlsplit(request.url).query))
        return Listing()

    monkeypatch.setattr("aiobotocore.httpsession.AIOHTTPSession.send", send)
    async with open_clients(config()) as clients:
        store = S3ObjectStore(clients, "bucket")
        await store.versions("a")  # the first call loads what is kept
        with counted(monkeypatch) as work:
            versions = await store.versions("a")
    assert len(versions) == LIST_PAGE
    assert versions[0].last_modified == clock.from_iso("2026-01-02T03:04:05.678Z")
    assert asked[-1]["max-keys"] == [str(LIST_PAGE)]
    assert work.most < MOST_CALLS, work


async def test_a_signature_ends_before_the_session_that_signed_it(monkeypatch: pytest.MonkeyPatch) -> None:
    end = clock.now() + timedelta(minutes=20)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_SESSION_TOKEN": "token",
        "AWS_CREDENTIAL_EXPIRATION": end.isoformat(),
    }.items():
        monkeypatch.setenv(name, value)
    async with open_clients(AwsConfig(region="eu-west-1")) as clients:
        store = S3ObjectStore(clients, "bucket")
        upload = await store.presign_upload(replace(TERMS, expires_in_seconds=3600))
        parts = await store.sign_parts(MULTIPART, {1: 7}, expires_in_seconds=3600)
        part = await store.sign_part(MULTIPART, 1, expires_in_seconds=3600)
        short = await store.presign_upload(replace(TERMS, expires_in_seconds=60))
    for signed in (upload, parts[0], part):
        assert 1160 < signed.expires_in_seconds <= 1200 - MARGIN.total_seconds()
        assert parse_qs(urlsplit(signed.url).query)["X-Amz-Expires"] == [str(signed.expires_in_seconds)]
    policy = json.loads(base64.b64decode(form(upload).fields["policy"]))
    assert clock.from_iso(policy["expiration"]) < end
    assert short.expires_in_seconds == 60


def form(upload: PresignedUpload) -> PostForm:
    assert upload.post is not None
    return upload.post


@pytest.mark.parametrize("region", ["eu-west-1", "us-east-1"])
async def test_on_aws_the_bucket_is_in_the_host_of_its_own_region(region: str) -> None:
    async with open_clients(config(region=region)) as clients:
        upload = await S3ObjectStore(clients, "bucket").presign_upload(TERMS)
    hosts = {urlsplit(url).netloc for url in (upload.url, form(upload).url)}
    assert hosts <= {f"bucket.s3.{region}.amazonaws.com", "bucket.s3.amazonaws.com"}
    if region != "us-east-1":
        assert hosts == {f"bucket.s3.{region}.amazonaws.com"}


async def test_at_an_endpoint_the_bucket_is_in_the_path() -> None:
    async with open_clients(config(endpoint_url="http://127.0.0.1:4566")) as clients:
        upload = await S3ObjectStore(clients, "bucket").presign_upload(TERMS)
    assert upload.url.startswith("http://127.0.0.1:4566/bucket/uploads/a%20b.jpg?")
    assert form(upload).url == "http://127.0.0.1:4566/bucket"


async def test_clients_are_sent_to_the_public_endpoint() -> None:
    inner, outer = "http://emulator:4566", "https://s3.example"
    async with open_clients(config(endpoint_url=inner, public_s3_endpoint_url=outer)) as clients:
        upload = await S3ObjectStore(clients, "bucket").presign_upload(TERMS)
        assert clients.s3.meta.endpoint_url == inner
    assert upload.url.startswith(f"{outer}/bucket/")
    assert form(upload).url.startswith(f"{outer}/bucket")


async def test_a_long_poll_is_not_taken_for_a_dead_connection() -> None:
    async with open_clients(config()) as clients:
        assert clients.sqs.meta.config.read_timeout > 20  # type: ignore[attr-defined]
        for client in (clients.s3, clients.sqs, clients.dynamodb):
            assert client.meta.config.connect_timeout <= 5  # type: ignore[attr-defined]
            assert client.meta.config.retries == {"mode": "standard", "total_max_attempts": 3}  # type: ignore[attr-defined]


async def test_what_must_not_be_carried_out_twice_is_sent_once() -> None:
    async with open_clients(config()) as clients:
        once, again = (vars(each.meta.config) for each in (clients.dynamodb_once, clients.dynamodb))
    assert once["_user_provided_options"]["retries"]["total_max_attempts"] == 1
    assert again["_user_provided_options"]["retries"]["total_max_attempts"] > 1


def test_no_rule_for_the_endpoint_of_a_bucket_asks_for_the_key_of_an_object() -> None:
    rules = create_loader().load_service_model("s3", ENDPOINT_RULES)
    assert KEY_PARAMETER in rules["parameters"]
    assert f'{{"ref": "{KEY_PARAMETER}"}}' not in json.dumps(rules["rules"])
    assert f"{{{KEY_PARAMETER}}}" not in json.dumps(rules["rules"])
