"""A whole dependency is away for a while: no message is worn out by it, and afterwards everything is done."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests import corpus
from tests.faults.conftest import VISIBILITY_SECONDS, Lane, new_stage, run_lane
from tests.faults.proxy import Kind
from tests.local_aws import LocalAws
from tests.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

GOOD = corpus.jpeg(corpus.photo(160, 120))
HOSTILE = corpus.damage.cut(GOOD, 0.9)
#: More than are in work at once.
PICTURES = [GOOD, HOSTILE] * 4
#: By what the worker asks whether a dependency is back.
PROBES = {"s3": "s3:HeadBucket", "dynamodb": "dynamodb:GetItem"}


async def _put(lane: Lane, issued: dict[str, Any], picture: bytes) -> None:
    async with lane.service.session.put(issued["uploadUrl"], data=picture, headers=issued["headers"]) as answer:
        assert answer.status == 200, await answer.text()


async def _failing(lane: Lane, check: str) -> bool:
    async with lane.service.session.get(f"{lane.service.url}/images/health") as answer:
        return answer.status == 503 and (await answer.json())["checks"][check] == "failing"


def _receive_counts(log_file: Path) -> list[int]:
    """How often each message had been received when its event was brought to its end."""
    lines = [json.loads(line) for line in log_file.read_text().splitlines() if line.startswith("{")]
    return [line["receiveCount"] for line in lines if line["event"] == "Event handled"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dependency", "kind"),
    [
        ("s3", Kind.ERROR),
        ("dynamodb", Kind.RESET_BEFORE),
        ("sqs", Kind.EXPIRED),
    ],
)
async def test_while_a_dependency_is_away_no_message_is_worn_out_and_afterwards_all_is_done(
    emulator: LocalAws, session: aiohttp.ClientSession, tmp_path: Path, dependency: str, kind: Kind
) -> None:
    log_file = tmp_path / "service.log"
    # Only where the queue cannot be told do messages come back by their time; elsewhere a late heartbeat costs no try.
    visibility = str(VISIBILITY_SECONDS) if dependency == "sqs" else "60"
    lane_of = run_lane(await new_stage(emulator), session, log_file, WORKER_SLOTS="2", VISIBILITY_SECONDS=visibility)
    async with lane_of as lane:
        issued = [
            await lane.service.call("POST", "/images/upload-url", json={"filename": "photo.jpg"}) for _ in PICTURES
        ]
        lane.aws.strike(f"{dependency}:*", kind)
        for each, picture in zip(issued, PICTURES, strict=True):
            await _put(lane, each, picture)

        await _stay_away(lane, dependency)
        lane.aws.lift()

        jobs = [each["processingId"] for each in issued]
        assert list((await lane.ended(*jobs)).values()) == ["completed", "corrupt_image"] * 4
        await eventually(lane.service.healthy, what="a healthy service")
        await lane.assert_nothing_is_amiss()
    assert max(_receive_counts(log_file)) <= 2


async def _stay_away(lane: Lane, dependency: str) -> None:
    """Let the worker notice, and look once more in vain."""
    if dependency == "sqs":
        await eventually(lambda: _failing(lane, "queue"), what="the queue failing its check")
        return
    await eventually(lambda: _failing(lane, "worker"), what="an open circuit")
    received, probe = lane.aws.seen["sqs:ReceiveMessage"], PROBES[dependency]
    looked = lane.aws.seen[probe]

    async def looked_again() -> bool:
        return lane.aws.seen[probe] > looked

    await eventually(looked_again, what="looks at the dependency")
    assert lane.aws.seen["sqs:ReceiveMessage"] == received
