"""Items as they lie in tables, of this release and of those before: read, and written as they lie."""

from __future__ import annotations

from dataclasses import dataclass, is_dataclass, replace
from datetime import UTC, datetime, timedelta
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.facts import Facts
from processor.images import StoredVariant
from processor.jobs import Failure, Image, Job, JobStatus, Lease, Manifest, Source, Terms, Timings
from processor.ports.keys import ApiKey
from processor.recipes import STANDARD, Recipe, standard
from processor.stores import keys
from processor.stores.codec import RECORDS
from processor.stores.records import (
    Item,
    from_wire,
    image_from_item,
    image_item,
    job_from_item,
    job_item,
    outcome_values,
    to_wire,
)

IMAGE_ID = "6f1f7a52-3a6e-4d0e-9a55-2f0c9b8c1d7e"
JOB_ID = "img_1767323045678_9f86d081884c7d65"
KEY = f"uploads/{IMAGE_ID}.jpg"
VARIANT_KEY = f"processed/{IMAGE_ID}/{JOB_ID}/thumbnail.webp"
NOW, NOW_TEXT = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC), "2026-01-02T03:04:05.678Z"
EXPIRY = 1767931445
PLACE = "2026-01-01T00:00:00.000Z#img_0_a"

PENDING = Job(
    processing_id=JOB_ID,
    unique_id=IMAGE_ID,
    tenant="acme",
    original_key=KEY,
    filename="Grüße.jpg",
    status=JobStatus.PENDING,
    created_at=NOW,
    updated_at=NOW,
    expires_at=EXPIRY,
    metadata={"album": "1"},
    terms=Terms(content_type="image/jpeg", size=5, checksum_sha256="aGk=", once=True, multipart="m-1"),
    uncounted=True,
)
PENDING_ITEM = {
    "processingId": {"S": JOB_ID},
    "listKey": {"S": "acme#2"},
    "statusKey": {"S": "acme#2#pending"},
    "sortKey": {"S": f"{NOW_TEXT}#{JOB_ID}"},
    "claimKey": {"S": "acme#2#processing"},
    "uniqueId": {"S": IMAGE_ID},
    "tenant": {"S": "acme"},
    "originalKey": {"S": KEY},
    "filename": {"S": "Grüße.jpg"},
    "metadata": {"M": {"album": {"S": "1"}}},
    "status": {"S": "pending"},
    "timestamp": {"S": NOW_TEXT},
    "updatedAt": {"S": NOW_TEXT},
    "ttl": {"N": "1767931445"},
    "attempts": {"N": "0"},
    "terms": {
        "M": {
            "content_type": {"S": "image/jpeg"},
            "size": {"N": "5"},
            "checksum_sha256": {"S": "aGk="},
            "once": {"BOOL": True},
            "multipart": {"S": "m-1"},
        }
    },
    "uncounted": {"BOOL": True},
}

PROCESSING = replace(
    PENDING,
    status=JobStatus.PROCESSING,
    source=Source(etag="e1", size=5, event_time="2026-01-02T03:04:04.000Z"),
    terms=Terms(content_type="image/jpeg"),
    lease=Lease(token="t0", owner="pod-1/7", expires_at=1767323105.25),
    attempts=2,
    place=PLACE,
    previous_job="img_0_a",
    uncounted=False,
    uncounted_bytes=7,
)
#: Of every job that has a source; the release before reads `sequencer`.
_WITH_SOURCE: dict[str, Any] = {
    **{name: PENDING_ITEM[name] for name in PENDING_ITEM if name not in ("terms", "uncounted")},
    "sortKey": {"S": PLACE},
    "attempts": {"N": "2"},
    "source": {
        "M": {
            "etag": {"S": "e1"},
            "size": {"N": "5"},
            "sequencer": {"S": ""},
            "eventTime": {"S": "2026-01-02T03:04:04.000Z"},
        }
    },
    "place": {"S": PLACE},
    "previousJob": {"S": "img_0_a"},
    "terms": {"M": {"content_type": {"S": "image/jpeg"}, "once": {"BOOL": False}}},
}
PROCESSING_ITEM = {
    **_WITH_SOURCE,
    "statusKey": {"S": "acme#2#processing"},
    "status": {"S": "processing"},
    "lease": {"M": {"token": {"S": "t0"}, "owner": {"S": "pod-1/7"}, "expiresAt": {"N": "1767323105.25"}}},
    "uncountedBytes": {"N": "7"},
}

