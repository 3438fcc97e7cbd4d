"""How much Python the event loop runs in one step: calls are counted, which are the same on every machine."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

import pytest

#: In one step of the loop: some five milliseconds, with what those calls do.
MOST_CALLS = 15_000


@dataclass
class LoopWork:
    """The step with the most calls, and which function made most of them."""

    most: int = 0
    what: Sequence[tuple[str, int]] = ()


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopWork]:
    """While the block runs, of every step of the loop. What runs in other threads does not count."""
    work = LoopWork()
    run = asyncio.Handle._run

    def counting(handle: asyncio.Handle) -> None:
        calls: Counter[str] = Counter()

        def count(frame: FrameType, event: str, _: Any) -> None:
            if event in ("call", "c_call"):
                calls[frame.f_code.co_name] += 1

        before = sys.getprofile()
        sys.setprofile(count)
        try:
            run(handle)
        finally:
            sys.setprofile(before)
        if calls.total() > work.most:
            work.most, work.what = calls.total(), calls.most_common(5)

    with monkeypatch.context() as patched:
        patched.setattr(asyncio.Handle, "_run", counting)
        yield work
