"""Which images must be rendered in a child process: some codecs do not check the deadline.

libvips asks the watch between rows, and libwebp between rows of blocks. `benchmarks/time_limit.py` finds the others:
libjpeg while it reads the scans of a progressive picture, libspng while it assembles an interlaced one, libwebp while
it decodes, and while it compresses the alpha of a frame. The first three come at the beginning, when there is time
left. The last comes at the end, when there may be none.
"""

from __future__ import annotations

from collections.abc import Sequence

from processor.formats import decoding_of
from processor.formats.info import ImageInfo
from processor.recipes import VariantSpec

#: Longest silence that a thread may be in when its time is up, in seconds.
MAX_SILENCE_SECONDS = 1.0


def must_be_killable(info: ImageInfo, timeout_seconds: float, specs: Sequence[VariantSpec]) -> bool:
    """Whether a thread could still be running `MAX_SILENCE_SECONDS` after its time limit.

    The figures of the formats are for the worst picture found, on one core of 2024, doubled for slower ones.
    """
    decoding = decoding_of(info.format).silent_seconds(info)
    encoding = max(spec.encoding.silent_seconds(info) for spec in specs)
    return decoding > timeout_seconds + MAX_SILENCE_SECONDS or encoding > MAX_SILENCE_SECONDS
