"""The troubleshooting page's commands print what it says, in the state that each of its sections tells of."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from processor.ports.objects import UploadTerms
from processor.stores.clients import open_clients, open_iam
from processor.stores.keys import DynamoKeyStore
from processor.stores.table import Table
from service.auth import api_keys
from service.auth.principal import Scope
from service.local.emulator import ACCOUNT_ID, REGION
from tests import corpus
from tests.e2e.conftest import LOCAL_AWS, MakeService
from tests.e2e.console import JOB, Page, Reader, matches
from tests.fleet import ServiceProcess, Stage, empty, run_service, run_stage, untraced
from tests.local_aws import ADMINISTRATOR
from tests.ports import held_port
from tests.waiting import eventually

pytestmark = pytest.mark.slow  # every command of a page, and the AWS CLI takes a second each time

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docs" / "troubleshooting.md"
TEXT, PAGE = FILE.read_text(), Page.read(FILE)
SERVE = (sys.executable, "-m", "service")
CRASHING = (sys.executable, "-m", "tests.e2e.segfaulting_service", "serve")
POLICY = "truss-image-service"

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is no requirement of this project")


def _environment(**more: str) -> dict[str, str]:
    """What a person has who read the page's beginning, and nothing of whoever runs the tests."""
    if not LOCAL_AWS.with_name("aws").exists():
        (pytest.fail if os.environ.get("CI") else pytest.skip)("the AWS CLI is not installed: run `make setup`")
    kept = {name: value for name, value in untraced().items() if not name.startswith("AWS_")}
    programs = (str(LOCAL_AWS.parent), str(Path(sys.executable).parent), os.environ["PATH"])
    nobody = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    return {**kept, **nobody, "PATH": os.pathsep.join(programs), "KEY": "", **more}


def _administrator(endpoint_url: str) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_ACCESS_KEY_ID": ADMINISTRATOR.access_key_id,
        "AWS_SECRET_ACCESS_KEY": ADMINISTRATOR.secret_access_key,
        "AWS_DEFAULT_REGION": REGION,
    }


def _local_endpoint(data_dir: Path) -> str:
    """Where the local mode's AWS listens."""
    return f"http://127.0.0.1:{(data_dir / 'port').read_text()}"


