"""Stops libvips in the middle of its work once a deadline has passed."""

from __future__ import annotations

from typing import Any

import pyvips

from processor.pipeline.limits import Deadline


def watched(image: pyvips.Image, deadline: Deadline) -> pyvips.Image:
    """The same pixels; whatever is computed from them fails with `pyvips.Error` soon after the deadline.

    libvips asks `eval` about its progress from within decoding, resizing and encoding, and only there does it see a
    kill. The caller keeps the result alive for as long as anything computes from it: the handler lives in it.
    """
    guard = image.copy()
    guard.set_progress(True)

    # The closure knows the deadline but not the guard: a cycle through C could never be collected.
    def stop_late(running: pyvips.Image, _progress: Any) -> None:
        if deadline.passed:
            running.set_kill(True)

    guard.signal_connect("eval", stop_late)
    return guard
