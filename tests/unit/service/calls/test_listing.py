"""How a list is asked for."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from processor.jobs import JobStatus
from service.calls.failed import FailedQuery
from service.calls.listing import ListQuery
from service.http.problems import InvalidRequest
from service.http.wire import read_query
from tests.unit.service.asking import complaint


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
