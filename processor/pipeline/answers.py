"""Variants on their way from the child to its parent, who believes nothing that he can check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import accumulate, pairwise
from types import NoneType
from typing import Any

from processor.errors import DecoderCrashed, ImageRejected, LimitExceeded, leaves
from processor.images import WEBP_MAX_SIDE, ImageInfo, Rendered, Variant, VariantSpec
from processor.pipeline.frames import Frame

#: How a WebP file begins and goes on behind its length (RFC 9649).
_RIFF, _WEBP, _WEBP_AT = b"RIFF", b"WEBP", 8
_REJECTIONS = {error.code: error for error in leaves(ImageRejected) if issubclass(error, ImageRejected)}


def describe(info: ImageInfo) -> dict[str, Any]:
    """The header of the frame that tells what was found."""
    return {"source": asdict(info)}


def read_info(header: Mapping[str, Any]) -> ImageInfo:
    """Back from `describe`. Raises `ValueError` for anything else."""
    fields = header.get("source")
    if not isinstance(fields, dict) or fields.keys() != ImageInfo.__dataclass_fields__.keys():
        raise ValueError("no description")
    counts = [fields[name] for name in ("width", "height", "frames", "orientation", "bands", "scans")]
    words = isinstance(fields["format"], str) and isinstance(fields["has_alpha"], bool)
    if not words or not all(type(count) is int and count > 0 for count in counts):
        raise ValueError("no description")
    if type(fields["decoder_bytes"]) is not int or fields["decoder_bytes"] < 0:
        raise ValueError("no description")
    return ImageInfo(**fields)


def refuse(error: ImageRejected) -> dict[str, Any]:
    """The header of the frame that tells why there are no variants."""
    return {"error": error.code, "limit": error.limit, "actual": error.actual}


def read_refusal(header: Mapping[str, Any]) -> ImageRejected | None:
    """Back from `refuse`; None when it tells of no error. One that is not known is a crash."""
    code, limit, actual = (header.get(name) for name in ("error", "limit", "actual"))
    if code is None:
        return None
    rejection = _REJECTIONS.get(code) if isinstance(code, str) else None
    if rejection is None or any(type(number) not in (int, NoneType) for number in (limit, actual)):
        return DecoderCrashed()
    return rejection(limit=limit, actual=actual) if issubclass(rejection, LimitExceeded) else rejection()


def pack(rendered: Rendered) -> tuple[dict[str, Any], tuple[bytes, ...]]:
    """The header and the parts of the frame that brings the variants; equal files are one part."""
    places: dict[bytes, int] = {}
    variants = [
        {
            "name": variant.name,
            "width": variant.width,
            "height": variant.height,
            "part": places.setdefault(variant.data, len(places)),
        }
        for variant in rendered.variants
    ]
    return {"variants": variants, "parts": [len(part) for part in places]}, tuple(places)


def unpack(frame: Frame, info: ImageInfo, specs: Sequence[VariantSpec]) -> Rendered:
    """Back from `pack`. Raises `ValueError` for anything but one WebP file for each spec, in their order."""
    described = frame.header.get("variants")
    parts = _parts(frame)
    if not isinstance(described, list) or len(described) != len(specs):
        raise ValueError("not the variants that were asked for")
    variants = (_variant(fields, spec, parts) for fields, spec in zip(described, specs, strict=True))
    return Rendered(source=info, variants=tuple(variants))


def _parts(frame: Frame) -> list[bytes]:
    lengths = frame.header.get("parts")
    if not isinstance(lengths, list) or not all(type(length) is int and length > 0 for length in lengths):
        raise ValueError("no parts")
    if sum(lengths) != len(frame.body):
        raise ValueError("not the bytes that were announced")
    parts = [frame.body[start:end] for start, end in pairwise(accumulate(lengths, initial=0))]
    if not all(part.startswith(_RIFF) and part.startswith(_WEBP, _WEBP_AT) for part in parts):
        raise ValueError("no WebP")
    return parts


def _variant(fields: object, spec: VariantSpec, parts: Sequence[bytes]) -> Variant:
    match fields:
        case {"name": spec.name, "width": int(width), "height": int(height), "part": int(part)}:
            if 0 < width <= WEBP_MAX_SIDE and 0 < height <= WEBP_MAX_SIDE and 0 <= part < len(parts):
                return Variant(name=spec.name, data=parts[part], width=width, height=height)
    raise ValueError("not the variant that was asked for")
