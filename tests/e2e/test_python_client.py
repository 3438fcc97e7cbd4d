"""The Python client with the real service, over real sockets."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from tests import corpus
from tests.e2e.conftest import LocalService
from truss_image_client import AsyncClient, Client, NotFound, Upload, UploadFailed, models, webhooks
from truss_image_client.webhooks import Event

PACKAGE = Path(__file__).parents[2] / "clients" / "python"


@pytest.fixture
async def images(service: LocalService) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(service.url) as images:
        yield images


async def test_every_block_of_the_readme_runs_as_it_stands(service: LocalService, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(corpus.jpeg(corpus.photo(320, 240)))
    blocks = re.findall(r"^```python\n(.*?)^```$", (PACKAGE / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    program = "KEY = 'any'\n" + "\n".join(blocks).replace("http://127.0.0.1:8080", service.url)
    (tmp_path / "readme.py").write_text(program)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "readme.py",
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(PACKAGE)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complained = await asyncio.wait_for(process.communicate(), 300)
    assert (process.returncode, complained.decode()) == (0, "")
    assert "thumbnail 300 225 http" in said.decode()
    assert "image_not_found" in said.decode() or "job_not_found" in said.decode()


#: Sends one part after the other, and stops for good in the middle of the second.
STOPPING = """
import sys
from truss_image_client import Client
from truss_image_client._sync import uploads

uploads.PARTS_AT_ONCE = 1


def stop(sent, size):
    if sent > size / 2:
        print("stopped", flush=True)
        sys.stdin.read()


Client(sys.argv[1]).upload(sys.argv[2], multipart_bytes=2**20, idempotency_key="one-large", progress=stop)
"""


@pytest.mark.slow
async def test_an_upload_in_parts_goes_on_after_its_process_was_killed(
    images: AsyncClient, service: LocalService, tmp_path: Path
) -> None:
    path = tmp_path / "large.png"
    path.write_bytes(corpus.png(corpus.photo(2_600, 2_600), compression=0))
    size = path.stat().st_size
    assert size > 16 * 2**20
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", STOPPING, service.url, str(path)),
        env={**os.environ, "PYTHONPATH": str(PACKAGE)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 180) == b"stopped\n"
    process.kill()
    await process.wait()

    told: list[int] = []

    async def upload() -> Upload:
        return await images.upload(
            path, multipart_bytes=2**20, idempotency_key="one-large", progress=lambda sent, _: told.append(sent)
        )

    uploaded = await upload()
    there = told[0]  # before anything was sent
    assert there >= 5 * 2**20
    assert uploaded.sent == size - there
    assert told[-1] == size
    job = await images.wait(uploaded.processing_id)
    assert job.processed_images["webp"].width == 2_600
    again = await upload()
    assert (again.existing, again.sent, again.processing_id) == (True, 0, uploaded.processing_id)


async def test_what_happens_to_an_image_is_told_from_the_beginning_of_its_job(images: AsyncClient) -> None:
    job = await images.convert(corpus.jpeg(corpus.photo(64, 47)))
    told: list[str] = []
    async with asyncio.timeout(180), images.events(processing_id=job.processing_id) as events:
        async for event in events:
            told.append(event.type)
            assert event.subject == job.unique_id
            if event.type == "image.completed":
                break
    assert told[0] == "image.uploaded"
    assert "image.variant" in told


async def test_the_storage_refuses_another_file_than_was_announced(
    images: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("truss_image_client.content.Content.checksum", lambda _: "A" * 43 + "=")
    with pytest.raises(UploadFailed, match="HTTP 400"):
        await images.upload(corpus.jpeg(corpus.photo(64, 48)))


async def test_batches_tell_of_each_image(images: AsyncClient) -> None:
    jobs = await asyncio.gather(*(images.convert(corpus.jpeg(corpus.photo(64, 48 + number))) for number in range(3)))
    names = [job.unique_id for job in jobs]
    again = await images.process_images([*names, "6f1f7a52-3a6e-4d0e-9a55-2f0c9b8c1d7e"])
    assert [result.status for result in again] == [202, 202, 202, 404]
    for result in again[:3]:
        assert result.answer is not None
        assert (await images.wait(result.answer.processing_id)).status == "completed"
    gone = await images.delete_images(names)
    assert [result.status for result in gone] == [200] * 3
    with pytest.raises(NotFound):
        await images.list_processed_images(names[0])


async def test_a_filter_starts_a_bulk_job_that_can_be_waited_for(images: AsyncClient) -> None:
    await images.convert(corpus.jpeg(corpus.photo(64, 40)))
    started = await images.process_matching(models.ImageFilter(status="completed"))
    ended = await images.wait_for_batch(started.batch_id)
    assert (ended.state, ended.failed) == ("completed", 0)
    assert [row.unique_id async for row in images.list_batch_results(started.batch_id)] != []


@pytest.mark.slow
def test_the_blocking_client_does_the_same(service: LocalService, tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(corpus.jpeg(corpus.photo(64, 44)))
    with Client(service.url) as images:
        job = images.convert(path)
        assert (job.filename, job.status) == ("photo.jpg", "completed")
        assert job.unique_id in {image.unique_id for image in images.list_images(limit=1)}
        assert images.delete_image(job.unique_id).deleted_processed_images == 4


async def test_what_the_service_delivers_is_genuine(images: AsyncClient) -> None:
    heard: asyncio.Queue[Event] = asyncio.Queue()
    secret = ""

    async def receive(request: web.Request) -> web.Response:
        heard.put_nowait(webhooks.verify(await request.read(), request.headers, secret))
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/", receive)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        made = await images.create_webhook(
            url=f"http://127.0.0.1:{runner.addresses[0][1]}/", events=["image.completed"]
        )
        secret = made.secret
        job = await images.convert(corpus.jpeg(corpus.photo(64, 42)))
        async with asyncio.timeout(180):
            while (event := await heard.get()).data["uniqueId"] != job.unique_id:
                pass
        assert event.type == "image.completed"
        deliveries = [each.event_id async for each in images.list_webhook_attempts(made.webhook_id)]
        assert event.id in deliveries
        await images.delete_webhook(made.webhook_id)
    finally:
        await runner.cleanup()
