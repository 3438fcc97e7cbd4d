"""One spelling of origins and base URLs, or a reason."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.config import Settings, SettingsError
from service.http.urls import base_url, origin
from tests.unit.service.test_config import REQUIRED

SAME_AS_PAGE = [
    "https://app.example.com",
    "https://app.example.com/",
    " https://app.example.com ",
    "HTTPS://App.Example.COM",
    "https://app.example.com:443",
    "https://APP.example.com:443/",
]
BASE_URLS = ["QUEUE_URL", "DEAD_LETTER_QUEUE_URL", "CLOUDFRONT_URL", "AWS_ENDPOINT_URL", "S3_PUBLIC_ENDPOINT_URL"]


def _origins(text: str) -> tuple[str, ...]:
    return Settings.from_env({**REQUIRED, "CORS_ORIGINS": text}).cors_origins


@pytest.mark.parametrize("written", SAME_AS_PAGE)
def test_an_origin_is_what_a_browser_sends(written: str) -> None:
    assert _origins(written) == ("https://app.example.com",)


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("http://localhost:3000/", "http://localhost:3000"),
        ("http://app.example.com:80", "http://app.example.com"),
        ("http://app.example.com:443", "http://app.example.com:443"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("https://[::1]:8443", "https://[::1]:8443"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("chrome-extension://abcdefghijklmnop", "chrome-extension://abcdefghijklmnop"),
        ("*", "*"),
    ],
)
def test_other_origins_too(written: str, sent: str) -> None:
    assert _origins(written) == (sent,)


def test_an_origin_that_is_written_twice_is_one() -> None:
    assert _origins(",".join([*SAME_AS_PAGE, "https://b.example"])) == ("https://app.example.com", "https://b.example")


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("app.example.com", "it has no scheme"),
        ("//app.example.com", "it has no scheme"),
        ("localhost:3000", "it has no scheme"),
        ("https://app.example.com/login", "ends after the host and its port, as in https://app.example.com"),
        ("https://app.example.com?x=1", "ends after the host"),
        ("https://app.example.com/#top", "ends after the host"),
        ("https://*.example.com", "a wildcard in the host matches nothing"),
        ("https://app*.example.com", "a wildcard in the host matches nothing"),
        ("null", "every local file"),
        ("*,https://app.example.com", "`\\*` allows every origin"),
        ("https://app.example.com https://b.example", "its host or port cannot be"),
        ("https://app.example.com;https://b.example", "its host or port cannot be"),
        ("https://", "its host or port cannot be"),
        ("file:///index.html", "its host or port cannot be"),
        ("https://app.example.com:99999", "[Pp]ort"),
        ("https://app.example.com:0", "its host or port cannot be"),
        ("https://app.example.com:x", "[Pp]ort"),
    ],
)
def test_what_no_browser_sends_stops_the_start_with_its_reason(written: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=rf"CORS_ORIGINS: got .*{reason}"):
        _origins(f"https://good.example,{written}" if "*," not in written else written)


@pytest.mark.parametrize("variable", BASE_URLS)
@pytest.mark.parametrize(
    ("written", "used"),
    [
        ("https://cdn.example.com/", "https://cdn.example.com"),
        (" HTTPS://Cdn.Example.com:443// ", "https://cdn.example.com"),
        ("http://127.0.0.1:4566/", "http://127.0.0.1:4566"),
        ("https://cdn.example.com/Images/", "https://cdn.example.com/Images"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
    ],
)
def test_a_base_url_is_spelled_one_way(variable: str, written: str, used: str) -> None:
    settings = Settings.from_env({**REQUIRED, variable: written})
    assert getattr(settings, variable.lower()) == used


@pytest.mark.parametrize("variable", BASE_URLS)
@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("cdn.example.com", "it has no scheme"),
        ("s3://bucket", "must begin with http"),
        ("https://cdn.example.com?v=1", "no query"),
        ("https://cdn.example.com/#x", "no query and no fragment"),
        ("https://*.example.com", "a wildcard in the host"),
        ("https:// cdn.example.com", "its host or port cannot be"),
    ],
)
def test_what_no_path_can_be_put_behind_is_refused_with_its_reason(variable: str, written: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=rf"{variable}: got .*{reason}"):
        Settings.from_env({**REQUIRED, variable: written})


@pytest.mark.parametrize("variable", ["CORS_ORIGINS", *BASE_URLS])
@pytest.mark.parametrize("written", ["https://user:hunter2@cdn.example.com", "https://user:hunter2@[::1"])
def test_a_password_in_a_url_is_refused_and_not_repeated(variable: str, written: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({**REQUIRED, variable: written})
    assert "hunter2" not in str(caught.value)


_LABELS = st.text(string.ascii_letters + string.digits, min_size=1, max_size=20)
_HOSTS = st.lists(_LABELS, min_size=2, max_size=4).map(".".join).filter(lambda host: not host[-1].isdigit())


@given(scheme=st.sampled_from(["http", "https"]), host=_HOSTS, port=st.none() | st.integers(1, 65535))
def test_what_was_normalised_stays_as_it_is(scheme: str, host: str, port: int | None) -> None:
    written = f"{scheme}://{host}" + ("" if port is None else f":{port}")
    assert origin(origin(written)) == origin(written) == base_url(written)
    assert origin(written) == origin(f"{written.upper()}/")
