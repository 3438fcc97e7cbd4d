"""The process is told to stop, or killed, in the middle of its work: nothing is lost."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from typing import Any

import pytest

from tests import corpus
from tests.e2e.conftest import LocalService, MakeService
from tests.waiting import eventually


async def _uploads_in_work(service: LocalService, count: int = 3) -> list[Any]:
    """Upload so much that some of it is being converted when this returns."""
    photo = corpus.jpeg(corpus.large(2400, 1800))  # just large enough for long work
    issued = [await service.put(photo) for _ in range(count)]

    async def converting() -> bool:
        listed = await service.call("GET", "/images/list?status=processing")
        if not listed["count"] and (await service.call("GET", "/images/list?status=completed"))["count"] == len(issued):
            issued.append(await service.put(photo))  # nobody looked in time
        return bool(listed["count"])

    await eventually(converting, what="a conversion under way")
    return issued


async def _all_completed(service: LocalService, issued: list[Any]) -> None:
    for answer in issued:
        job = await service.settled(answer["processingId"])
        assert job["status"] == "completed", job
    assert (await service.call("GET", "/images/list"))["count"] == len(issued)


def _events(service: LocalService) -> list[str]:
    lines = service.log_file.read_text().splitlines()
    return [json.loads(line)["event"] for line in lines if line.startswith("{")]


async def test_sigterm_in_mid_conversion_drains_and_the_next_start_does_the_rest(make_service: MakeService) -> None:
    service = await make_service()
    issued = await _uploads_in_work(service)

    service.signal(signal.SIGTERM)
    assert await service.ended() == 0

    events = _events(service)
    assert events.index("Service stopping") < events.index("Worker drained") < events.index("Service stopped")
    await service.start()
    await _all_completed(service, issued)


@pytest.mark.slow
async def test_while_it_stops_nothing_new_is_accepted(make_service: MakeService) -> None:
    service = await make_service()
    await _uploads_in_work(service)
    service.signal(signal.SIGTERM)

    async def refused() -> bool:
        try:
            async with service.session.get(f"{service.url}/images/health") as answer:
                return answer.status == 503
        except OSError:
            return True

    await eventually(refused, what="a closed door")
    assert await service.ended() == 0


@pytest.mark.slow  # the same kill as at a step of a conversion, in tests/faults
async def test_sigkill_in_mid_conversion_loses_nothing(make_service: MakeService) -> None:
    service = await make_service(VISIBILITY_SECONDS="6")
    issued = await _uploads_in_work(service)

    service.signal(signal.SIGKILL)
    await service.ended()

    await service.start()
    await _all_completed(service, issued)


@pytest.mark.slow
async def test_a_file_that_brings_down_the_decoder_costs_one_restart_and_then_fails_by_itself(
    make_service: MakeService,
) -> None:
    command = (sys.executable, "-m", "tests.e2e.segfaulting_service")
    service = await make_service(command=command, VISIBILITY_SECONDS="6")
    good = corpus.jpeg(corpus.photo(800, 600))
    poison = await service.put(good + b"bring it down")

    assert await service.ended() == -signal.SIGSEGV

    await service.start()
    assert (await service.settled(poison["processingId"]))["error"]["code"] == "decoder_crashed"
    fine = await service.put(good)
    assert (await service.settled(fine["processingId"]))["status"] == "completed"
    assert await service.stop() == 0


@pytest.mark.slow
async def test_a_second_sigterm_is_obeyed_at_once(make_service: MakeService) -> None:
    service = await make_service(QUEUE_WAIT_SECONDS="20")
    service.signal(signal.SIGTERM)

    async def stopping() -> bool:
        return "Service stopping" in _events(service)

    await eventually(stopping, what="the beginning of the end")
    service.signal(signal.SIGTERM)
    assert await service.ended() == 128 + signal.SIGTERM  # which no end in order has


@pytest.mark.slow  # three starts
async def test_the_emulator_killed_with_its_records_leaves_every_upload_accounted_for(
    make_service: MakeService,
) -> None:
    service = await make_service()
    issued = await _uploads_in_work(service)

    for pid in await asyncio.to_thread(_emulators_of, service):
        os.kill(pid, signal.SIGKILL)
    service.signal(signal.SIGKILL)
    await service.ended()
    await service.start()

    async def accounted_for() -> bool:
        listed = await service.call("GET", "/images/list?status=completed")
        return {row["uniqueId"] for row in listed["images"]} == {answer["uniqueId"] for answer in issued}

    await eventually(accounted_for, what="every upload completed")


def _emulators_of(service: LocalService) -> list[int]:
    assert service.process is not None
    found = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(service.process.pid)], capture_output=True, text=True, check=True
    )
    return [int(line) for line in found.stdout.split()]
