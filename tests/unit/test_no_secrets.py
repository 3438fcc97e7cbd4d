"""The guard over the logs of the whole suite can fail."""

from __future__ import annotations

import pytest

from service.auth.api_keys import mint
from tests.no_secrets import secret_in

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    "line",
    [
        f"calling with truss_{'a' * 16}_{'B' * 43}",
        "GET https://s3/uploads/a.jpg?X-Amz-Expires=60&X-Amz-Signature=0123456789abcdef",
        "X-Amz-Security-Token=FwoGZXIvYXdzEBYaD",
        f"token={JWT}",
        f"{{'Authorization': 'Bearer {JWT[:20]}'}}",
        "X-Api-Key: 0123456789abcdef0123",
        "authorization=abcdefghijklmnopqrstuvwx",
    ],
)
def test_what_gives_a_secret_away_is_found(line: str) -> None:
    assert secret_in(f"one line\n{line}\nanother") is not None


def test_a_fresh_key_is_found() -> None:
    assert secret_in(f"calling with {mint(checksum_key=b'k', tenant='acme', name='n', scopes=[]).token}") is not None


def test_secrets_of_the_run_are_found_and_shown_by_nobody() -> None:
    found = secret_in("key wJalrXUtnFEMI", "wJalrXUtnFEMI")
    assert found == "wJal..."


@pytest.mark.parametrize(
    "line",
    [
        "",
        "subject=key:k3v7q2mzt5x6wabn",
        '{"event": "Caller not authenticated", "reason": "missing"}',
        "X-Request-Id: abc",
    ],
)
def test_what_is_no_secret_is_left_alone(line: str) -> None:
    assert secret_in(line, "") is None


def test_a_test_that_logs_a_secret_fails(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("from tests.conftest import pytest_runtest_makereport")
    pytester.makepyfile(
        test_leak=f"""
        def test_leaks():
            print("{JWT}")

        def test_does_not():
            print("nothing")
        """
    )
    outcome = pytester.runpytest_inprocess("-p", "no:asyncio", "-p", "no:aiohttp", "--show-capture=no")
    outcome.assert_outcomes(passed=1, failed=1)
