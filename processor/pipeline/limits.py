"""How much of an image is too much: bytes, sides, pixels, frames, seconds."""

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
    #: Pixels in all frames together: what decides over memory and time.
    max_pixels: int = 120_000_000
    #: Longest side of one frame.
    max_side: int = 32_767
    #: Frames of an animation.
    max_frames: int = 500
    #: Scans of a JPEG: libjpeg's own tools write no more, and a scan of some bytes costs as much as a full one.
    max_scans: int = 100
    #: Time from the first decoded byte to the last encoded one.
    timeout_seconds: float = 60.0

    def check_size(self, size: int) -> None:
        """Of the file, in bytes, before it is looked into. Raises `EmptyFile`, `FileTooLarge`."""
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
        if info.pixels > self.max_pixels:
            raise TooManyPixels(limit=self.max_pixels, actual=info.pixels)
        if info.scans > self.max_scans:
            raise TooManyScans(limit=self.max_scans, actual=info.scans)


class Deadline:
    """Until when one image may be worked on. Any thread may ask, and any thread may call it off.

    `clock` counts seconds; a process that may stand still counts its processor time.
    """

    __slots__ = ("_at", "_called_off", "_clock", "_left", "_timeout_seconds")

    def __init__(self, timeout_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._at = math.inf
        self._left: float | None = None
        self._called_off = False

    def start(self) -> None:
        """The clock runs from here: waiting for a thread is not the image's fault."""
        self._at = self._clock() + self._timeout_seconds

    def pause(self) -> None:
        """The clock stands: the image waits for a thread, and nothing of it runs."""
        self._left, self._at = self._at - self._clock(), math.inf

    def go_on(self) -> None:
        """The clock runs again, if it stood."""
        if self._left is not None:
            self._at = self._clock() + self._left
            self._left = None

    @property
    def paused(self) -> bool:
        """Whether the clock stands."""
        return self._left is not None

    @property
    def passed(self) -> bool:
        """Whether to stop now, for whatever reason."""
        return self._called_off or self._clock() >= self._at

    def overdue(self, seconds: float) -> bool:
        """Whether the work goes on although its time was up so many seconds ago."""
        return self._clock() >= self._at + seconds

    def call_off(self) -> None:
        """Stop at once. It is not the image's fault, so it does not end in `TimedOut`."""
        self._called_off = True

    def check(self) -> None:
        """Raises `Unavailable` when the work was called off, `TimedOut` when it took too long."""
        if self._called_off:
            raise Unavailable
        if self.passed:
            raise TimedOut(limit=math.ceil(self._timeout_seconds))
