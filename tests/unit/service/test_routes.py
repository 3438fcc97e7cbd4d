"""Every route, and what is told of it at its handler."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from aiohttp import web
from pydantic import BaseModel

from processor.errors import ImageNotFound, TrussError
from service.calls.groups import IMAGES
from service.http.call import Call, Undocumented, call, call_of, reply, unlisted
from service.http.problems import known_problems, problem_of
from service.routes import LOCAL_ROUTES, MAKERS, PUBLIC, ROUTES, Route

ROOT = Path(__file__).parents[3]
LISTED = [(route, told) for route in ROUTES if (told := call_of(route.handler)) is not None]


def of_each(values: list[tuple[Route, Call]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("route", "told"), values, ids=[told.operation_id for _, told in values])


@cache
def raised() -> frozenset[str]:
    """The names of everything that some line of the source raises, or makes."""
    return frozenset(_raised())


def _raised() -> Iterator[str]:
    for path in [*(ROOT / "processor").rglob("*.py"), *(ROOT / "service").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Name):
                yield node.exc.id
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                yield node.func.id
            if isinstance(node, ast.keyword) and node.arg == "missing" and isinstance(node.value, ast.Name):
                yield node.value.id


@pytest.mark.parametrize("route", [*ROUTES, *LOCAL_ROUTES], ids=lambda route: f"{route.method} {route.path}")
def test_every_route_has_documentation_or_says_that_it_is_no_part_of_the_api(route: Route) -> None:
    told = call_of(route.handler)
    assert told is None or (told.summary and told.replies)


def test_a_route_that_says_neither_is_a_defect_and_is_named() -> None:
    async def forgotten(request: web.Request) -> web.Response:
        raise NotImplementedError(request)

    with pytest.raises(Undocumented, match=r"forgotten.* has neither @call nor @unlisted"):
        call_of(forgotten)
    assert call_of(unlisted(forgotten)) is None


def test_the_docstring_of_a_handler_is_its_documentation_and_the_handler_stays_what_it_is() -> None:
    class Thing(BaseModel):
        name: str = "a"

    async def show(request: web.Request) -> web.Response:
        """Show
        a thing.

        It is shown `once`.
        Then no more.
        """
        raise NotImplementedError(request)

    documented = call("showThing", IMAGES, reply("The thing", Thing()), problems=(ImageNotFound,))(show)
    assert documented is show
    told = call_of(show)
    assert told is not None
    assert (told.summary, told.description) == ("Show a thing", "It is shown `once`.\nThen no more.")
    assert [found.model for found in told.replies] == [Thing]


@of_each(LISTED)
def test_the_documentation_names_the_parts_of_the_path_that_the_route_has(route: Route, told: Call) -> None:
    assert [part.name for part in told.path] == re.findall(r"{(\w+)}", route.path)


@of_each(LISTED)
def test_the_documented_problems_exist_and_something_raises_them(route: Route, told: Call) -> None:
    known = {problem.code for problem in known_problems()}
    for kind in told.problems:
        assert issubclass(kind, TrussError)
        assert problem_of(kind()).code in known, route
        assert kind.__name__ in raised()


def test_what_watches_the_process_asks_without_credentials_and_leaves_no_noise() -> None:
    quiet = {route.path: route.scope for route, told in LISTED if told.quiet}
    assert quiet == {"/images/health": PUBLIC, "/images/live": PUBLIC, "/images/ready": PUBLIC}


@of_each([(route, told) for route, told in LISTED if route.method == "GET" and route.handler not in MAKERS])
def test_what_changes_nothing_has_no_body(route: Route, told: Call) -> None:
    assert told.body is None, route


def test_the_examples_of_a_reply_are_all_of_one_model() -> None:
    for _, told in LISTED:
        for found in told.replies:
            assert {type(example) for example in found.examples.values()} == {found.model} - {None}


def test_what_makes_the_document_names_no_path() -> None:
    for path in (ROOT / "service" / "openapi").glob("*.py"):
        assert "/images" not in path.read_text()
