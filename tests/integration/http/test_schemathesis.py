"""The OpenAPI document against the service: whatever the one allows and forbids, with and without credentials."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import schemathesis
from aiohttp import web
from hypothesis import HealthCheck
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.pytest.lazy import get_all_tests
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from service.auth.api_keys import create
from service.auth.principal import Scope
from service.http.call import is_quiet
from service.openapi import document
from service.routes import ROUTES
from tests.integration.http.conftest import World, make_application
from tests.searching import QUICK, searching
from tests.waiting import PATIENCE_SECONDS

#: Every operation, as the tool names it.
OPERATIONS = [f"{method.upper()} {path}" for path, item in document()["paths"].items() for method in item]
PROBES = {route.path for route in ROUTES if is_quiet(route.handler)}
EXAMPLES = searching(20, suppress=tuple(HealthCheck))
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@dataclass(frozen=True)
class Running:
    base_url: str
    api_key: str


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    """The real application in a thread of its own, because the tool knows no event loop."""
    started, stopped = threading.Event(), threading.Event()
    found: list[Running] = []

    async def serve() -> None:
        world = World()
        minted = await create(world.keys, tenant="acme", name="tool", scopes=[Scope.ADMIN])
        app = make_application(world, locked=True, limit_requests_per_second=1e6, limit_request_burst=10**6)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        found.append(Running(f"http://127.0.0.1:{runner.addresses[0][1]}", minted.token))
        started.set()
        await asyncio.to_thread(stopped.wait)
        await runner.cleanup()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert started.wait(PATIENCE_SECONDS)
    yield found[0]
    stopped.set()
    thread.join(PATIENCE_SECONDS)


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    """Keeps its connection: thousands of requests need no new one each."""
    with requests.Session() as session:
        yield session


def is_documented(method: str, path: str) -> bool:
    """Whether one of the document's paths stands for this one, and has the method."""
    return any(
        method.lower() in item and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path)
        for template, item in document()["paths"].items()
    )


@pytest.mark.hypothesis
@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_answer_to_a_caller_is_as_documented_and_a_stranger_learns_nothing_but_that(
    operation: str, running: Running, session: requests.Session
) -> None:
    """The tool makes its hundreds of cases here, where they run, and not wherever the tests are collected.

    Most are each limit of each field. A quick run does without them, and keeps those that are drawn.
    """
    schema = schemathesis.openapi.from_dict(document()).include(name=operation)
    schema.config.phases.coverage.enabled = QUICK == 1
    (made,) = get_all_tests(schema=schema, test_func=_tell, settings=EXAMPLES, given_kwargs={})
    assert isinstance(made, Ok)
    _, tell_all = made.ok()
    tell_all(running=running, session=session)


def _tell(case: schemathesis.Case[Any], running: Running, session: requests.Session) -> None:
    key = {"X-Api-Key": running.api_key}
    case.call_and_validate(
        base_url=running.base_url, session=session, headers=key, checks=CHECKS, timeout=PATIENCE_SECONDS
    )

    response = case.call(base_url=running.base_url, session=session, timeout=180)
    # The tool tries methods that do not exist, too.
    if not is_documented(response.request.method or "", urlsplit(response.request.url or "").path):
        assert response.status_code == (204 if response.request.method == "OPTIONS" else 405)
    elif case.path in PROBES:
        assert response.status_code == 200
    else:
        assert response.status_code == 401
        assert response.json()["code"] == "unauthenticated"