def _functions(log_file: Path) -> list[str]:
    """Those that the page defines for the local mode."""
    steps = [step.command for block in PAGE.runnable("Before you begin") for step in block.steps]
    return [command.replace("service.log", str(log_file)) for command in steps if re.match(r"\w+\(\) ", command)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """A stage called dev, its service, and somebody who follows the page beside them."""

    stage: Stage
    service: ServiceProcess
    reader: Reader

    async def ask_for_url(self, **asked: Any) -> Any:
        return await self.service.call("POST", "/images/upload-url", json={"filename": "photo.jpg", **asked})


@asynccontextmanager
async def _desk(
    tmp_path: Path,
    session: aiohttp.ClientSession,
    *,
    command: tuple[str, ...] = SERVE,
    provisioned: dict[str, int] | None = None,
    **settings: str,
) -> AsyncIterator[Desk]:
    log_file, metrics_port = tmp_path / "service.log", str(held_port())
    (tmp_path / "photo.jpg").write_bytes(_photo())
    async with run_stage(tmp_path / "aws", "dev", **(provisioned or {})) as stage:
        settings = {"STAGE": "dev", "CORS_ORIGINS": "https://app.example", "METRICS_PORT": metrics_port, **settings}
        async with run_service(stage, session, log_file, command=command, traced=False, **settings) as service:
            reader = Reader(
                page=PAGE,
                folder=tmp_path,
                environment=_environment(
                    **stage.environment(**_administrator(stage.aws.endpoint_url)),
                    TRUSS=service.url,
                    METRICS=f"http://127.0.0.1:{metrics_port}",
                ),
                words={"<account>": ACCOUNT_ID},
                functions=_functions(log_file),
            )
            yield Desk(stage=stage, service=service, reader=reader)
            reader.assert_at_the_end()


def _values(issued: Any) -> dict[str, str]:
    """What stands on the page for the ids of an upload."""
    return {JOB: issued["processingId"], "UNIQUE_ID": issued["uniqueId"]}


def _photo() -> bytes:
    return corpus.jpeg(corpus.photo(640, 480))


def test_every_block_is_run_or_says_what_it_needs() -> None:
    needs = {block.needs for block in PAGE.blocks if block.needs}
    followed = set(re.findall(r'follow\(\s*"(.+?)"', Path(__file__).read_text()))
    assert needs == {"a cluster", "CloudFront", "CloudWatch"}
    assert followed == set(PAGE.sections)


def test_the_index_leads_to_every_section() -> None:
    index = TEXT.partition("| alarm of the stack")[0]
    linked = re.findall(r"\[([^\]]+)\]\(#", index)
    assert linked == [each for each in _headings(TEXT) if each not in ("Before you begin", "Where is it?")]


def test_every_link_leads_to_a_heading() -> None:
    links = re.findall(r"\]\(([\w.]*)#([^)]+)\)", TEXT)
    assert {file for file, _ in links} == {"", "api.md", "operations.md", "scaling.md", "webhooks.md"}
    for file, anchor in links:
        headings = _headings((FILE.parent / (file or FILE.name)).read_text())
        assert anchor in [re.sub(r"[^\w -]", "", each).lower().replace(" ", "-") for each in headings], (file, anchor)


def _headings(text: str) -> list[str]:
    return re.findall(r"^## (.+)$", text, re.MULTILINE)


def test_every_alarm_and_alert_leads_to_a_section() -> None:
    template = (ROOT / "infra" / "cloudformation" / "image-service.yaml").read_text()
    chart = (ROOT / "helm" / "image-service" / "templates" / "_alerts.tpl").read_text()
    alarms = re.findall(r"AlarmName: !Sub (\S+)", template)
    names = {name.replace("${Stage}", "dev") for name in alarms} | set(re.findall(r"- alert: (\w+)", chart))
    table = TEXT.partition("| alarm of the stack")[2].partition("\n\n")[0]
    assert set(re.findall(r"`([^`]+)`", table)) == names
    assert len(names) > len(alarms) > 1


@pytest.mark.parametrize(
    ("expected", "actual", "same"),
    [
        ("", "", True),
        ("", "something\n", False),
        ("a ... c", "a b c", True),
        ("a ... c", "a b\nc", False),
        ("{\n    ...\n}", "{\n    a\n    b\n}\n", True),
        ("{\n    ...\n}", "{\n    a\n", False),
        ("1", "10", False),
        ("2026-11-23 10:35:55      77598 a.jpg", "2027-01-01 00:00:00       1024 a.jpg", True),
        ("2026-11-23 10:35:55      77598 a.jpg", "2027-01-01 00:00:00       1024 b.jpg", False),
        ("2026-11-23T10:35:55.897Z", "None", False),
        ("vnt3r6n4fmze52y3  good  reader", "xdwfmljpzfoxsvkr  good  reader", True),
        ("vnt3r6n4fmze52y3  good  reader", "xdwfmljpzfoxsvkr  good  writer", False),
    ],
)
def test_what_was_left_out_may_be_anything_and_the_rest_may_not(expected: str, actual: str, *, same: bool) -> None:
    assert matches(expected, actual) is same


@needs_curl
async def test_the_page_begins_as_it_says_on_a_machine_that_runs_the_local_mode(
    make_service: MakeService, tmp_path: Path
) -> None:
    service = await make_service()
    reader = Reader(
        page=PAGE,
        folder=tmp_path,
        environment=_environment(),
        words={
            "http://127.0.0.1:8080": service.url,
            ".local/": f"{service.data_dir}/",
            "$PWD": str(ROOT),
            "service.log": str(service.log_file),
            "<account>": ACCOUNT_ID,
            "-dev": "-local",
        },
        functions=_functions(service.log_file),
    )
    issued = await service.put(_photo())
    await service.settled(issued["processingId"])
    await reader.follow("Before you begin")
    reader.environment = {**reader.environment, "KEY": "", **_administrator(_local_endpoint(service.data_dir))}
    await reader.follow("Where is it?", {JOB: issued["processingId"]})
    reader.assert_at_the_end()


@needs_curl
async def test_an_upload_that_s3_tells_nobody_of_is_found_and_queued(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    async with _desk(tmp_path, session) as desk:
        bucket = desk.stage.made.names.source_bucket
        await desk.reader.run(
            f"aws s3api put-bucket-notification-configuration --bucket {bucket} --notification-configuration '{{}}'"
        )
        async with desk.stage.stores() as stores:
            await empty(stores.queue)  # S3's test event was in it
        issued = await desk.service.put(_photo())
        await desk.reader.follow("Processing is not triggered", {JOB: issued["processingId"]})
        assert (await desk.service.settled(issued["processingId"]))["status"] == "completed"
        heard = await desk.service.put(_photo())
        assert (await desk.service.settled(heard["processingId"]))["status"] == "completed"


@needs_curl
async def test_an_upload_that_s3_refuses_is_accepted_once_the_cause_is_mended(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    async with _desk(tmp_path, session) as desk:
        late, wrong = await desk.ask_for_url(), await desk.ask_for_url()
        await desk.reader.follow("The browser reports a CORS error", {"UPLOAD_URL": wrong["uploadUrl"]})
        await desk.reader.follow("S3 refuses the upload", {"UPLOAD_URL": wrong["uploadUrl"]})
        assert (await desk.service.settled(wrong["processingId"]))["status"] == "completed"

        values = {"UPLOAD_URL": await _expired_url(desk, late["key"]), "UNIQUE_ID": late["uniqueId"]}
        await desk.reader.follow("The upload URL has expired", values)
        again = await desk.service.call("POST", f"/images/upload-url/{late['uniqueId']}/refresh")
        async with session.put(again["uploadUrl"], data=_photo(), headers=again["headers"]) as answer:
            assert answer.status == 200
        assert (await desk.service.settled(late["processingId"]))["status"] == "completed"
        await _assert_s3_refuses_with_the_codes_of_the_table(desk)


async def _assert_s3_refuses_with_the_codes_of_the_table(desk: Desk) -> None:
    """Every row of the table, but for those that are about rights and time."""
    digest = base64.b64encode(hashlib.sha256(_photo()).digest()).decode()
    once, small = await desk.ask_for_url(once=True), await desk.ask_for_url(size=2)
    bound, any_size = await desk.ask_for_url(checksumSha256=digest), await desk.ask_for_url()
    other_key = re.sub(r"Credential=\w+", "Credential=AKIAGONE", any_size["uploadUrl"])

    said = {
        "another length": await _put(desk, small, data=b"three"),
        "a header left out": await _put(desk, once | {"headers": {"Content-Type": "image/jpeg"}}),
        "a key that is gone": await _put(desk, any_size | {"uploadUrl": other_key}),
        "a form with more": await _post(desk, small, b"three"),
        "a form with less": await _post(desk, small, b"1"),
        "other bytes": await _put(desk, bound, data=b"other"),
        "the first of one": await _put(desk, once),
        "the second of one": await _put(desk, once),
    }
    assert said == {
        "another length": "403 SignatureDoesNotMatch",
        "a header left out": "403 SignatureDoesNotMatch",
        "a key that is gone": "403 InvalidAccessKeyId",
        "a form with more": "400 EntityTooLarge",
        "a form with less": "400 EntityTooSmall",
        "other bytes": "400 BadDigest",
        "the first of one": "200",
        "the second of one": "412 PreconditionFailed",
    }
    table = TEXT.partition("| status, code | because |")[2].partition("\n\n")[0]
    documented = {
        f"{status} {code}"
        for status, codes in re.findall(r"^\| (\d+) (.+?) \|", table, re.MULTILINE)
        for code in re.findall(r"`(\w+)`", codes)
    }
    assert set(said.values()) - {"200"} == documented - {"403 AccessDenied"}


async def _put(desk: Desk, issued: Any, data: bytes | None = None) -> str:
    body, headers = _photo() if data is None else data, {**issued["headers"]}
    headers.pop("Content-Length", None)
    async with desk.service.session.put(issued["uploadUrl"], data=body, headers=headers) as answer:
        return await _code(answer)


async def _post(desk: Desk, issued: Any, data: bytes) -> str:
    form = aiohttp.FormData(issued["post"]["fields"])
    form.add_field("file", data, filename="photo.jpg")
    async with desk.service.session.post(issued["post"]["url"], data=form) as answer:
        return await _code(answer)


async def _code(answer: aiohttp.ClientResponse) -> str:
    return " ".join([str(answer.status), *re.findall("<Code>(.+)</Code>", await answer.text())])


async def _expired_url(desk: Desk, key: str) -> str:
    """A URL of the shortest time there is, once it is over. Asking with a type that was not signed uploads nothing."""
    terms = UploadTerms(key=key, content_type="image/jpeg", expires_in_seconds=1, max_bytes=2**20)
    async with desk.stage.stores() as stores:
        url = (await stores.source.presign_upload(terms)).url

    async def over() -> bool:
        async with desk.service.session.put(url, data=b"x", headers={"Content-Type": "text/plain"}) as answer:
            return "expired" in await answer.text()

    await eventually(over, what="the end of the URL's time")
    return url


@needs_curl
async def test_a_file_that_brings_down_its_worker_stays_processing_and_then_fails(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    async with _desk(tmp_path, session, command=CRASHING, VISIBILITY_SECONDS="6") as desk:
        poison = await desk.service.put(_photo() + b"bring it down")
        assert await desk.service.ended() == -signal.SIGSEGV
        await desk.reader.follow("Pods restart")
        await desk.reader.follow("A job stays processing", {JOB: poison["processingId"]})
        await desk.service.start()
        await desk.service.settled(poison["processingId"])
        await desk.reader.follow("A job failed with decoder_crashed", {JOB: poison["processingId"]})


@needs_curl
async def test_a_webhook_whose_receiver_is_away_is_found_by_its_code(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    async with _desk(tmp_path, session) as desk:
        nobody = {"url": f"http://127.0.0.1:{held_port()}/"}
        webhook = await desk.service.call("POST", "/images/webhooks", json=nobody, expect=201)
        issued = await desk.service.put(_photo())
        await desk.service.settled(issued["processingId"])

        async def tried() -> bool:
            path = f"/images/webhooks/{webhook['webhookId']}/attempts"
            deliveries = (await desk.service.call("GET", path))["deliveries"]
            return any(each["attempts"] for each in deliveries)

        await eventually(tried, what="an attempt that failed")
        await desk.reader.follow("Webhooks fail or come late", {"WEBHOOK": webhook["webhookId"]})


@needs_curl
async def test_a_right_that_is_missing_opens_the_circuit_lets_the_queue_grow_and_leaves_a_dead_letter(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    async with _desk(tmp_path, session, provisioned={"max_receive_count": 1}) as desk:
        service, reader = desk.service, desk.reader
        rights = await _rights(desk)
        await _grant(desk, _without(rights, desk.stage.made.names.processed_bucket))
        dead = (await service.put(_photo()))["processingId"]
        assert (await service.settled(dead))["error"]["code"] == "unavailable"
        await eventually(lambda: _has_looked_in_vain(desk), what="an open circuit, and no long poll under way")
        late = [(await service.put(_photo()))["processingId"] for _ in range(2)]
        await eventually(lambda: _waiting(desk, 1 + len(late)), what="a queue that nobody takes from")
        await reader.follow("The queue grows", {JOB: late[0]})
        await eventually(lambda: _is_unhealthy(service), what="a health call that does not remember better days")
        await reader.follow("Health says 503", blocks=1)

        await _grant(desk, rights)
        assert [(await service.settled(each))["status"] for each in late] == ["completed", "completed"]
        await eventually(service.healthy, what="a healthy service")
        await eventually(lambda: _dead_letters(desk), what="a dead letter")
        await reader.follow("Health says 503")
        await reader.follow("Messages are in the dead-letter queue")
        assert await _dead_letters(desk) == 0
        listed = await service.call("GET", "/images/failed")
        assert listed["images"] == []

        await _grant(desk, _without(rights, desk.stage.made.names.table))
        await reader.follow("The API answers 500 or 503", {JOB: late[0]})


async def _is_unhealthy(service: ServiceProcess) -> bool:
    return await service.healthy() is None


async def _waiting(desk: Desk, count: int) -> bool:
    async with desk.stage.stores() as stores:
        return (await stores.queue.depth()).waiting == count


async def _has_looked_in_vain(desk: Desk) -> bool:
    metrics = await desk.reader.run('curl -s "$METRICS/metrics"')
    failures = float(metrics.partition("\ntruss_circuit_failures ")[2].partition("\n")[0])
    return failures >= 2


async def _dead_letters(desk: Desk) -> int:
    async with desk.stage.stores() as stores:
        assert stores.dead_letters is not None
        return (await stores.dead_letters.depth()).waiting


async def _rights(desk: Desk) -> Any:
    """The policy of the service's user."""
    async with open_iam(desk.stage.aws.config()) as iam:
        found = await iam.get_user_policy(UserName=desk.stage.made.names.user, PolicyName=POLICY)
    return found["PolicyDocument"]


async def _grant(desk: Desk, document: Any) -> None:
    async with open_iam(desk.stage.aws.config()) as iam:
        name, policy = desk.stage.made.names.user, json.dumps(document)
        await iam.put_user_policy(UserName=name, PolicyName=POLICY, PolicyDocument=policy)


def _without(document: Any, resource: str) -> Any:
    """The same rights, but for those on what has `resource` in its name."""
    statements = [
        {**statement, "Resource": [each for each in statement["Resource"] if resource not in each]}
        for statement in document["Statement"]
    ]
    return {**document, "Statement": [statement for statement in statements if statement["Resource"]]}


@needs_curl
async def test_wrong_credentials_are_401_too_few_rights_403_and_too_much_of_anything_429(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    async with _desk(tmp_path, session, AUTH_MODES="api_key", LIMIT_BYTES_PER_DAY="1") as desk:
        reader, key = await _new_key(desk, "reader", Scope.READ), await _new_key(desk, "admin", Scope.ADMIN)
        await desk.reader.follow("The API answers 401 or 403", {"READ_KEY": reader})

        headers = {"X-Api-Key": key}
        busy = await _new_key(desk, "busy", Scope.READ, tenant="busy")
        few = {"requestsPerSecond": 0.001, "requestBurst": 1}
        await desk.service.call("PUT", "/images/limits", json=few, headers={**headers, "X-Tenant": "busy"})
        issued = await desk.service.call("POST", "/images/upload-url", json={"filename": "a.jpg"}, headers=headers)
        async with session.put(issued["uploadUrl"], data=_photo(), headers=issued["headers"]) as answer:
            assert answer.status == 200

        async def used_up() -> bool:
            limits = await desk.service.call("GET", "/images/limits", headers=headers)
            return bool(limits["bytesPerDay"]["remaining"] == 0)

        await eventually(used_up, what="a day's limit that is used up")
        await desk.reader.follow("The API answers 429", {"READ_KEY": busy, "KEY": key})


async def _new_key(desk: Desk, name: str, scope: Scope, *, tenant: str = "default") -> str:
    async with open_clients(desk.stage.aws.config()) as clients:
        store = DynamoKeyStore(Table(clients, desk.stage.made.names.table))
        return (await api_keys.create(store, tenant=tenant, name=name, scopes=[scope])).token


@needs_curl
async def test_a_job_that_waits_has_failed_or_is_gone_says_so(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    async with _desk(tmp_path, session) as desk:
        await desk.reader.follow("A job stays pending", _values(await desk.ask_for_url()))
        damaged = await desk.service.put(corpus.SAMPLES["jpeg-cut"].make())
        await desk.service.settled(damaged["processingId"])
        await desk.reader.follow("Processing failed", _values(damaged))

        issued = await desk.service.put(_photo())
        await desk.service.settled(issued["processingId"])
        await desk.reader.follow("CloudFront shows the old picture, or 403", _values(issued))
        await desk.service.call("DELETE", f"/images/image/{issued['uniqueId']}")
        await desk.reader.follow("The API answers 404", _values(issued))

        other = await desk.service.put(_photo())
        await desk.service.settled(other["processingId"])
        await _expire(desk, other["processingId"])
        gone = await desk.service.call("GET", f"/images/status/{other['processingId']}", expect=404)
        shown = await desk.service.call("GET", f"/images/processed/{other['uniqueId']}")
        assert (gone["code"], len(shown["processedImages"])) == ("job_not_found", 4)


async def _expire(desk: Desk, processing_id: str) -> None:
    """What DynamoDB's TTL does, in its own time."""
    key = json.dumps({"processingId": {"S": processing_id}})
    table = desk.stage.made.names.table
    assert await desk.reader.run(f"aws dynamodb delete-item --table-name {table} --key '{key}'") == ""
