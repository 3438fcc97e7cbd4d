"""A watch stops what takes too long, and costs nothing as long as it does not."""

from __future__ import annotations

import gc
import sys
import threading
from types import FrameType
from typing import Any

import pytest
import pyvips

from processor.pipeline import watch
from processor.pipeline.limits import Deadline
from processor.pipeline.watch import watched
from tests import corpus
from tests.waiting import PATIENCE_SECONDS


def picture() -> pyvips.Image:
    return corpus.photo(1200, 900).copy_memory()


def test_libvips_asks_for_the_interpreter_at_no_step_of_its_work() -> None:
    image = watched(picture(), Deadline(60))
    calls: list[str] = []

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            calls.append(frame.f_code.co_filename)

    sys.setprofile(note)
    try:
        image.webpsave_buffer(Q=80, effort=2)
    finally:
        sys.setprofile(None)
    assert not [name for name in calls if name == watch.__file__]


@pytest.mark.parametrize("late", [True, False])
def test_what_is_computed_from_it_ends_when_the_time_is_up(late: bool) -> None:
    deadline = Deadline(-1 if late else 60)
    deadline.start()
    image = watched(picture(), deadline)
    looked = threading.Event()
    look = watch._Guard.stop_late

    def noted(guard: watch._Guard) -> None:
        look(guard)
        looked.set()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(watch._Guard, "stop_late", noted)
        assert looked.wait(PATIENCE_SECONDS)
    if late:
        with pytest.raises(pyvips.Error):
            image.webpsave_buffer(Q=80, effort=2)
    else:
        assert image.webpsave_buffer(Q=80, effort=2)


def test_nothing_is_kept_of_what_is_gone() -> None:
    before = len(watch._WATCHMAN._guards)
    image = watched(picture(), Deadline(60))
    assert len(watch._WATCHMAN._guards) == before + 1
    del image
    gc.collect()
    assert len(watch._WATCHMAN._guards) <= before
