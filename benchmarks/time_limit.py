"""Measures how long a codec works without checking the deadline.

    python -m benchmarks.time_limit [--megapixels 24] [NAME ...]

Every file is drawn by formula, and rendered in this process without a time limit. The longest time between two checks
is how long a thread could go on after its time limit. `processor/pipeline/silence.py` must have every such time that
grows with the picture.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from benchmarks.memory import NO_LIMITS, cases, picture
from processor.pipeline.engine import set_up_libvips
from processor.pipeline.limits import Deadline
from processor.pipeline.render import inspect, render
from processor.pipeline.silence import must_be_killable
from processor.recipes import STANDARD
from tests import corpus
from tests.corpus import hostile

#: Small pieces that are just accepted: chunks, segments, comments.
_CRUMBS = 9000


class Listening(Deadline):
    """A deadline that never passes. It notes the longest time between two checks."""

    __slots__ = ("last", "longest")

    def __init__(self) -> None:
        super().__init__(NO_LIMITS.timeout_seconds)
        self.last = time.monotonic()
        self.longest = 0.0

    @property
    def passed(self) -> bool:
        """Never true; notes that somebody checked."""
        now = time.monotonic()
        self.longest, self.last = max(self.longest, now - self.last), now
        return False


def hostile_cases(megapixels: float) -> Mapping[str, Callable[[], bytes]]:
    """Files that keep a decoder busy, by name."""
    drawn = picture(megapixels)
    return {
        "jpeg-of-100-scans": lambda: hostile.jpeg_of_scans(drawn.width, drawn.height, 100),
        "jpeg-of-segments": lambda: hostile.jpeg_of_segments(corpus.jpeg(), _CRUMBS),
        "png-of-chunks": lambda: hostile.png_of_chunks(corpus.png(), _CRUMBS),
        "png-of-inflating-text": lambda: hostile.png_of_inflating_text(corpus.png(), 50, 50),
        "webp-of-chunks": lambda: hostile.webp_of_chunks(corpus.webp(), _CRUMBS),
        "gif-of-comments": lambda: hostile.gif_of_comments(_CRUMBS),
    }


def listen(data: bytes) -> tuple[float, float, bool]:
    """Total seconds, the longest time between two checks, and whether a limit of 60 s needs a child process."""
    limits = replace(NO_LIMITS, max_scans=1 << 30)
    deadline = Listening()
    started = time.monotonic()
    info = inspect(data, limits)
    deadline.last = time.monotonic()
    render(data, info, STANDARD, deadline)
    _ = deadline.passed
    return time.monotonic() - started, deadline.longest, must_be_killable(info, 60, STANDARD.specs)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="cases; all by default")
    parser.add_argument("--megapixels", type=float, default=24, help="size of a picture, all frames together")
    arguments = parser.parse_args()
    set_up_libvips()
    print("| case | seconds | longest silence | in a child at a limit of 60 s |\n| --- | --- | --- | --- |")
    for name, make in {**cases(arguments.megapixels), **hostile_cases(arguments.megapixels)}.items():
        if not arguments.names or name in arguments.names:
            seconds, silence, outside = listen(make())
            print(f"| {name} | {seconds:.2f} | {silence:.2f} | {'yes' if outside else 'no'} |", flush=True)


if __name__ == "__main__":
    main()
