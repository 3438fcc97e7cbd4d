"""Finds what only a garbage collection would free: pictures, files and the objects of libvips in reference cycles."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pyvips

from processor.images import Variant
from processor.pipeline.render import Rendering

#: The bytes of a file that counts. Smaller ones are no files of pictures.
FILE_BYTES = 200


async def left_by(work: Callable[[], Awaitable[Any]]) -> list[str]:
    """What the work leaves in cycles: each picture, and what holds it.

    What was there before is frozen, so nobody looks through it: a process that has run thousands of tests has a million
    objects.
    """
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        await work()
        for _ in range(3):  # the loop has the last futures until its next round
            await asyncio.sleep(0)
        before = set(_holders())
        gc.collect()
        after = set(_holders())
    finally:
        gc.enable()
    return sorted(told for _, told in before - after)


def _holders() -> Iterator[tuple[int, str]]:
    """The objects that are or hold a picture, by their addresses: a reference would keep them."""
    for holder in gc.get_objects():
        for each in (holder, *gc.get_referents(holder)):
            if _is_picture(each) and getattr(holder, "f_code", None) is not _holders.__code__:
                yield id(holder), f"{_told(each)} in {_told(holder)}"


def _is_picture(each: object) -> bool:
    if isinstance(each, bytes | bytearray):
        return len(each) >= FILE_BYTES
    return isinstance(each, Variant | Rendering | pyvips.GObject | pyvips.ffi.CData)


def _told(each: object) -> str:
    if isinstance(each, bytes | bytearray):
        return f"{type(each).__name__} of {len(each)}"
    code = getattr(each, "f_code", None)
    return type(each).__name__ if code is None else f"the frame of {code.co_name}"
