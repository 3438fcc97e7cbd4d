"""How an upload is asked for."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from processor.errors import FileTooLarge
from service.calls.uploads import UploadUrlRequest
from service.http.problems import InvalidRequest, UnsupportedContentType
from service.http.wire import read_body
from tests.unit.service.asking import DIGEST, body, complaint, query


def test_an_upload_needs_nothing_but_a_filename() -> None:
    upload = body().to_upload(max_bytes=100)
    assert (upload.filename, upload.extension, upload.terms.content_type) == ("a.jpg", "jpg", "image/jpeg")
    assert (upload.expires_in_seconds, upload.terms.size, upload.terms.checksum_sha256, upload.metadata) == (
        3600,
        None,
        None,
        {},
    )


def test_every_field_of_an_upload_is_handed_on() -> None:
    upload = body(
        filename="b.dat", contentType="image/png", expiresIn=60, size=7, checksumSha256=DIGEST, metadata={"k": "v"}
    ).to_upload(max_bytes=100)
    assert (upload.extension, upload.terms.content_type, upload.expires_in_seconds) == ("dat", "image/png", 60)
    assert (upload.terms.size, upload.terms.checksum_sha256, upload.metadata) == (7, DIGEST, {"k": "v"})


def test_a_query_says_the_same_as_a_body() -> None:
    asked = query(expiresIn="60", size="7", checksumSha256=DIGEST, metadata='{"k": "v"}')
    told = body(expiresIn=60, size=7, checksumSha256=DIGEST, metadata={"k": "v"})
    assert asked.to_upload(max_bytes=100) == told.to_upload(max_bytes=100)


@pytest.mark.parametrize(
    ("filename", "content_type", "extension"),
    [
        ("photo.JPG", None, "jpg"),
        ("photo.edited.dat", None, "dat"),
        ("photo", "image/jpeg", "jpg"),
        ("photo", "image/PNG", "png"),
        ("photo.verylongext", "image/webp", "webp"),
        ("photo.j/g", "image/gif", "gif"),
        ("photo", "image/x-some+kind", "bin"),
        ("photo", None, "bin"),
        (".png", None, "png"),
    ],
)
def test_the_extension_comes_from_the_filename_then_from_the_type(
    filename: str, content_type: str | None, extension: str
) -> None:
    assert body(filename=filename, contentType=content_type).to_upload(max_bytes=1).extension == extension


@pytest.mark.parametrize(
    ("filename", "content_type"),
    [
        ("a.jpg", "image/jpeg"),
        ("a.jpeg", "image/jpeg"),
        ("a.PNG", "image/png"),
        ("a.webp", "image/webp"),
        ("a.gif", "image/gif"),
        ("a.dat", "application/octet-stream"),
        ("a", "application/octet-stream"),
    ],
)
def test_a_missing_content_type_follows_from_the_extension(filename: str, content_type: str) -> None:
    assert body(filename=filename).to_upload(max_bytes=1).terms.content_type == content_type


@pytest.mark.parametrize(
    "given_type", ["image/jpeg", "IMAGE/JPEG", "image/jpg", "image/x-q", "application/octet-stream"]
)
def test_an_accepted_content_type_is_kept_letter_by_letter(given_type: str) -> None:
    assert body(contentType=given_type).to_upload(max_bytes=1).terms.content_type == given_type


@pytest.mark.parametrize(
    "given_type",
    ["text/html", "image/", "image/a b", "image/png;q=1", "image/png\n", "video/mp4", "image", " image/png"],
)
def test_any_other_content_type_is_unsupported(given_type: str) -> None:
    with pytest.raises(UnsupportedContentType):
        body(contentType=given_type).to_upload(max_bytes=1)


def test_a_size_above_the_limit_is_too_large_and_the_limit_is_not() -> None:
    assert body(size=100).to_upload(max_bytes=100).terms.size == 100
    with pytest.raises(FileTooLarge):
        body(size=101).to_upload(max_bytes=100)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("filename", 7),
        ("filename", ""),
        ("filename", None),
        ("filename", "a" * 256),
        ("filename", "a\x00.jpg"),
        ("filename", "a\n.jpg"),
        ("filename", "a\x85.jpg"),
        ("contentType", 7),
        ("expiresIn", 59),
        ("expiresIn", 43201),
        ("expiresIn", "60"),
        ("expiresIn", True),
        ("expiresIn", 60.5),
        ("size", 0),
        ("size", -1),
        ("size", "7"),
        ("checksumSha256", "x"),
        ("checksumSha256", base64.b64encode(b"short").decode()),
        ("checksumSha256", DIGEST[:-1]),
        ("checksumSha256", DIGEST[:-2] + "B="),
        ("metadata", []),
        ("metadata", '{"a": "b"}'),
        ("metadata", {"": "v"}),
        ("metadata", {"k" * 65: "v"}),
        ("metadata", {"ä": "v"}),
        ("metadata", {"k": "v" * 257}),
        ("metadata", {"k": "bell\x07"}),
        ("metadata", {"k": "ä" * 256} | {f"k{number}": "漢" * 256 for number in range(6)}),
        ("metadata", {f"k{number}": "v" for number in range(21)}),
    ],
)
def test_a_bad_field_of_a_body_is_named(field: str, value: Any) -> None:
    with pytest.raises(InvalidRequest) as error:
        body(**{field: value})
    assert complaint(error) == field


def test_a_metadata_value_of_the_wrong_type_is_named() -> None:
    with pytest.raises(InvalidRequest) as error:
        body(metadata={"k": 1})
    assert complaint(error) == "metadata.k"


@pytest.mark.parametrize(
    ("field", "value"), [("expiresIn", "x"), ("expiresIn", "59"), ("size", "1.5"), ("metadata", "{"), ("metadata", "7")]
)
def test_a_bad_parameter_is_named(field: str, value: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        query(**{field: value})
    assert complaint(error) == field


PEOPLE_WRITE = {
    "macOS screenshot name": "Screenshot 2026-11-26 at 3.45.12\u202fPM.png",
    "French price": "1\u202f234,50\u00a0€",
    "Japanese name with a full-width space": "山田\u3000太郎",
    "family emoji": "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "Persian word with a joiner": "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
    "Hebrew with its direction": "\u200f\u05e9\u05dc\u05d5\u05dd",
    "flag of Wales": "\U0001f3f4\U000e0067\U000e0062\U000e0077\U000e006c\U000e0073\U000e007f",
    "text of two lines": "first\r\nsecond\tcolumn\n",
}


@pytest.mark.parametrize("text", PEOPLE_WRITE.values(), ids=PEOPLE_WRITE)
def test_metadata_holds_what_people_write(text: str) -> None:
    assert body(metadata={"caption": text}).metadata == {"caption": text}
    assert query(metadata=json.dumps({"caption": text})).metadata == {"caption": text}


@pytest.mark.parametrize(
    ("filename", "content_type", "words"),
    [
        ("IMG_1.JXL", None, "JPEG XL files cannot be converted;"),
        ("IMG_1.jxl", "application/octet-stream", "JPEG XL files cannot be converted;"),
        ("a.jpg", "image/jxl", "JPEG XL files cannot be converted;"),
        ("a", "IMAGE/BMP", "BMP files cannot be converted;"),
        ("a.jp2", "", "JPEG 2000 files cannot be converted;"),
        ("logo.svg", "image/svg+xml", "SVG files cannot be converted;"),
        ("paper.pdf", None, "PDF files cannot be converted;"),
        ("clip.mov", None, "Video files cannot be converted;"),
        ("layers.psd", "image/vnd.adobe.photoshop", "Photoshop files cannot be converted;"),
        ("DSC_1.NEF", "image/x-unheard-of", "Camera raw files cannot be converted;"),
    ],
)
def test_what_can_never_be_converted_is_refused_before_it_is_uploaded(
    filename: str, content_type: str | None, words: str
) -> None:
    with pytest.raises(UnsupportedContentType) as error:
        body(filename=filename, contentType=content_type).to_upload(max_bytes=1)
    assert error.value.message.startswith(words)
    assert error.value.message.endswith("JPEG, PNG, WebP, GIF, AVIF, HEIC and TIFF can.")


@pytest.mark.parametrize(
    ("filename", "content_type"),
    [
        ("IMG_1.HEIC", "image/jpeg"),
        ("a.png", "image/jpeg"),
        ("scan.bmp", "image/jpg"),
        ("blob", "image/x-new"),
        ("IMG_1.HEIC", None),
        ("IMG_1.heic", "application/octet-stream"),
        ("a", "IMAGE/AVIF"),
        ("a.tif", ""),
    ],
)
def test_a_content_type_that_is_accepted_or_that_nobody_knows_is_believed(
    filename: str, content_type: str | None
) -> None:
    body(filename=filename, contentType=content_type).to_upload(max_bytes=1)


def test_the_largest_values_are_accepted() -> None:
    metadata = {f"{number:02}": "ä" * 100 for number in range(19)} | {f"{0:064}": "x" * 130}
    assert sum(len(f"{key}{value}".encode()) for key, value in metadata.items()) == 4032
    upload = body(filename="ä" * 255, expiresIn=43200, metadata=metadata).to_upload(max_bytes=1)
    assert upload.metadata == metadata


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (b'{"filename": "a.jpg", "filename": "a.jpg"}', ["filename"]),
        (b'{"filename": "a.jpg", "f\\u0069lename": "b.jpg"}', ["filename"]),
        (b'{"filename": "a.jpg", "metadata": {"a": "1", "a": "2"}, "size": 1, "size": 2}', ["a", "size"]),
        (b'{"filename": "a.jpg", "other": [{"x": 1, "x": 1}]}', ["x"]),
    ],
)
def test_a_field_that_is_there_twice_is_refused(text: bytes, names: list[str]) -> None:
    """One of them would be dropped without a word, and perhaps the other was meant."""
    with pytest.raises(InvalidRequest) as error:
        read_body(UploadUrlRequest, text)
    assert [(each.field, each.message) for each in error.value.errors] == [
        (name, "must not be there more than once") for name in names
    ]


def test_a_key_of_metadata_in_a_query_is_there_once() -> None:
    assert query(metadata='{"a": "1", "b": "1"}').metadata == {"a": "1", "b": "1"}
    with pytest.raises(InvalidRequest, match="must not have a key more than once"):
        query(metadata='{"a": "1", "a": "1"}')


def test_a_body_may_begin_with_a_byte_order_mark_and_hold_numbers_of_any_length() -> None:
    assert read_body(UploadUrlRequest, b'\xef\xbb\xbf{"filename": "a.jpg"}').filename == "a.jpg"
    asked = read_body(UploadUrlRequest, b'{"filename": "a.jpg", "other": ' + b"9" * 4000 + b"}")
    assert asked.ignored == ("other",)
