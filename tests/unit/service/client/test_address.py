"""Addresses and keys as people give them: they work, or a sentence says why not."""

from __future__ import annotations

import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.client.address import base_url, header_value, is_loopback, without_credentials
from service.client.proxies import proxy_for


@pytest.mark.parametrize(
    ("given_url", "read"),
    [
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        (" http://127.0.0.1:8080\n", "http://127.0.0.1:8080"),
        ("localhost:8080", "http://localhost:8080"),
        ("[::1]:8080", "http://[::1]:8080"),
        ("images.example.com", "https://images.example.com"),
        ("images.example.com:8443/prefix/", "https://images.example.com:8443/prefix"),
        ("HTTP://images.example.com", "HTTP://images.example.com"),
        ("https://user:p@ss@images.example.com", "https://user:p@ss@images.example.com"),
    ],
)
def test_an_address_is_read_as_it_is_meant(given_url: str, read: str) -> None:
    assert base_url(given_url) == read


@pytest.mark.parametrize(
    ("given_url", "why"),
    [
        ("", "is empty"),
        ("  ", "is empty"),
        ("http://local host", "spaces"),
        ("http://local\thost", "control characters"),
        ("http:/localhost", "two slashes"),
        ("https:localhost", "two slashes"),
        ("ftp://localhost", "http:// or https://"),
        ("http://", "must name a host"),
        ("http://<host>", "must name a host"),
        ("http://localhost:port", "its port is not valid"),
        ("http://localhost:99999", "its port is not valid"),
        ("http://[::1", "its host"),
        ("http://localhost/?a=secret", "? or #"),
        ("http://localhost/#secret", "? or #"),
    ],
)
def test_an_address_that_cannot_be_one_is_refused_in_a_sentence(given_url: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)) as refused:
        base_url(given_url)
    assert "secret" not in str(refused.value)


@given(st.text())
def test_any_text_is_an_address_or_refused(text: str) -> None:
    with suppress(ValueError):
        assert base_url(text).lower().startswith(("http://", "https://"))


@given(
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1), st.sampled_from(["", " ", "\n", "\r\n\t "])
)
def test_a_key_loses_what_is_around_it_and_nothing_else(key: str, around: str) -> None:
    assert header_value(around + key + around) == key


@pytest.mark.parametrize("nothing", [None, "", "\n", "  "])
def test_an_empty_key_is_none(nothing: str | None) -> None:
    assert header_value(nothing) is None


@pytest.mark.parametrize("key", ["a b", "a\nb", "a\x00b", "schlüssel", "a\udcffb"])
def test_a_key_that_no_header_can_carry_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(ValueError, match="no key has") as refused:
        header_value(key)
    assert key not in str(refused.value)


def test_a_url_is_shown_without_its_password() -> None:
    assert without_credentials("https://user:p@ss@host:1/path") == "https://host:1/path"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "a.localhost", "127.0.0.1", "127.9.9.9", "::1"])
def test_this_machine_is_known(host: str) -> None:
    assert is_loopback(host)


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name.upper()}_PROXY", raising=False)


def test_proxies_are_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    assert proxy_for("https://images.example.com") is None
    monkeypatch.setenv("HTTPS_PROXY", "proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", ".internal,images.example.com:8443")
    assert proxy_for("https://images.example.com/a") == "http://proxy.example:3128"
    assert proxy_for("http://images.example.com/a") is None
    for direct in ("https://a.internal", "https://images.example.com:8443", "https://localhost:1", "https://[::1]:1"):
        assert proxy_for(direct) is None
    monkeypatch.setenv("ALL_PROXY", "socks5://proxy.example")
    with pytest.raises(ValueError, match="does not speak HTTP"):
        proxy_for("http://images.example.com/a")
