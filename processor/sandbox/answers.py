"""The content of the child's packets. The parent checks everything that it reads from them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any, get_args, get_type_hints

from processor.errors import ImageRejected, LimitExceeded, NotConvertible, UnsupportedFormat, leaves
from processor.facts import Facts
from processor.formats import DECODED, format_of
from processor.formats.info import ImageInfo
from processor.images import INSTEAD, Output, Variant
from processor.looking.files import Model
from processor.looks import Looks, Result
from processor.recipes import VariantSpec
from processor.sandbox.messages import Packet

#: The errors that a child may report, by code; those of them that have a limit.
_REJECTIONS = {error.code: error for error in leaves(ImageRejected)}
_EXCEEDED = {error.code: error for error in leaves(LimitExceeded)}
#: The allowed types of an output's fields.
_KNOWN = {name: get_args(hint) or (hint,) for name, hint in get_type_hints(Output).items()}
#: More than any image takes: a week.
_MOST_CPU_MS = 7 * 24 * 3600 * 1000
#: The name of a kind of file that cannot be decoded: a format, and a detail.
_KIND = re.compile(rf"({'|'.join(each.title for each in DECODED)}) \([A-Za-z0-9 -]{{1,40}}\)")


def describe(info: ImageInfo) -> dict[str, Any]:
    """The header of the packet with the facts about the source."""
    return {"source": asdict(info)}


def read_info(header: Mapping[str, Any]) -> ImageInfo:
    """The inverse of `describe`. Raises `ValueError` for anything else."""
    fields = header.get("source")
    if not isinstance(fields, dict) or fields.keys() != ImageInfo.__dataclass_fields__.keys():
        raise ValueError("no description")
    counts = [fields[name] for name in ("width", "height", "frames", "alpha_levels", "orientation", "bands", "scans")]
    words = isinstance(fields["format"], str) and isinstance(fields["has_alpha"], bool)
    if not words or not all(type(count) is int and count > 0 for count in counts):
        raise ValueError("no description")
    more = [fields[name] for name in ("coded_pixels", "decoder_bytes", "copied_bytes", "metadata_bytes")]
    if not all(type(count) is int and count >= 0 for count in more):
        raise ValueError("no description")
    shrinks = fields["shrinks"]
    if not isinstance(shrinks, list) or not all(type(factor) is int and factor > 1 for factor in shrinks):
        raise ValueError("no description")
    return ImageInfo(**{**fields, "shrinks": tuple(shrinks)})


def need(left_bytes: int) -> dict[str, Any]:
    """The header of the packet with the bytes of memory that the image needs from now on."""
    return {"left_bytes": left_bytes}


def read_need(header: Mapping[str, Any]) -> int | None:
    """The inverse of `need`; None: it is another packet. Raises `ValueError` for an impossible number."""
    if header.keys() != {"left_bytes"}:
        return None
    left_bytes = header["left_bytes"]
    if type(left_bytes) is not int or left_bytes < 0:
        raise ValueError("no need")
    return left_bytes


def refusal(error: ImageRejected) -> dict[str, Any]:
    """The header of the packet with the error of the image."""
    told: dict[str, Any] = {"error": error.code}
    if isinstance(error, UnsupportedFormat) and error.kind:
        told["kind"] = error.kind
    if isinstance(error, LimitExceeded):
        told |= {"limit": error.limit, "actual": error.actual}
    return told


def read_refusal(header: Mapping[str, Any]) -> ImageRejected:
    """The inverse of `refusal`. Raises `ValueError` for anything else."""
    match header:
        case {"error": UnsupportedFormat.code, "kind": str(kind)} if _KIND.fullmatch(kind):
            return UnsupportedFormat(kind)
        case {"error": str(code), "limit": int(limit), "actual": int(actual)} if code in _EXCEEDED and limit < actual:
            return _EXCEEDED[code](limit=limit, actual=actual)
        case {"error": str(code), "limit": int(limit), "actual": None} if code in _EXCEEDED:
            return _EXCEEDED[code](limit=limit)
        case {"error": NotConvertible.code, "limit": None, "actual": int(actual)}:
            return NotConvertible(actual=actual)
        case {"error": str(code)} if code in _REJECTIONS:
            return _REJECTIONS[code]()
    raise ValueError("no refusal")


def pack(variant: Variant, earlier: Sequence[Variant]) -> tuple[dict[str, Any], tuple[bytes, ...]]:
    """The packet with a variant, as header and bytes. A file that an `earlier` variant has is not sent again."""
    same = next((number for number, other in enumerate(earlier) if other.data == variant.data), None)
    header = {**variant.known(), "name": variant.spec.name, "same": same}
    return header, () if same is not None else (variant.data,)


def unpack(packet: Packet, spec: VariantSpec, earlier: Sequence[Variant]) -> Variant:
    """The inverse of `pack`. Raises `ValueError` for anything but the variant of `spec`."""
    longest = spec.encoding.longest_side
    match packet.header:
        case {"name": spec.name, "same": None | int() as same, **known} if _is_plain(known):
            variant = Variant(spec=spec, data=_file(packet, spec, same, earlier), **known)
            fits = 0 < variant.width <= longest and 0 < variant.height <= longest
            if fits and (variant.instead is None or INSTEAD.fullmatch(variant.instead)):
                return variant
    raise ValueError("not the variant that was asked for")


def pack_facts(facts: Facts) -> dict[str, Any]:
    """The header of the packet with the facts."""
    return {"facts": facts.everything}


def read_facts(header: Mapping[str, Any], names: Collection[str]) -> Facts:
    """The inverse of `pack_facts`. Raises `ValueError` for anything but small, plain values under these names."""
    match header:
        case {"facts": dict(found), **others} if not others:
            return Facts.of(found, names)
    raise ValueError("no facts")


def pack_end(facts: Facts, cpu_ms: int, looks: Sequence[Looks] = ()) -> dict[str, Any]:
    """The header of the last packet: the facts, the CPU that the image took, in milliseconds, and what models were
    asked."""
    return {**pack_facts(facts), "cpu_ms": cpu_ms, "looks": [each.to_json() for each in looks]}


def read_end(header: Mapping[str, Any], names: Collection[str]) -> tuple[Facts, int, Sequence[Looks]]:
    """The inverse of `pack_end`. Raises `ValueError` for anything else."""
    told = dict(header)
    looks = told.pop("looks", None)
    if not isinstance(looks, list) or len(looks) > len(Model) * len(Result):
        raise ValueError("no end")
    looked = tuple(Looks.from_json(each) for each in looks)
    if not {each.model for each in looked} <= {model.value for model in Model}:
        raise ValueError("no end")
    cpu_ms = told.pop("cpu_ms", None)
    if type(cpu_ms) is not int or not 0 <= cpu_ms <= _MOST_CPU_MS:
        raise ValueError("no end")
    return read_facts(told, names), cpu_ms, looked


def _is_plain(known: Mapping[str, object]) -> bool:
    """Whether it has exactly the fields of an output, each with an allowed type."""
    return known.keys() == _KNOWN.keys() and all(type(known[name]) in kinds for name, kinds in _KNOWN.items())


def _file(packet: Packet, spec: VariantSpec, same: int | None, earlier: Sequence[Variant]) -> bytes:
    if same is None:
        data = packet.body
    elif 0 <= same < len(earlier) and not packet.body:
        data = earlier[same].data
    else:
        raise ValueError("not a file that was sent")
    if not format_of(spec.format).begins(data):
        raise ValueError("not of the format that was asked for")
    return data
