"""The names of images and jobs in paths."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from pydantic_core import PydanticSerializationError

from processor.errors import ImageNotFound, JobNotFound
from processor.jobs import new_processing_id
from service.calls.names import PublicUrl, processing_id_of, unique_id_of
from service.http.wire import Answer, as_json, as_plain

UNIQUE_ID = "6f1f7a52-3a6e-4d0e-9a55-2f0c9b8c1d7e"


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


class Shown(Answer):
    location: PublicUrl
    others: dict[str, PublicUrl]


def test_a_public_url_is_a_key_until_the_answer_is_written() -> None:
    shown = Shown(location="processed/a.webp", others={"b": "processed/b.webp"})
    assert as_plain(shown, "https://images.example.com") == {
        "location": "https://images.example.com/processed/a.webp",
        "others": {"b": "https://images.example.com/processed/b.webp"},
    }
    assert json.loads(as_json(shown, "https://cdn.example")) == as_plain(shown, "https://cdn.example")


def test_nobody_writes_public_urls_without_knowing_where_they_begin() -> None:
    with pytest.raises(PydanticSerializationError, match="as_json"):
        Shown(location="processed/a.webp", others={}).model_dump_json()
