"""How requests are read."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import MultiDict

from processor.errors import FileTooLarge, ImageNotFound, JobNotFound
from processor.jobs import JobStatus, new_processing_id
from service.calls.schemas import (
    FailedQuery,
    ListQuery,
    Question,
    RedriveRequest,
    UploadUrlQuery,
    UploadUrlRequest,
    processing_id_of,
    read_body,
    read_query,
    unique_id_of,
)
from service.calls.uppy_wire import UploadName, UppyFile, file_of_query
from service.http.problems import InvalidJson, InvalidRequest, UnsupportedContentType

UNIQUE_ID = "6f1f7a52-3a6e-4d0e-9a55-2f0c9b8c1d7e"
DIGEST = base64.b64encode(hashlib.sha256(b"x").digest()).decode()


def body(**fields: Any) -> UploadUrlRequest:
    return read_body(UploadUrlRequest, json.dumps({"filename": "a.jpg"} | fields).encode())


def query(**fields: str) -> UploadUrlQuery:
    return read_query(UploadUrlQuery, {"filename": "a.jpg"} | fields)


def complaint(error: pytest.ExceptionInfo[InvalidRequest]) -> str:
    (found,) = error.value.errors
    return found.field


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


@pytest.mark.parametrize("absent", [None, ""])
def test_null_and_empty_are_as_good_as_absent(absent: str | None) -> None:
    asked = body(contentType=absent, expiresIn=absent, size=absent, checksumSha256=absent, metadata=absent)
    assert asked == body()


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


def test_every_bad_field_is_named_at_once() -> None:
    with pytest.raises(InvalidRequest) as error:
        body(filename=None, expiresIn=1)
    assert [found.field for found in error.value.errors] == ["filename", "expiresIn"]
    assert error.value.message.startswith("filename: is required; expiresIn: should be")


@pytest.mark.parametrize(
    ("field", "value"), [("expiresIn", "x"), ("expiresIn", "59"), ("size", "1.5"), ("metadata", "{"), ("metadata", "7")]
)
def test_a_bad_parameter_is_named(field: str, value: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        query(**{field: value})
    assert complaint(error) == field


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(InvalidRequest):
        query(filename="\udcff.jpg")


def test_fields_that_nobody_knows_are_ignored_and_named() -> None:
    asked = body(userId="u", quality=80, contentLength=7)
    assert asked.to_upload(max_bytes=1) == body().to_upload(max_bytes=1)
    assert asked.ignored == ("userId", "quality", "contentLength")


@pytest.mark.parametrize(
    ("given_name", "known"),
    [("checksumSha265", "checksumSha256"), ("onces", "once"), ("Dedupe", "dedupe"), ("content_type", "contentType")],
)
def test_a_field_whose_name_is_nearly_right_is_refused_and_says_which_was_meant(given_name: str, known: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        body(**{given_name: "x"})
    assert (complaint(error), error.value.message) == (given_name, f"{given_name}: is not known here, but {known} is")


def test_what_is_given_under_its_own_name_too_was_not_misspelled() -> None:
    assert body(fileName="b.jpg").ignored == ("fileName",)


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
    ("field", "value", "limit", "actual"),
    [
        ("expiresIn", 43201, 43200, 43201),
        ("expiresIn", 59, 60, 59),
        ("size", -1, 1, -1),
        ("filename", "a" * 300, 255, 300),
        ("metadata", {"k" * 65: "v"}, 64, 65),
        ("metadata", {"k": "v" * 257}, 256, 257),
        ("metadata", {str(number): "v" for number in range(21)}, 20, 21),
        ("metadata", {f"{number:02}": "€" * 80 for number in range(20)}, 4096, 4840),
    ],
)
def test_a_refusal_over_a_number_names_the_limit_and_what_was_given(
    field: str, value: Any, limit: int, actual: int
) -> None:
    with pytest.raises(InvalidRequest) as error:
        body(**{field: value})
    assert (error.value.limit, error.value.actual) == (limit, actual)
    assert str(limit) in error.value.message
    assert str(actual) in error.value.message


def test_numbers_in_a_query_are_named_too_and_absurd_ones_are_not() -> None:
    with pytest.raises(InvalidRequest) as error:
        query(expiresIn="59")
    assert (error.value.limit, error.value.actual) == (60, 59)
    with pytest.raises(InvalidRequest) as error:
        query(expiresIn="9" * 300)
    assert error.value.actual is None


@pytest.mark.parametrize(
    ("filename", "content_type", "words"),
    [
        ("IMG_1.HEIC", None, "HEIC files cannot be converted yet"),
        ("IMG_1.heic", "application/octet-stream", "HEIC files cannot be converted yet"),
        ("a.jpg", "image/heif", "HEIC files cannot be converted yet"),
        ("a", "IMAGE/AVIF", "AVIF files cannot be converted yet"),
        ("a.tif", "", "TIFF files cannot be converted yet"),
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
    assert error.value.message.endswith("JPEG, PNG, WebP and GIF can.")


@pytest.mark.parametrize(
    ("filename", "content_type"),
    [("IMG_1.HEIC", "image/jpeg"), ("a.png", "image/jpeg"), ("scan.tif", "image/jpg"), ("blob", "image/x-new")],
)
def test_a_content_type_that_is_accepted_or_that_nobody_knows_is_believed(filename: str, content_type: str) -> None:
    body(filename=filename, contentType=content_type).to_upload(max_bytes=1)


def test_the_largest_values_are_accepted() -> None:
    metadata = {f"{number:02}": "ä" * 100 for number in range(19)} | {f"{0:064}": "x" * 130}
    assert sum(len(f"{key}{value}".encode()) for key, value in metadata.items()) == 4032
    upload = body(filename="ä" * 255, expiresIn=43200, metadata=metadata).to_upload(max_bytes=1)
    assert upload.metadata == metadata


@pytest.mark.parametrize(
    "text", [b"", b"{", b"\xff", b"[" * 60_000, b'{"filename":"\\ud800"}', b"9" * 10_000, b'{"size":NaN}']
)
def test_what_is_not_json_is_called_that(text: bytes) -> None:
    with pytest.raises(InvalidJson):
        read_body(UploadUrlRequest, text)


@pytest.mark.parametrize("text", [b"[]", b"null", b'"text"', b"7"])
def test_json_that_is_no_object_is_not_valid(text: bytes) -> None:
    with pytest.raises(InvalidRequest) as error:
        read_body(UploadUrlRequest, text)
    assert complaint(error) == "body"


@given(st.binary(max_size=200))
def test_no_body_whatever_breaks_the_reader(text: bytes) -> None:
    with contextlib.suppress(InvalidJson, InvalidRequest):
        read_body(UploadUrlRequest, text)


@given(st.dictionaries(st.sampled_from(["filename", "size", "metadata", "contentType", "expiresIn"]), st.text()))
def test_no_query_whatever_breaks_the_reader(values: dict[str, str]) -> None:
    with contextlib.suppress(InvalidRequest):
        read_query(UploadUrlQuery, values)


def test_a_list_without_parameters_is_the_newest_fifty() -> None:
    asked = read_query(ListQuery, {}).to_query("t")
    assert (asked.tenant, asked.limit, asked.status, asked.newest_first) == ("t", 50, None, True)
    assert (asked.created_from, asked.created_to, asked.after) == (None, None, None)


def test_every_parameter_of_a_list_is_handed_on() -> None:
    asked = read_query(
        ListQuery,
        {
            "status": "failed",
            "limit": "100",
            "order": "asc",
            "from": "2026-01-01",
            "to": "2026-01-02T03:04:05.678+02:00",
        },
    ).to_query("t")
    assert (asked.status, asked.limit, asked.newest_first) == (JobStatus.FAILED, 100, False)
    assert asked.created_from == datetime(2026, 1, 1, tzinfo=UTC)
    assert asked.created_to == datetime(2026, 1, 2, 1, 4, 5, 678000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("limit", "0"),
        ("limit", "101"),
        ("limit", "ten"),
        ("limit", "1e1"),
        ("limit", "10.0"),
        ("limit", " 10"),
        ("limit", "+10"),
        ("limit", "1_0"),
        ("limit", "٣"),
        ("limit", "9" * 5000),
        ("status", "Failed"),
        ("from", "2026-01-02T03:04:05"),
        ("to", "2026-01-02+02:00"),
        ("status", "done"),
        ("order", "DESC"),
        ("from", "yesterday"),
        ("to", "1767323045678"),
        ("from", "0001-01-01T00:00:00+14:00"),
    ],
)
def test_a_bad_parameter_of_a_list_is_named(field: str, value: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        read_query(ListQuery, {field: value})
    assert complaint(error) == field


@pytest.mark.parametrize("model", [ListQuery, FailedQuery])
@pytest.mark.parametrize("name", ["lastEvaluatedKey", "last_evaluated_key", "last_key", "lastkey", "LastKey"])
def test_a_cursor_under_another_name_is_not_taken_for_the_first_page(model: type[ListQuery], name: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        read_query(model, {name: "abc", "limit": "2"})
    assert (complaint(error), error.value.message) == (name, f"{name}: is not known here, but lastKey is")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        *(
            (name, "lastKey")
            for name in ("page", "offset", "cursor", "next_token", "NextToken", "start-after", "after")
        ),
        *((name, "limit") for name in ("pageSize", "per_page", "max-keys", "count")),
        *((name, "from") for name in ("since", "createdAfter", "start_date", "createdAftr")),
        *((name, "to") for name in ("until", "created_before", "endDate")),
        *((name, "order") for name in ("sort", "orderBy", "sort[]")),
        *((name, "status") for name in ("statuses", "state", "status[]")),
    ],
)
def test_a_question_in_the_words_of_other_apis_is_not_answered_as_if_it_had_not_been_asked(
    name: str, meant: str
) -> None:
    """Whoever walks by `page` would be shown the first one for ever; by `since`, far too much."""
    with pytest.raises(InvalidRequest) as error:
        read_query(ListQuery, {name: "2"})
    assert error.value.message == f"{name}: is not known here, but {meant} is"


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


@pytest.mark.parametrize("model", [UploadUrlQuery, ListQuery, FailedQuery, UppyFile, UploadName])
def test_every_query_tells_a_misspelled_name_from_one_that_nobody_knows(model: type[Question]) -> None:
    for name in model.model_json_schema()["properties"]:
        with pytest.raises(InvalidRequest) as error:
            read_query(model, {name.upper(): "1"})
        assert error.value.message == f"{name.upper()}: is not known here, but {name} is"
    assert model.misspelled(["_", "v", "text", "theme", "utm_source", "cacheBuster"]) == {}


def test_a_parameter_that_is_there_twice_is_refused_even_if_both_say_the_same() -> None:
    for second in ("failed", "pending", ""):
        with pytest.raises(InvalidRequest) as error:
            read_query(ListQuery, MultiDict([("status", "pending"), ("limit", "2"), ("status", second)]))
        assert error.value.message == "status: must not be there more than once"
    with pytest.raises(InvalidRequest) as error:
        read_query(ListQuery, MultiDict([("theme", "1"), ("theme", "2")]))
    assert complaint(error) == "theme"


def test_the_metadata_of_a_small_file_is_there_once_too() -> None:
    given = [("filename", "a.png"), ("metadata[a]", "1"), ("metadata[]", "2")]
    assert file_of_query(MultiDict(given)).metadata == {"a": "1", "": "2"}
    with pytest.raises(InvalidRequest) as error:
        file_of_query(MultiDict([*given, ("metadata[a]", "3")]))
    assert complaint(error) == "metadata[a]"
    with pytest.raises(InvalidRequest) as error:
        file_of_query(MultiDict([*given, ("fileName", "b.png")]))
    assert complaint(error) == "fileName"


def test_a_range_of_one_date_is_that_day() -> None:
    asked = read_query(ListQuery, {"from": "2026-01-02", "to": "2026-01-02"}).to_query("t")
    assert asked.created_from == datetime(2026, 1, 2, tzinfo=UTC)
    assert asked.created_to == datetime(2026, 1, 2, 23, 59, 59, 999_999, tzinfo=UTC)


@pytest.mark.parametrize(("field", "value"), [("from", "1796010100000"), ("to", "2026-01-02T03:04:05 01:00")])
def test_a_time_that_is_none_is_named_with_the_way_to_write_it(field: str, value: str) -> None:
    with pytest.raises(InvalidRequest, match=rf"^{field}: (must be a time with its zone, like 2026|.* %2B in a URL)"):
        read_query(ListQuery, {field: value})


@pytest.mark.parametrize("name", ["limit", "status", "lastKey", "from", "to", "order"])
def test_an_empty_parameter_of_a_list_is_as_good_as_none(name: str) -> None:
    assert read_query(ListQuery, {name: ""}) == read_query(ListQuery, {})


def test_a_range_must_not_end_before_it_begins() -> None:
    asked = read_query(ListQuery, {"from": "2026-01-02", "to": "2026-01-01"})
    with pytest.raises(InvalidRequest) as error:
        asked.to_query("t")
    assert complaint(error) == "from"


def test_a_list_of_failures_asks_for_failed_jobs_alone() -> None:
    asked = read_query(FailedQuery, {"code": "timed_out", "status": "completed", "limit": "7"})
    assert (asked.code, asked.to_query("t").status, asked.to_query("t").limit) == ("timed_out", JobStatus.FAILED, 7)


def test_a_redrive_is_a_small_slow_dry_run_unless_it_says_otherwise() -> None:
    order = read_body(RedriveRequest, b"{}").to_order("t")
    assert (order.tenant, order.limit, order.per_second, order.code, order.dry_run) == ("t", 20, 10, None, True)


def test_every_field_of_a_redrive_is_handed_on() -> None:
    text = b'{"code": "unavailable", "limit": 100, "perSecond": 1, "dryRun": false}'
    order = read_body(RedriveRequest, text).to_order("t")
    assert (order.limit, order.per_second, order.code, order.dry_run) == (100, 1, "unavailable", False)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("code", "No"),
        ("code", "a" * 65),
        ("code", "a\n"),
        ("limit", 0),
        ("limit", 101),
        ("perSecond", 0),
        ("perSecond", 101),
        ("dryRun", "false"),
        ("dryRun", 0),
    ],
)
def test_a_bad_field_of_a_redrive_is_named(field: str, value: Any) -> None:
    with pytest.raises(InvalidRequest) as error:
        read_body(RedriveRequest, json.dumps({field: value}).encode())
    assert complaint(error) == field


def test_an_image_id_is_read_in_either_case() -> None:
    assert unique_id_of(UNIQUE_ID) == UNIQUE_ID
    assert unique_id_of(UNIQUE_ID.upper()) == UNIQUE_ID


@pytest.mark.parametrize("text", ["", "x", UNIQUE_ID[:-1], UNIQUE_ID + "\n", f"{{{UNIQUE_ID}}}", "../" + UNIQUE_ID])
def test_what_never_was_an_image_id_is_not_found(text: str) -> None:
    with pytest.raises(ImageNotFound):
        unique_id_of(text)


def test_a_new_job_id_is_read() -> None:
    fresh = new_processing_id(datetime.now(UTC))
    assert processing_id_of(fresh) == fresh


@pytest.mark.parametrize("text", ["", "img", "img_1_", "img__a", "img_1_a b", "IMG_1_a", "img_1_a\n", "image#1"])
def test_what_never_was_a_job_id_is_not_found(text: str) -> None:
    with pytest.raises(JobNotFound):
        processing_id_of(text)
