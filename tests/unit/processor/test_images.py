"""Keys: which belong to this service, and where variants lie."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.formats.info import ImageInfo
from processor.images import image_prefix, job_prefix, source_key, unique_id_of, variant_key

ID = "0c7c40e5-8f6c-4b6e-9f4e-0a4c5c9d8b11"


@given(st.uuids(), st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True))
def test_a_source_key_leads_back_to_its_image(unique_id: object, extension: str) -> None:
    assert unique_id_of(source_key(str(unique_id), extension)) == str(unique_id)


@pytest.mark.parametrize(
    "key",
    [
        "",
        f"uploads/{ID}",
        f"uploads/{ID.upper()}.jpg",
        f"uploads/{ID}.jpg.exe",
        f"uploads/x/{ID}.jpg",
        f"/uploads/{ID}.jpg",
        f"uploads/{ID}.jpg\n",
        f"uploads/../{ID}.jpg",
        f"processed/{ID}/x/thumbnail.webp",
    ],
)
def test_a_key_that_was_never_issued_belongs_to_no_image(key: str) -> None:
    assert unique_id_of(key) is None


def test_a_variants_key_carries_its_image_and_its_job() -> None:
    key = variant_key(ID, "img_1_a", "thumbnail.webp")
    assert key == f"processed/{ID}/img_1_a/thumbnail.webp"
    assert key.startswith(job_prefix(ID, "img_1_a"))
    assert job_prefix(ID, "img_1_a").startswith(image_prefix(ID))


def test_the_pixels_of_an_animation_are_those_of_all_its_frames() -> None:
    assert ImageInfo(format="gif", width=10, height=20, frames=30).pixels == 6000
