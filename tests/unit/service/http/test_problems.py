"""What a client is told when something went wrong."""

from __future__ import annotations

import json

import pytest
from aiohttp import web

from processor.errors import (
    ImageNotFound,
    NotUploaded,
    RecordChanged,
    Throttled,
    TrussError,
    Unavailable,
    default_message,
    leaves,
)
from service.http.problems import FieldError, InvalidRequest, known_failures, known_problems, problem_of

LEAVES = leaves()


@pytest.mark.parametrize("kind", LEAVES, ids=lambda kind: kind.__name__)
def test_every_error_has_a_problem_of_its_own(kind: type[TrussError]) -> None:
    problem = problem_of(kind())
    assert 400 <= problem.status < 600
    assert problem.status != 500
    assert problem.code == kind.code
    assert problem.detail == default_message(kind)


def test_every_code_belongs_to_one_error() -> None:
    codes = [kind.code for kind in LEAVES]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize(
    ("error", "status"), [(ImageNotFound(), 404), (NotUploaded(), 409), (RecordChanged(), 409), (Unavailable(), 503)]
)
def test_the_branch_of_the_tree_decides_the_status(error: TrussError, status: int) -> None:
    assert problem_of(error).status == status


@pytest.mark.parametrize("error", [Unavailable(), Throttled()])
def test_what_may_succeed_later_says_when_to_try_again(error: TrussError) -> None:
    assert int(problem_of(error).headers["Retry-After"]) > 0


def test_a_failure_of_ours_speaks_in_its_own_words() -> None:
    problem = problem_of(Unavailable("An error occurred (AccessDenied) when calling the GetItem operation"))
    assert problem.detail == "The service is temporarily unavailable; try again."


@pytest.mark.parametrize("error", [RuntimeError("secret"), KeyError("secret"), TrussError("secret")])
def test_what_nobody_foresaw_says_nothing(error: Exception) -> None:
    problem = problem_of(error)
    assert (problem.status, problem.code, problem.detail) == (500, "internal_error", "Something went wrong.")


def test_a_refusal_by_status_keeps_the_allowed_methods() -> None:
    problem = problem_of(web.HTTPMethodNotAllowed("PUT", ["GET", "HEAD"]))
    assert (problem.status, problem.code, problem.headers["Allow"]) == (405, "method_not_allowed", "GET, HEAD, OPTIONS")


def test_a_status_without_words_of_ours_takes_those_of_http() -> None:
    problem = problem_of(web.HTTPExpectationFailed(text="internals"))
    assert (problem.status, problem.code, problem.detail) == (417, "expectation_failed", "Expectation Failed.")


def test_a_problem_on_the_wire_has_every_field() -> None:
    response = problem_of(ImageNotFound()).to_response("r1")
    assert response.content_type == "application/problem+json"
    assert isinstance(response.body, bytes)
    assert json.loads(response.body) == {
        "type": "/images/docs#problem-image_not_found",
        "title": "Image not found",
        "status": 404,
        "detail": "There is no image with this id.",
        "code": "image_not_found",
        "requestId": "r1",
        "error": "There is no image with this id.",
    }


def test_a_request_with_many_bad_fields_gets_a_bounded_answer() -> None:
    error = InvalidRequest([FieldError(field=str(number), message="is bad") for number in range(1000)])
    assert len(problem_of(error).errors) == 20


def test_the_documentation_knows_every_code() -> None:
    answered, failed = {problem.code for problem in known_problems()}, {code for code, _ in known_failures()}
    assert answered & failed == {"file_too_large", "daily_limit_reached", "image_limit_reached", "unavailable"}
    codes = answered | failed | {"not_an_event", "lease_lost", "object_changed"}  # the last: the worker's own affairs
    assert {kind.code for kind in LEAVES} | {"not_found", "unavailable", "internal_error"} <= codes
