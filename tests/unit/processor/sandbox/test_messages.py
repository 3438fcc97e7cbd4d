"""What parent and child say to each other, and what the parent does not believe."""

from __future__ import annotations

import asyncio
import io
import json
from typing import Any

import pytest

from processor.formats.info import ImageInfo
from processor.images import Variant
from processor.recipes import VariantSpec
from processor.sandbox.answers import describe, need, pack, read_info, read_need, unpack
from processor.sandbox.messages import HEAD, MAX_HEADER_BYTES, Packet, hear, opening, receive, send

INFO = ImageInfo(format="png", width=4, height=3)
SPECS = (
    VariantSpec(name="small", format="webp", quality=1, box=(2, 2)),
    VariantSpec(name="large", format="webp", quality=1),
)
WEBP = b"RIFF\x04\x00\x00\x00WEBP"


def heard(data: bytes, *, max_body_bytes: int = 10) -> Packet:
    async def listen() -> Packet:
        reader = asyncio.StreamReader()
        reader.feed_data(data)
        reader.feed_eof()
        return await hear(reader, max_body_bytes=max_body_bytes)

    return asyncio.run(listen())


def raw(text: bytes, body_bytes: int = 0) -> bytes:
    return HEAD.pack(len(text), body_bytes) + text


def test_what_is_sent_is_received() -> None:
    pipe = io.BytesIO()
    send(pipe, {"say": "ü"}, (b"one", b"two"))
    send(pipe, {})
    pipe.seek(0)

    assert receive(pipe) == Packet(header={"say": "ü"}, body=b"onetwo")
    assert heard(pipe.getvalue()) == Packet(header={"say": "ü"}, body=b"onetwo")
    assert receive(pipe) == Packet(header={})
    with pytest.raises(EOFError):
        receive(pipe)


@pytest.mark.parametrize(
    "data",
    [
        raw(b""),
        raw(b"[]"),
        raw(b"\xff"),
        raw(b"[" * 200_000),
        raw(b"9" * 10_000),
        raw(b" " * (MAX_HEADER_BYTES + 1)),
        opening({}, 11),
    ],
)
def test_what_is_no_frame_or_too_large_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - that is all that a listener learns
        heard(data)


@pytest.mark.parametrize("data", [b"", b"\x00", raw(b"{}")[:-1], opening({}, 5) + b"1234"])
def test_a_frame_that_breaks_off_is_told_from_a_wrong_one(data: bytes) -> None:
    with pytest.raises(EOFError):
        heard(data)


def test_a_description_comes_back_as_it_was() -> None:
    info = ImageInfo(format="gif", width=4, height=3, frames=2, has_alpha=True, orientation=6, shrinks=(4, 2))

    assert read_info(json.loads(json.dumps(describe(info)))) == info


@pytest.mark.parametrize(
    "change",
    [{"width": 0}, {"width": -1}, {"height": 2.5}, {"frames": True}, {"format": 3}, {"has_alpha": 1}, {"more": 1}]
    + [{"shrinks": shrinks} for shrinks in (None, 2, "2", [0], [1], [2.0], [True])],
)
def test_a_description_with_anything_else_in_it_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="description"):
        read_info({"source": describe(INFO)["source"] | change})


@pytest.mark.parametrize("left_bytes", [-1, 2.5, True, None, "7"])
def test_a_need_that_cannot_be_is_refused(left_bytes: object) -> None:
    with pytest.raises(ValueError, match="need"):
        read_need({"left_bytes": left_bytes})


def test_a_need_is_told_from_what_else_may_come() -> None:
    assert read_need(json.loads(json.dumps(need(7)))) == 7
    assert read_need({"name": "thumbnail"}) is None


def test_equal_outputs_are_sent_once() -> None:
    small, large = (Variant(spec=spec, data=WEBP, width=2, height=2) for spec in SPECS)

    header, parts = pack(large, (small,))

    assert parts == ()
    assert unpack(Packet(header=header), SPECS[1], (small,)) == large


def test_variants_come_back_as_they_were() -> None:
    small = Variant(spec=SPECS[0], data=WEBP + b"1", width=2, height=2)
    large = Variant(spec=SPECS[1], data=WEBP + b"22", width=4, height=3, instead="quality 62")

    for variant, earlier in ((small, ()), (large, (small,))):
        header, parts = pack(variant, earlier)
        frame = Packet(header=json.loads(json.dumps(header)), body=b"".join(parts))
        assert unpack(frame, variant.spec, earlier) == variant


def _header(**change: Any) -> dict[str, Any]:
    return {"name": "small", "width": 2, "height": 2, "instead": None, "same": None} | change


@pytest.mark.parametrize(
    ("header", "body"),
    [
        ({}, WEBP),
        ({"variants": []}, WEBP),
        (_header(name="other"), WEBP),
        (_header(width=0), WEBP),
        (_header(height=16_384), WEBP),
        (_header(same=1), b""),
        (_header(same=-1), b""),
        (_header(same=0), WEBP),  # a file, and another one
        (_header(same="0"), b""),
        (_header(width="2"), WEBP),
        (_header(width=True), WEBP),
        (_header(other=2), WEBP),
        (_header(instead=62), WEBP),
        (_header(instead="quality 100"), WEBP),
        (_header(instead="quality 62, <script>"), WEBP),
        ({"name": "small", "width": 2, "same": None}, WEBP),
        (_header(), b""),
        (_header(), b"<script></script>"[:12]),
    ],
)
def test_anything_but_the_variant_that_was_asked_for_is_refused(header: Any, body: bytes) -> None:
    earlier = (Variant(spec=SPECS[1], data=WEBP, width=4, height=3),)
    with pytest.raises(ValueError, match=r"^not "):
        unpack(Packet(header=header, body=body), SPECS[0], earlier)
