"""How the calls about failed images are asked."""

from __future__ import annotations

import json
from typing import Any

import pytest

from processor.jobs import JobStatus
from service.calls.failed import FailedQuery, RedriveRequest
from service.http.problems import InvalidRequest
from service.http.wire import read_body, read_query
from tests.unit.service.asking import complaint


def test_a_list_of_failures_asks_for_failed_jobs_alone() -> None:
    asked = read_query(FailedQuery, {"code": "timed_out", "status": "completed", "limit": "7"})
    assert (asked.code, asked.to_query("t").status, asked.to_query("t").limit) == ("timed_out", JobStatus.FAILED, 7)


def test_a_redrive_is_a_small_slow_dry_run_unless_it_says_otherwise() -> None:
    plan = read_body(RedriveRequest, b"{}").to_plan("t")
    assert (plan.tenant, plan.limit, plan.per_second, plan.code, plan.dry_run) == ("t", 20, 10, None, True)


def test_every_field_of_a_redrive_is_handed_on() -> None:
    text = b'{"code": "unavailable", "limit": 100, "perSecond": 1, "dryRun": false}'
    plan = read_body(RedriveRequest, text).to_plan("t")
    assert (plan.limit, plan.per_second, plan.code, plan.dry_run) == (100, 1, "unavailable", False)


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
