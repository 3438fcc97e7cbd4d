"""Stops libvips in the middle of its work once a deadline has passed."""

from __future__ import annotations

import threading
import time
from itertools import count
from weakref import ref

import pyvips

from processor.pipeline.limits import Deadline

#: Time between two looks at the deadlines of all images in work, in seconds.
LOOK_SECONDS = 0.05


def watched(image: pyvips.Image, deadline: Deadline) -> pyvips.Image:
    """The same pixels. Any computation from them fails with `pyvips.Error` soon after the deadline.

    libvips checks for a kill while it decodes, resizes and encodes. The caller must keep the result alive as long as
    anything is computed from it.
    """
    image = image.copy()
    guard = _Guard(image, deadline)
    image.signal_connect("posteval", guard)
    _WATCHMAN.watch(guard)
    return image


class _Guard:
    """Lives as long as the image that it is connected to, and stops computations from it."""

    def __init__(self, image: pyvips.Image, deadline: Deadline) -> None:
        pyvips.gobject_lib.g_object_ref(image.pointer)
        self._same = pyvips.Image(image.pointer)
        self._deadline = deadline

    def __call__(self, *_: object) -> None:
        """Does nothing: the connection only keeps the guard alive."""

    def stop_late(self) -> None:
        if self._deadline.passed:
            self._same.set_kill(True)


class _Watchman:
    """A thread that looks at the deadlines of the whole process.

    A callback from libvips at each step of its work would run six hundred times for a photo. Each time it would wait
    for the GIL. Beside a busy event loop, a conversion would take twice as long.
    """

    def __init__(self) -> None:
        self._guards: dict[int, ref[_Guard]] = {}
        self._numbers = count()
        self._work = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def watch(self, guard: _Guard) -> None:
        """Look at the guard's deadline until the guard is gone."""
        number = next(self._numbers)
        self._guards[number] = ref(guard, lambda _: self._guards.pop(number, None))
        self._work.set()
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._look, name="watchman", daemon=True)
                self._thread.start()

    def _look(self) -> None:
        while True:
            self._work.wait()
            self._work.clear()
            while guards := self._guards.copy():  # a copy is atomic: other threads change the dict
                for found in guards.values():
                    self._look_at(found)
                time.sleep(LOOK_SECONDS)

    def _look_at(self, found: ref[_Guard]) -> None:
        """Kills again at every look: libvips clears a kill once it has seen it."""
        guard = found()
        if guard is not None:
            guard.stop_late()


_WATCHMAN = _Watchman()