COMPLETED = replace(
    PROCESSING,
    status=JobStatus.COMPLETED,
    lease=None,
    uncounted_bytes=0,
    variants=(
        StoredVariant(
            name="thumbnail",
            key=VARIANT_KEY,
            width=300,
            height=200,
            size=4567,
            content_type="image/webp",
            quality=80,
            sha256="0" * 64,
            stored_at=NOW,
        ),
    ),
    manifest=Manifest(
        etag="e1",
        sha256="1" * 64,
        size=5,
        format="jpeg",
        width=640,
        height=480,
        frames=1,
        encoder="libvips 8.18",
        effort=2,
        service="0.1.0",
    ),
    timings=Timings(download=1, process=20, upload=3, total=24),
)
OUTCOME_OF_COMPLETED = {
    "processedImages": {
        "L": [
            {
                "M": {
                    "name": {"S": "thumbnail"},
                    "key": {"S": VARIANT_KEY},
                    "width": {"N": "300"},
                    "height": {"N": "200"},
                    "size": {"N": "4567"},
                    "contentType": {"S": "image/webp"},
                    "quality": {"N": "80"},
                    "sha256": {"S": "0" * 64},
                    "storedAt": {"S": NOW_TEXT},
                }
            }
        ]
    },
    "manifest": {
        "M": {
            "etag": {"S": "e1"},
            "sha256": {"S": "1" * 64},
            "size": {"N": "5"},
            "format": {"S": "jpeg"},
            "width": {"N": "640"},
            "height": {"N": "480"},
            "frames": {"N": "1"},
            "encoder": {"S": "libvips 8.18"},
            "effort": {"N": "2"},
            "service": {"S": "0.1.0"},
        }
    },
    "timings": {"M": {"download": {"N": "1"}, "process": {"N": "20"}, "upload": {"N": "3"}, "total": {"N": "24"}}},
}
COMPLETED_ITEM = {
    **_WITH_SOURCE,
    "statusKey": {"S": "acme#2#completed"},
    "status": {"S": "completed"},
    **OUTCOME_OF_COMPLETED,
}

FAILED = replace(
    PROCESSING,
    status=JobStatus.FAILED,
    lease=None,
    uncounted_bytes=0,
    error=Failure(code="too_many_frames", message="The animation has 600 frames.", limit=500, actual=600),
    superseded_by="img_9_b",
)
FAILED_ITEM = {
    **_WITH_SOURCE,
    "statusKey": {"S": "acme#2#failed"},
    "status": {"S": "failed"},
    "error": {
        "M": {
            "code": {"S": "too_many_frames"},
            "message": {"S": "The animation has 600 frames."},
            "limit": {"N": "500"},
            "actual": {"N": "600"},
        }
    },
    "supersededBy": {"S": "img_9_b"},
}

LIVING = Image(
    unique_id=IMAGE_ID,
    tenant="acme",
    key=KEY,
    filename="Grüße.jpg",
    current_job=JOB_ID,
    created_at=NOW,
    job_ids=("img_0_a", JOB_ID),
    metadata={"album": "1"},
)
LIVING_ITEM = {
    "processingId": {"S": f"upload_{IMAGE_ID}"},
    "uniqueId": {"S": IMAGE_ID},
    "tenant": {"S": "acme"},
    "key": {"S": KEY},
    "filename": {"S": "Grüße.jpg"},
    "metadata": {"M": {"album": {"S": "1"}}},
    "currentJob": {"S": JOB_ID},
    "jobIds": {"L": [{"S": "img_0_a"}, {"S": JOB_ID}]},
    "sequencer": {"S": ""},
    "createdAt": {"S": NOW_TEXT},
}
ERASED = replace(LIVING, expires_at=EXPIRY, deleted_at=NOW, erased_at=NOW + timedelta(seconds=1))
ERASED_ITEM = {
    **LIVING_ITEM,
    "ttl": {"N": "1767931445"},
    "deletedAt": {"S": NOW_TEXT},
    "erasedAt": {"S": "2026-01-02T03:04:06.678Z"},
}

