"""Pages that call the API from a browser: what they may ask, and what they may read."""

from __future__ import annotations

import re
from typing import Any

import pytest

from service.routes import ROUTES
from tests.integration.http.test_edges import EVERY_KIND

PAGE = "https://app.example.com"
PREFLIGHT = {"Origin": PAGE, "Access-Control-Request-Method": "GET"}
#: What every page may read (fetch, "CORS-safelisted response-header name"), and what browsers keep for themselves.
NOTHING_FOR_PAGES = {
    "Cache-Control", "Content-Length", "Content-Type", "Date", "Connection", "Vary",
    "X-Content-Type-Options", "X-Frame-Options", "Content-Security-Policy", "Referrer-Policy",
    "Strict-Transport-Security",
}  # fmt: skip


def _split(header: str) -> list[str]:
    return re.split(r", *", header)


async def test_a_page_of_an_allowed_origin_may_call_and_read(serve: Any) -> None:
    client = await serve(cors_origins=(PAGE,))
    for method, path, status in EVERY_KIND:
        async with client.request(method, path, headers={"Origin": PAGE}) as response:
            assert response.status == status
            assert response.headers["Access-Control-Allow-Origin"] == PAGE
            exposed = set(_split(response.headers["Access-Control-Expose-Headers"]))
            assert exposed >= {"X-Request-Id", "Retry-After", "RateLimit", "RateLimit-Policy", "Idempotent-Replayed"}
            assert exposed >= {"ETag", "Location", "Link", "Allow"}
            assert response.headers["Vary"] == "Origin"
            assert "Access-Control-Allow-Credentials" not in response.headers


async def test_a_page_may_read_every_header_that_says_something_to_it(serve: Any) -> None:
    client = await serve(cors_origins=(PAGE,), locked=True)
    for method, path in [*((method, path) for method, path, _ in EVERY_KIND), ("GET", "/images/openapi.json")]:
        async with client.request(method, path, headers={"Origin": PAGE}) as response:
            exposed = {name.lower() for name in _split(response.headers["Access-Control-Expose-Headers"])}
            sent = {name.lower() for name in response.headers if not name.startswith("Access-Control-")}
            assert sent - exposed <= {name.lower() for name in NOTHING_FOR_PAGES}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *((route.method, re.sub(r"\{\w+\}", "x", route.path)) for route in ROUTES),
        ("GET", "/nowhere"),
        ("PATCH", "/images/list"),
        ("BREW", "/"),
    ],
)
async def test_every_path_answers_a_preflight(serve: Any, method: str, path: str) -> None:
    client = await serve(cors_origins=(PAGE,))
    headers = {
        "Origin": PAGE,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "content-type, x-request-id, authorization, x-api-key",
    }
    async with client.options(path, headers=headers) as response:
        assert response.status == 200
        assert response.headers["Access-Control-Allow-Origin"] == PAGE
        assert response.headers["Access-Control-Allow-Methods"] == method
        assert response.headers["Access-Control-Allow-Headers"] == headers["Access-Control-Request-Headers"]
        assert response.headers["Access-Control-Max-Age"] == "600"
        assert "X-Request-Id" in response.headers
        varies = {name.strip() for field in response.headers.getall("Vary") for name in field.split(",")}
        assert varies == {"Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers"}


@pytest.mark.parametrize(
    "names",
    ["sentry-trace,baggage", "traceparent, tracestate", "x-datadog-trace-id", "x-tenant", "if-none-match", "x-y"],
)
async def test_a_page_may_send_any_header(serve: Any, names: str) -> None:
    client = await serve(cors_origins=(PAGE,))
    async with client.options(
        "/images/list", headers=PREFLIGHT | {"Access-Control-Request-Headers": names}
    ) as response:
        assert response.status == 200
        assert response.headers["Access-Control-Allow-Headers"] == names


async def test_a_preflight_may_ask_for_no_header(serve: Any) -> None:
    client = await serve(cors_origins=(PAGE,))
    async with client.options("/images/list", headers=PREFLIGHT) as response:
        assert response.status == 200
        assert "Access-Control-Allow-Headers" not in response.headers


@pytest.mark.parametrize("origin", ["https://evil.example.com", "http://app.example.com", f"{PAGE}:8443", "null"])
async def test_any_other_origin_gets_no_permission_and_is_told_why(serve: Any, origin: str) -> None:
    client = await serve(cors_origins=(PAGE,))
    async with client.get("/images/list", headers={"Origin": origin}) as response:
        assert "Access-Control-Allow-Origin" not in response.headers
    headers = {"Origin": origin, "Access-Control-Request-Method": "GET"}
    async with client.options("/images/list", headers=headers) as response:
        assert response.status == 403
        assert "Access-Control-Allow-Origin" not in response.headers
        assert "Origin" in response.headers.getall("Vary")
        problem = await response.json(content_type=None)
        assert problem["code"] == "origin_refused"
        assert origin in problem["detail"]
        assert "CORS_ORIGINS" in problem["detail"]


async def test_an_origin_without_end_is_not_repeated_without_end(serve: Any) -> None:
    client = await serve()
    async with client.options("/images/list", headers=PREFLIGHT | {"Origin": "https://" + "a" * 5000}) as response:
        assert len((await response.json(content_type=None))["detail"]) < 500


@pytest.mark.parametrize("headers", [{}, {"Origin": PAGE}, {"Access-Control-Request-Method": "GET"}])
async def test_options_that_are_no_preflight_say_what_a_path_knows(serve: Any, headers: dict[str, str]) -> None:
    for origins in ((), (PAGE,), ("*",)):
        client = await serve(cors_origins=origins, locked=True)
        async with client.options("/images/limits", headers=headers) as response:
            assert (response.status, response.headers["Allow"]) == (204, "GET, HEAD, OPTIONS, PUT")
            assert await response.read() == b""
        async with client.options("/nowhere", headers=headers) as response:
            assert response.status == 404
            assert (await response.json(content_type=None))["code"] == "not_found"


async def test_a_star_allows_any_origin_but_never_credentials(serve: Any) -> None:
    client = await serve(cors_origins=("*",))
    for origin in (PAGE, "null"):
        async with client.get("/images/list", headers={"Origin": origin}) as response:
            assert response.headers["Access-Control-Allow-Origin"] == "*"
            assert "Access-Control-Allow-Credentials" not in response.headers
        async with client.options("/images/list", headers=PREFLIGHT | {"Origin": origin}) as response:
            assert response.headers["Access-Control-Allow-Origin"] == "*"


async def test_without_origins_nothing_is_allowed(client: Any) -> None:
    async with client.get("/images/list", headers={"Origin": PAGE}) as response:
        assert "Access-Control-Allow-Origin" not in response.headers


@pytest.mark.parametrize(("origins", "allowed"), [((PAGE,), "true"), (("*",), None)])
async def test_only_pages_that_were_named_come_into_a_private_network(
    serve: Any, origins: tuple[str, ...], allowed: str | None
) -> None:
    client = await serve(cors_origins=origins)
    asked = PREFLIGHT | {"Access-Control-Request-Private-Network": "true"}
    async with client.options("/images/list", headers=asked) as response:
        assert response.headers.get("Access-Control-Allow-Private-Network") == allowed
    async with client.options("/images/list", headers=PREFLIGHT) as response:
        assert "Access-Control-Allow-Private-Network" not in response.headers
