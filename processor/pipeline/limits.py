"""Limits for one image: bytes, sides, pixels, frames, scans, seconds."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from processor.errors import (
    EmptyFile,
    FileTooLarge,
    SideTooLong,
    TimedOut,
    TooManyFrames,
    TooManyPixels,
    TooManyScans,
    Unavailable,
)
from processor.formats.info import ImageInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class FileLimits:
    """What one upload may cost. All bounds are inclusive."""

    #: Size of the file.
    max_bytes: int = 100 * 1024 * 1024
    #: Pixels in all frames together. They decide over memory and time.
    max_pixels: int = 120_000_000
    #: Longest side of one frame.
    max_side: int = 32_767
    #: Frames of an animation.
    max_frames: int = 500
    #: Scans of a JPEG. libjpeg's own tools write no more, and a scan of a few bytes costs as much as a full one.
    max_scans: int = 100
    #: Time from the first decoded byte to the last encoded one.
    timeout_seconds: float = 60.0

    def check_size(self, size: int) -> None:
        """Checks the length of a file in bytes, before it is read. Raises `EmptyFile`, `FileTooLarge`."""
        if size == 0:
            raise EmptyFile
        if size > self.max_bytes:
            raise FileTooLarge(limit=self.max_bytes, actual=size)

    def check_header(self, info: ImageInfo) -> None:
        """Before a pixel is decoded. Raises `SideTooLong`, `TooManyFrames`, `TooManyPixels`, `TooManyScans`."""
        side = max(info.width, info.height)
        if side > self.max_side:
            raise SideTooLong(limit=self.max_side, actual=side)
        if info.frames > self.max_frames:
            raise TooManyFrames(limit=self.max_frames, actual=info.frames)
        if info.decoded_pixels > self.max_pixels:
            raise TooManyPixels(limit=self.max_pixels, actual=info.decoded_pixels)
        if info.scans > self.max_scans:
            raise TooManyScans(limit=self.max_scans, actual=info.scans)


class Deadline:
    """The time until which one image may be worked on. Any thread may read it or call the work off.

    `clock` counts seconds. A process that may be paused counts its CPU time instead.
    """

    __slots__ = ("_at", "_called_off", "_clock", "_left", "_timeout_seconds")

    def __init__(self, timeout_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._at = math.inf
        self._left: float | None = None
        self._called_off = False

    def start(self) -> None:
        """Start the clock. Waiting for a thread before this does not count: it is not the image's fault."""
        self._at = self._clock() + self._timeout_seconds

    def pause(self) -> None:
        """Stop the clock while the image waits for a thread and nothing of it runs."""
        self._left, self._at = self._at - self._clock(), math.inf

    def go_on(self) -> None:
        """Start the clock again, if it was paused."""
        if self._left is not None:
            self._at = self._clock() + self._left
            self._left = None

    @property
    def paused(self) -> bool:
        """Whether the clock is paused."""
        return self._left is not None

    @property
    def passed(self) -> bool:
        """Whether the work must stop now, for any reason."""
        return self._called_off or self._clock() >= self._at

    def overdue(self, seconds: float) -> bool:
        """Whether the time limit passed at least so many seconds ago."""
        return self._clock() >= self._at + seconds

    def call_off(self) -> None:
        """Stop the work at once. It is not the image's fault, so the error is not `TimedOut`."""
        self._called_off = True

    def check(self) -> None:
        """Raises `Unavailable` if the work was called off, `TimedOut` if it took too long."""
        if self._called_off:
            raise Unavailable
        if self.passed:
            raise TimedOut(limit=math.ceil(self._timeout_seconds))