API_KEY = ApiKey(
    key_id="abcdefghij234567",
    tenant="acme",
    name="CI",
    scopes=("images:read", "images:write"),
    digest="2" * 64,
    created_at=NOW,
    expires_at=NOW + timedelta(days=1),
    lifetime=timedelta(days=1),
)
API_KEY_ITEM = {
    "processingId": {"S": "key_abcdefghij234567"},
    "listKey": {"S": "acme#keys"},
    "sortKey": {"S": f"{NOW_TEXT}#abcdefghij234567"},
    "keyId": {"S": "abcdefghij234567"},
    "tenant": {"S": "acme"},
    "name": {"S": "CI"},
    "scopes": {"L": [{"S": "images:read"}, {"S": "images:write"}]},
    "digest": {"S": "2" * 64},
    "createdAt": {"S": NOW_TEXT},
    "lifetimeSeconds": {"N": "86400"},
    "expiresAt": {"S": "2026-01-03T03:04:05.678Z"},
    "ttl": {"N": "1770001445"},
}

RECIPE_TEXT = (
    "standard@8#29ede19e6523644f:"
    '[["thumbnail","webp",81,2,300,300],["medium","webp",85,2,800,600],'
    '["large","webp",90,1,1920,1080],["webp","webp",84,2],"colour","colours","placeholder","blurhash","likeness","metadata","position"]'
)

JOBS = [
    pytest.param(PENDING, PENDING_ITEM, id="pending"),
    pytest.param(PROCESSING, PROCESSING_ITEM, id="processing"),
    pytest.param(COMPLETED, COMPLETED_ITEM, id="completed"),
    pytest.param(FAILED, FAILED_ITEM, id="failed"),
]
IMAGES = [pytest.param(LIVING, LIVING_ITEM, id="living"), pytest.param(ERASED, ERASED_ITEM, id="erased")]


@pytest.mark.parametrize(("job", "item"), JOBS)
def test_a_job_is_written_as_jobs_lie_in_tables_and_read_again(job: Job, item: dict[str, Any]) -> None:
    assert to_wire(job_item(job)) == item
    assert job_from_item(from_wire(item)) == job


@pytest.mark.parametrize(("image", "item"), IMAGES)
def test_an_image_is_written_as_images_lie_in_tables_and_read_again(image: Image, item: dict[str, Any]) -> None:
    assert to_wire(image_item(image)) == item
    assert image_from_item(from_wire(item)) == image


def test_an_api_key_is_written_as_keys_lie_in_tables_and_read_again() -> None:
    assert to_wire(keys._item(API_KEY)) == API_KEY_ITEM
    assert keys._from_item(from_wire(API_KEY_ITEM)) == API_KEY
    endless = replace(API_KEY, expires_at=None, lifetime=None)
    lean = {name: value for name, value in API_KEY_ITEM.items() if name not in ("ttl", "expiresAt", "lifetimeSeconds")}
    assert to_wire(keys._item(endless)) == lean
    used = {**lean, "revokedAt": {"S": NOW_TEXT}, "lastUsedAt": {"S": NOW_TEXT}}
    assert keys._from_item(from_wire(used)) == replace(endless, revoked_at=NOW, last_used_at=NOW)


def test_an_outcome_is_what_its_run_brought_and_nothing_else() -> None:
    assert to_wire(outcome_values(COMPLETED)) == OUTCOME_OF_COMPLETED
    assert to_wire(outcome_values(FAILED)) == {"error": FAILED_ITEM["error"]}


def test_a_job_of_an_earlier_release_is_read_with_what_it_could_not_know_as_by_default() -> None:
    later = ("terms", "place", "previousJob", "supersededBy", "uncounted", "uncountedBytes")
    lean = {name: value for name, value in COMPLETED_ITEM.items() if name not in later}
    lean["source"] = {"M": {**lean["source"]["M"], "sequencer": {"S": "0066"}}}
    assert job_from_item(from_wire(lean)) == replace(COMPLETED, terms=None, place=None, previous_job=None)


def test_a_failure_of_an_earlier_release_has_no_numbers() -> None:
    lean = {**FAILED_ITEM, "error": {"M": {"code": {"S": "corrupt_image"}, "message": {"S": "Damaged."}}}}
    assert job_from_item(from_wire(lean)).error == Failure(code="corrupt_image", message="Damaged.")


