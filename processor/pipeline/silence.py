"""Which images have to be rendered where they can be killed: libvips hears of no deadline while a codec is at work.

libvips asks the watch between rows, and libwebp between rows of blocks. `benchmarks/time_limit.py` finds who does not:
libjpeg while it reads the scans of a progressive picture, libspng while it puts an interlaced one together, libwebp
while it decodes, and while it compresses the alpha of a frame. The first three come at the beginning, when there is
time left; the last comes at the end, when there may be none.
"""

from __future__ import annotations

from processor.images import ImageInfo

#: Longest silence that a thread may be in when its time is up, in seconds.
MAX_SILENCE_SECONDS = 1.0
#: Nanoseconds a pixel on one core of 2024, for the worst picture found, doubled for slower ones: libjpeg in each scan;
#: libwebp decoding without loss; libspng decoding, for each byte of a pixel.
_SCAN_NS, _WEBP_NS, _INTERLACED_NS = 4, 100, 20
#: The same for libwebp compressing the noisiest alpha; not doubled, since it is rare and a smooth one takes a sixth.
_ALPHA_NS = 150


def must_be_killable(info: ImageInfo, timeout_seconds: float) -> bool:
    """Whether a thread could still be at it `MAX_SILENCE_SECONDS` after its time was up."""
    return (
        _decoding_seconds(info) > timeout_seconds + MAX_SILENCE_SECONDS or _encoding_seconds(info) > MAX_SILENCE_SECONDS
    )


def _decoding_seconds(info: ImageInfo) -> float:
    if info.format == "webp":
        return info.pixels * _WEBP_NS / 1e9
    if info.format == "png":
        return info.decoder_bytes * _INTERLACED_NS / 1e9
    return info.pixels * info.scans * _SCAN_NS / 1e9 if info.decoder_bytes else 0.0


def _encoding_seconds(info: ImageInfo) -> float:
    return info.width * info.height * _ALPHA_NS / 1e9 if info.has_alpha else 0.0
