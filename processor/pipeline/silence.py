"""Which images must be rendered in a child process: some codecs do not check the deadline.

libvips checks between rows, and libwebp between rows of blocks. `benchmarks/time_limit.py` finds where others do not:

- libjpeg, while it reads the scans of a progressive picture
- libspng, while it assembles an interlaced picture
- libwebp, while it decodes
- libwebp, while it compresses the alpha of a frame

The first three happen at the beginning, when time is left. The last happens at the end, when there may be none.
"""

from __future__ import annotations

from collections.abc import Sequence

from processor.formats import decoding_of
from processor.formats.info import ImageInfo
from processor.recipes import VariantSpec

#: The longest that a thread may go on after its time limit without checking the deadline, in seconds.
MAX_SILENCE_SECONDS = 1.0


def must_be_killable(info: ImageInfo, timeout_seconds: float, specs: Sequence[VariantSpec]) -> bool:
    """Whether a thread could still be running `MAX_SILENCE_SECONDS` after its time limit.

    The formats' figures are for the worst picture found, on a core of 2024, doubled for slower ones.
    """
    decoding = decoding_of(info.format).silent_seconds(info)
    encoding = max(spec.encoding.silent_seconds(info) for spec in specs)
    return decoding > timeout_seconds + MAX_SILENCE_SECONDS or encoding > MAX_SILENCE_SECONDS
