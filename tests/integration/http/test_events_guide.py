"""The listeners of docs/events.md, as they stand, hear of an image that is converted, and of each event once."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from processor.catalog import feeds
from service.calls import events
from service.calls.events import FEEDS
from service.limits.open_calls import STREAMS
from tests.guide import blocks, save_programs
from tests.integration.http.conftest import Client, World
from tests.waiting import PATIENCE_SECONDS, eventually

Serve = Callable[..., Awaitable[Client]]
LISTENERS = {"python": (sys.executable, "listen.py"), "javascript": ("node", "print.mjs")}
KINDS = sorted(["image.uploaded", "image.processing", *["image.variant"] * 4, "image.completed"])


@pytest.mark.usefixtures("short_streams")
@pytest.mark.parametrize("language", LISTENERS)
async def test_a_listener_of_the_guide_hears_each_event_once_though_its_stream_breaks(
    client: Client, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, language: str
) -> None:
    monkeypatch.setattr(feeds, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(events, "STREAM_SECONDS", 600.0)
    assert client.app is not None
    app = client.app
    heard_now = _notes_who_hears(monkeypatch)
    save_programs(blocks("events.md"), tmp_path)
    process = await asyncio.create_subprocess_exec(
        *LISTENERS[language],
        cwd=tmp_path,
        env=os.environ | {"TRUSS": str(client.make_url("")).rstrip("/")},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        heard: list[str] = []
        for _ in range(2):

            async def listens() -> bool:
                return app[STREAMS].count() == 1

            await eventually(listens)
            await asyncio.wait_for(heard_now.wait(), PATIENCE_SECONDS)
            job = await world.submit("default")
            await world.complete(job.processing_id)
            heard += [(await asyncio.wait_for(process.stdout.readline(), PATIENCE_SECONDS)).decode() for _ in KINDS]
            app[FEEDS].end()

            async def gone() -> bool:
                return app[STREAMS].count() == 0

            await eventually(gone)
            app[FEEDS].ended = False
    finally:
        process.kill()
        await process.wait()
    assert sorted(word for line in heard for word in line.split() if word.startswith("image.")) == sorted(2 * KINDS)


def _notes_who_hears(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Set once a stream hears what happens from now on: a moment after its place is taken."""
    hears = asyncio.Event()
    listen = feeds.Feeds.listen

    @asynccontextmanager
    async def noted(all_feeds: feeds.Feeds, *asked: Any) -> AsyncIterator[feeds.Listener]:
        async with listen(all_feeds, *asked) as listener:
            hears.set()
            yield listener

    monkeypatch.setattr(feeds.Feeds, "listen", noted)
    return hears
