"""A format is a record: everything that knows of it by name reads it there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from processor.errors import CorruptImage, EmptyFile, UnsupportedFormat
from processor.formats import AVIF, DECODED, FORMATS, HEIC, TIFF, in_words, sniff
from processor.formats.format import Format
from processor.images import Variant
from processor.pipeline import encode
from processor.recipes import VariantSpec
from processor.sandbox.answers import pack, unpack
from processor.sandbox.messages import Packet
from service.openapi import document
from tests import corpus
from tests.unit.processor.pipeline.compare import rendered

ROOT = Path(__file__).parents[3]
#: As they stand in code, for themselves or within a content type, an extension, a sentence.
NAMED = re.compile(r"(?<![A-Za-z])(jpe?g|png|webp|gif|avif|hei[cf]|tiff?)(?![A-Za-z0-9]| XL| 2000|-LS)", re.IGNORECASE)
#: Where else a format may be named, and why.
ALLOWED = {
    "processor/pipeline/hevc.py": "the distribution whose libraries it loads is called so",
    "processor/metadata": "a namespace of XMP is called after a format",
    "processor/pipeline/tiff.py": "a kind of its data is called after another format",
    "processor/recipes.py": "a variant is called `webp`, whatever its format: earlier clients know it by that name",
    "service/calls": "examples of the API document, and the sample picture of the local mode",
    "service/openapi": "the document's introduction tells of the standard recipe",
    "service/local": "commands that somebody copies upload a picture",
    "service/cli": "examples of the commands",
    "service/routes.py": "the path of the sample picture of the local mode",
    "service/settings/files.py": "a setting keeps the name by which deployments know it",
}


@cache
def _named(folder: str) -> tuple[tuple[str, int, str], ...]:
    return tuple(_walk(folder))


def _walk(folder: str) -> Iterator[tuple[str, int, str]]:
    for path in sorted((ROOT / folder).rglob("*.py")):
        tree = ast.parse(path.read_text())
        texts = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        for node in ast.walk(tree):
            if not isinstance(node, ast.Constant) or id(node) in texts:
                continue
            if isinstance(node.value, str) and NAMED.search(node.value):
                yield path.relative_to(ROOT).as_posix(), node.lineno, node.value


def test_what_is_empty_or_no_picture_is_refused() -> None:
    with pytest.raises(EmptyFile):
        sniff(b"")
    with pytest.raises(UnsupportedFormat) as refusal:
        sniff(b"hello")
    assert refusal.value.message == f"The file is not a {in_words('or')} image."


@pytest.mark.parametrize("format_", DECODED, ids=lambda each: each.name)
def test_a_format_that_is_read_is_in_the_corpus_and_in_the_document_and_a_cut_file_is_refused(format_: Format) -> None:
    good = [sample.make() for name, sample in corpus.SAMPLES.items() if sample.code is None and format_.name in name]
    of_it = [data for data in good if sniff(data) == format_]

    assert of_it
    for data in of_it:
        with pytest.raises(CorruptImage):
            rendered(corpus.damage.cut(data, 0.5))
    limits = document()["paths"]["/images/limits"]["get"]["responses"]["200"]["content"]["application/json"]
    assert {
        (each["extension"], each["contentType"]) for each in next(iter(limits["examples"].values()))["value"]["formats"]
    } >= {(extension, format_.content_type) for extension in format_.extensions}


@pytest.mark.parametrize("format_", [each for each in FORMATS if each.encoding], ids=lambda each: each.name)
def test_a_variant_of_a_format_that_is_written_passes_between_processes(format_: Format) -> None:
    spec = VariantSpec(name="any", format=format_.name, quality=80)
    file = encode.write(corpus.photo(40, 30), spec)
    sent = Variant(spec=spec, data=file, width=40, height=30)

    header, parts = pack(sent, ())

    assert unpack(Packet(header=header, body=b"".join(parts)), spec, ()) == sent
    with pytest.raises(ValueError, match="format"):
        unpack(Packet(header=header, body=bytes(len(file))), spec, ())


def _box(brand: bytes, *compatible: bytes) -> bytes:
    inside = b"ftyp" + brand + b"\0\0\0\0" + b"".join(compatible)
    return (4 + len(inside)).to_bytes(4, "big") + inside


@pytest.mark.parametrize(
    ("data", "known"),
    [
        (_box(b"heic", b"mif1", b"heic"), HEIC),
        (_box(b"mif1", b"mif1", b"heix"), HEIC),
        (_box(b"avif", b"mif1", b"miaf"), AVIF),
        (_box(b"mif1", b"miaf", b"avif"), AVIF),
        (_box(b"msf1", b"avis"), AVIF),
        (_box(b"isom", b"mp41"), None),
        (_box(b"isom") + b"heic", None),  # behind the box
        (_box(b"mif1", b"xheic"), None),  # a brand has four letters
        (b"\0\0\0\x18ftyp", None),
        (b"heic", None),
        (b"II*\0" + bytes(8), TIFF),
        (b"MM\0*" + bytes(8), TIFF),
        (b"II\0*" + bytes(8), None),
    ],
)
def test_a_signature_tells_brands_of_boxes_from_each_other(data: bytes, known: Format | None) -> None:
    assert [each for each in FORMATS if each.begins(data)] == ([known] if known else [])


@pytest.mark.parametrize("folder", ["processor", "service"])
def test_a_format_is_named_in_its_record_and_nowhere_else(folder: str) -> None:
    elsewhere = [
        found
        for found in _named(folder)
        if not found[0].startswith("processor/formats/")
        and not any(found[0] == place or found[0].startswith(f"{place}/") for place in ALLOWED)
    ]
    assert elsewhere == []


@pytest.mark.parametrize("place", ALLOWED)
def test_no_reason_outlives_what_it_is_for(place: str) -> None:
    assert [found for found in _named(place.split("/", maxsplit=1)[0]) if found[0].startswith(place)]