def test_a_recipe_is_the_line_that_it_writes_of_itself() -> None:
    cooked = replace(PENDING, recipe=STANDARD, maker="libvips 8.18, 0.1.0")
    item = {**PENDING_ITEM, "recipe": {"S": RECIPE_TEXT}, "maker": {"S": "libvips 8.18, 0.1.0"}}
    assert to_wire(job_item(cooked)) == item
    assert job_from_item(from_wire(item)) == cooked


def test_facts_lie_with_what_the_run_brought_and_records_of_before_have_none() -> None:
    coloured = replace(COMPLETED, facts=Facts({"colour": "#aabbcc"}))
    told = {"facts": {"S": '{"colour":"#aabbcc"}'}}
    assert to_wire(job_item(coloured)) == COMPLETED_ITEM | told
    assert to_wire(outcome_values(coloured)) == OUTCOME_OF_COMPLETED | told
    assert job_from_item(from_wire(COMPLETED_ITEM | told)) == coloured
    assert job_from_item(from_wire(COMPLETED_ITEM)).facts == Facts()


def test_what_the_store_alone_keeps_in_an_item_is_passed_over() -> None:
    ended = {**COMPLETED_ITEM, "endedBy": {"S": "t0"}, "digestKey": {"S": "acme#" + "1" * 64}}
    assert job_from_item(from_wire(ended)) == COMPLETED


def test_numbers_are_read_as_what_they_are() -> None:
    job = job_from_item(from_wire({**PROCESSING_ITEM, **FAILED_ITEM}))
    assert job.source
    assert job.lease
    assert job.error
    assert {type(number) for number in (job.expires_at, job.attempts, job.source.size, job.error.limit)} == {int}
    assert type(job.lease.expires_at) is float


@dataclass(frozen=True, slots=True, kw_only=True)
class LaterVariant(StoredVariant):
    """What a release to come may know of a variant."""

    later: str | None = None


def test_two_releases_of_which_one_knows_a_field_more_read_what_the_other_wrote() -> None:
    [before] = COMPLETED.variants
    wire = to_wire({"variant": RECORDS.encode(before)})
    later = RECORDS.decode(from_wire(wire)["variant"], LaterVariant)
    assert later.later is None
    assert RECORDS.encode(later) == RECORDS.encode(before)
    coloured = RECORDS.encode(replace(later, later="#aabbcc"))
    assert coloured == {**RECORDS.encode(before), "later": "#aabbcc"}
    assert RECORDS.decode(coloured, StoredVariant) == before


#: Whatever JSON can say, numbers of every kind among it.
any_fact = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)
#: Every plain type, as far as records hold it: times to the millisecond, seconds since 1970.
PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(max_size=12),
    int: st.integers(min_value=0, max_value=10**12),
    float: st.integers(min_value=0, max_value=10**13).map(lambda milliseconds: milliseconds / 1000),
    Recipe: st.sampled_from((STANDARD, standard(6))),
    Facts: st.dictionaries(st.text(max_size=8), any_fact, max_size=3).map(Facts),
    datetime: st.integers(min_value=0, max_value=10**11).map(lambda ms: NOW + timedelta(milliseconds=ms)),
}


def any_value(kind: Any) -> st.SearchStrategy[Any]:
    """Any value of a class of the core, however many fields it gets."""
    if kind in PLAIN:
        return PLAIN[kind]
    if isinstance(kind, type) and is_dataclass(kind):
        return st.builds(kind, **{name: any_value(hint) for name, hint in get_type_hints(kind).items()})
    if get_origin(kind) is tuple:
        return st.lists(any_value(get_args(kind)[0]), max_size=2).map(tuple)
    if get_origin(kind) is UnionType:
        return st.one_of([any_value(each) for each in get_args(kind)])
    return st.from_type(kind)


@given(any_value(Job))
def test_any_job_comes_back_from_the_table_as_it_was(job: Job) -> None:
    assert job_from_item(_through_the_table(job_item(job))) == job


@given(any_value(Image))
def test_any_image_comes_back_from_the_table_as_it_was(image: Image) -> None:
    assert image_from_item(_through_the_table(image_item(image))) == image


def _through_the_table(item: Item) -> Item:
    return from_wire(to_wire(item))
