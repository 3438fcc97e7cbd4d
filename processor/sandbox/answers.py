"""Variants on their way from the child to its parent, who believes nothing that he can check."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import accumulate, pairwise
from typing import Any

from processor.errors import ImageRejected, LimitExceeded, UnsupportedFormat, leaves
from processor.formats import DECODED, format_of
from processor.formats.info import ImageInfo
from processor.images import Rendered, Variant
from processor.recipes import VariantSpec
from processor.sandbox.messages import Frame

#: What may be wrong with an image, by code; and that of it which comes with numbers.
_REJECTIONS = {error.code: error for error in leaves(ImageRejected)}
_EXCEEDED = {error.code: error for error in leaves(LimitExceeded)}
#: How a kind of a format is named that cannot be decoded.
_KIND = re.compile(rf"({'|'.join(each.title for each in DECODED)}) \([A-Za-z0-9 -]{{1,40}}\)")


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


def refusal(error: ImageRejected) -> dict[str, Any]:
    """The header of the frame that tells what is wrong with the image."""
    told: dict[str, Any] = {"error": error.code}
    if isinstance(error, UnsupportedFormat) and error.kind:
        told["kind"] = error.kind
    if isinstance(error, LimitExceeded):
        told |= {"limit": error.limit, "actual": error.actual}
    return told


def read_refusal(header: Mapping[str, Any]) -> ImageRejected:
    """Back from `refusal`. Raises `ValueError` for anything else."""
    match header:
        case {"error": UnsupportedFormat.code, "kind": str(kind)} if _KIND.fullmatch(kind):
            return UnsupportedFormat(kind)
        case {"error": str(code), "limit": int(limit), "actual": int(actual)} if code in _EXCEEDED and limit < actual:
            return _EXCEEDED[code](limit=limit, actual=actual)
        case {"error": str(code), "limit": int(limit), "actual": None} if code in _EXCEEDED:
            return _EXCEEDED[code](limit=limit)
        case {"error": str(code)} if code in _REJECTIONS:
            return _REJECTIONS[code]()
    raise ValueError("no refusal")


def pack(rendered: Rendered) -> tuple[dict[str, Any], tuple[bytes, ...]]:
    """The header and the parts of the frame that brings the variants; equal files are one part."""
    places: dict[bytes, int] = {}
    variants = [
        {
            "name": variant.spec.name,
            "width": variant.width,
            "height": variant.height,
            "part": places.setdefault(variant.data, len(places)),
        }
        for variant in rendered.variants
    ]
    return {"variants": variants, "parts": [len(part) for part in places]}, tuple(places)


def unpack(frame: Frame, info: ImageInfo, specs: Sequence[VariantSpec]) -> Rendered:
    """Back from `pack`. Raises `ValueError` for anything but one file for each spec, in their order."""
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
    return [frame.body[start:end] for start, end in pairwise(accumulate(lengths, initial=0))]


def _variant(fields: object, spec: VariantSpec, parts: Sequence[bytes]) -> Variant:
    match fields:
        case {"name": spec.name, "width": int(width), "height": int(height), "part": int(part)}:
            longest = spec.encoding.longest_side
            if 0 < width <= longest and 0 < height <= longest and 0 <= part < len(parts):
                if not format_of(spec.format).begins(parts[part]):
                    raise ValueError("not of the format that was asked for")
                return Variant(spec=spec, data=parts[part], width=width, height=height)
    raise ValueError("not the variant that was asked for")
