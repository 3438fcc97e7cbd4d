"""A call of a conversion fails, in every way that a call can fail: every upload still has its one right end."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from tests import corpus
from tests.faults.conftest import Lane, RunLanes
from tests.faults.proxy import Fault, Kind
from tests.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

GOOD = corpus.jpeg(corpus.photo(160, 120))
HOSTILE = corpus.damage.cut(GOOD, 0.9)
#: What must become of them.
RIGHT_END = {GOOD: "completed", HOSTILE: "corrupt_image"}

Strike = tuple[Kind, int]
#: What the SDK's own tries make good, and what costs one delivery of the message. The latter come in twos and threes,
#: because the circuit waits longer the more deliveries have failed.
WAVES: dict[str, tuple[Strike, ...]] = {
    "once": (
        (Kind.LATENCY, 1),
        (Kind.RESET_BEFORE, 1),
        (Kind.RESET_AFTER, 1),
        (Kind.ERROR, 1),
        (Kind.THROTTLED, 1),
        (Kind.TRUNCATED, 1),
        (Kind.EXPIRED, 1),
    ),
    "thrice": ((Kind.RESET_AFTER, 3), (Kind.ERROR, 3), (Kind.THROTTLED, 3)),
}


@dataclass(frozen=True, slots=True)
class Aim:
    """One call of the conversion of one upload: told from others by what is in its path or body."""

    operation: str
    about: tuple[str, ...]
    picture: bytes = GOOD


AIMS = {
    "look up the image": Aim("dynamodb:GetItem", ("upload_{uniqueId}",)),
    "accept": Aim("dynamodb:TransactWriteItems", ("{processingId}",)),
    "fetch": Aim("s3:GetObject", ("{uniqueId}",)),
    "store a variant": Aim("s3:PutObject", ("{processingId}", "thumbnail.webp")),
    "store the manifest": Aim("s3:PutObject", ("{processingId}", "manifest.json")),
    "finish": Aim("dynamodb:TransactWriteItems", ("{processingId}", ":new_endedBy")),
    "finish a failure": Aim("dynamodb:TransactWriteItems", ("{processingId}", ":new_endedBy"), HOSTILE),
}


async def _struck_upload(lane: Lane, aim: Aim, strike: Strike) -> tuple[str, Fault]:
    """Upload a picture after a fault was aimed at a call of its conversion; its job."""
    issued = await lane.service.call("POST", "/images/upload-url", json={"filename": "photo.jpg"})
    kind, times = strike
    fault = lane.aws.strike(aim.operation, kind, *(each.format(**issued) for each in aim.about), times=times)
    await _put(lane, issued, aim.picture)
    return issued["processingId"], fault


async def _put(lane: Lane, issued: dict[str, Any], picture: bytes) -> None:
    async with lane.service.session.put(issued["uploadUrl"], data=picture, headers=issued["headers"]) as answer:
        assert answer.status == 200, await answer.text()


@pytest.mark.slow  # a service for each call, and messages that come back after their time
@pytest.mark.parametrize("wave", WAVES)
async def test_a_call_that_fails_for_a_while_changes_no_result(run_lanes: RunLanes, wave: str) -> None:
    async def strike_all(lane: Lane, aim: Aim) -> None:
        struck = {strike: await _struck_upload(lane, aim, strike) for strike in WAVES[wave]}
        bystander = (await lane.service.put(HOSTILE))["processingId"]

        found = await lane.ended(bystander, *(job for job, _ in struck.values()))

        assert found[bystander] == RIGHT_END[HOSTILE]
        ends = {strike: (found[job], fault.struck) for strike, (job, fault) in struck.items()}
        assert ends == {strike: (RIGHT_END[aim.picture], strike[1]) for strike in WAVES[wave]}
        lane.aws.lift()
        await lane.assert_nothing_is_amiss()

    await run_lanes({name: partial(strike_all, aim=aim) for name, aim in AIMS.items()})


@pytest.mark.slow
@pytest.mark.parametrize("wave", WAVES)
async def test_a_claim_that_fails_for_a_while_changes_no_result(lane: Lane, wave: str) -> None:
    """A first upload is claimed when it is accepted; a job that is asked for is claimed by itself."""
    images = [(await lane.service.put(GOOD)) for _ in WAVES[wave]]
    await lane.ended(*(each["processingId"] for each in images))
    found = {}
    for image, (kind, times) in zip(images, WAVES[wave], strict=True):
        fault = lane.aws.strike("dynamodb:UpdateItem", kind, "claimKey", times=times)
        asked = await lane.service.call("POST", f"/images/process/{image['uniqueId']}", expect=202)
        ends = await lane.ended(asked["processingId"])
        found[kind, times] = (ends[asked["processingId"]], fault.struck)

    assert found == {strike: ("completed", strike[1]) for strike in WAVES[wave]}
    lane.aws.lift()
    await lane.assert_nothing_is_amiss()


@pytest.mark.slow
async def test_a_job_that_could_not_be_given_back_is_taken_up_when_its_lease_has_run_out(lane: Lane) -> None:
    struck = {}
    for strike in ((Kind.ERROR, 3), (Kind.RESET_AFTER, 3), (Kind.EXPIRED, 1)):
        release = Aim("dynamodb:UpdateItem", ("{processingId}", ":token", ":one"))
        job, fault = await _struck_upload(lane, release, strike)
        lane.aws.strike("s3:PutObject", Kind.EXPIRED, job, times=1)
        struck[strike] = job, fault

    found = await lane.ended(*(job for job, _ in struck.values()))

    assert set(found.values()) == {"completed"}
    assert {strike: fault.struck for strike, (_, fault) in struck.items()} == {each: each[1] for each in struck}
    lane.aws.lift()
    await lane.assert_nothing_is_amiss()


@pytest.mark.slow
@pytest.mark.parametrize(
    "strikes",
    [
        pytest.param(WAVES["once"], id="once"),
        pytest.param(((Kind.ERROR, 3), (Kind.THROTTLED, 3)), id="thrice"),
    ],
)
async def test_a_receive_that_fails_or_whose_answer_is_lost_loses_no_message(
    lane: Lane, strikes: tuple[Strike, ...]
) -> None:
    found = {}
    for kind, times in strikes:
        fault = lane.aws.strike("sqs:ReceiveMessage", kind, times=times, answering=b"ReceiptHandle")
        await _next_call(lane, "sqs:ReceiveMessage")
        jobs = [(await lane.service.put(picture))["processingId"] for picture in (GOOD, HOSTILE)]
        found[kind, times] = [*(await lane.ended(*jobs)).values(), fault.struck]

    assert found == {strike: ["completed", "corrupt_image", strike[1]] for strike in strikes}
    lane.aws.lift()
    await lane.assert_nothing_is_amiss()


async def _next_call(lane: Lane, operation: str) -> None:
    """Wait for a call to begin: the one under way began before the fault was armed."""
    before = lane.aws.seen[operation]

    async def begun() -> bool:
        return lane.aws.seen[operation] > before

    await eventually(begun, what=f"another {operation}")


@pytest.mark.slow  # it comes when its time has run out
async def test_a_message_that_could_not_be_settled_comes_again_and_changes_nothing(lane: Lane) -> None:
    found = {}
    strikes = [strike for wave in WAVES.values() for strike in wave]
    for kind, times in strikes:
        fault = lane.aws.strike("sqs:DeleteMessageBatch", kind, times=times)
        jobs = [(await lane.service.put(picture))["processingId"] for picture in (GOOD, HOSTILE)]
        found[kind, times] = list((await lane.ended(*jobs)).values())
        await eventually(partial(_has_struck, fault, times), what=f"{times} x {kind}")

    assert found == {strike: ["completed", "corrupt_image"] for strike in strikes}
    await lane.assert_nothing_is_amiss()


async def _has_struck(fault: Fault, times: int) -> bool:
    return fault.struck == times


#: A heartbeat's two calls, told from others of their kind.
HEARTBEATS = {
    "sqs:ChangeMessageVisibilityBatch": ('"VisibilityTimeout": 6',),
    "dynamodb:UpdateItem": (":new_lease", ":token"),
}
#: How many of a conversion's heartbeats fail, and how.
HEARTBEAT_FAILURES: dict[str, tuple[Strike, ...]] = {
    "two": ((Kind.RESET_AFTER, 3), (Kind.EXPIRED, 1)),
    "all": ((Kind.ERROR, 99),),
}
#: Where the message comes back while it is in work, and the job is claimed a second time.
OVERTAKEN = {("sqs:ChangeMessageVisibilityBatch", "all")}


@pytest.mark.slow
async def test_heartbeats_that_fail_make_no_second_result(run_lanes: RunLanes) -> None:
    async def strike(lane: Lane, operation: str, how_many: str) -> None:
        faults = [
            lane.aws.strike(operation, kind, *HEARTBEATS[operation], times=times)
            for kind, times in HEARTBEAT_FAILURES[how_many]
        ]
        lane.aws.strike("s3:PutObject", Kind.LATENCY, "webp.webp", times=3, seconds=9.0)

        jobs = [(await lane.service.put(GOOD))["processingId"] for _ in range(3)]

        assert set((await lane.ended(*jobs)).values()) == {"completed"}
        assert all(fault.struck for fault in faults)
        async with lane.stage.stores() as stores:
            attempts = max([(await stores.jobs.job_of_any_tenant(job)).attempts for job in jobs])
        # Where nothing is to overtake, a machine so busy that a heartbeat is late may do so all the same.
        assert attempts > 1 or (operation, how_many) not in OVERTAKEN
        lane.aws.lift()
        await lane.assert_nothing_is_amiss()

    plays = {
        f"{operation}: {how_many} fail": partial(strike, operation=operation, how_many=how_many)
        for operation in HEARTBEATS
        for how_many in HEARTBEAT_FAILURES
    }
    await run_lanes(plays)
