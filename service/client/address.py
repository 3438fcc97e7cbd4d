"""Where the service is and what lets a caller in, read from what people give: refused in a sentence, never repeated."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

_HOST = re.compile(r"[\w.:%-]+")
#: What a header's value may be made of, spaces aside (RFC 9110, 5.5).
_KEY = re.compile(r"[!-~]+")


def base_url(text: str) -> str:
    """The base URL of the service, without a slash at the end; https when no scheme is given, http for this machine.

    Raises `ValueError` with what is wrong. The text may hold a password, so no message repeats it.
    """
    given = _with_scheme(text.strip())
    try:
        parts = urlsplit(given)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError("is not a URL: its host or its port is not valid") from None
    if parts.scheme not in ("http", "https"):
        raise ValueError("must begin with http:// or https://")
    if _HOST.fullmatch(host) is None:
        raise ValueError("must name a host, as in http://127.0.0.1:8080")
    if parts.query or parts.fragment:
        raise ValueError("must not contain ? or #")
    return given.rstrip("/")


def _with_scheme(given: str) -> str:
    if not given:
        raise ValueError("is empty; give an address such as http://127.0.0.1:8080")
    if not given.isprintable() or " " in given:
        raise ValueError("must not contain spaces or control characters")
    if re.match(r"https?:(?!//)", given, re.IGNORECASE):
        raise ValueError("needs two slashes and a host after http: or https:")
    if "://" in given:
        return given
    return f"{'http' if _names_this_machine(given) else 'https'}://{given}"


def header_value(key: str | None) -> str | None:
    """An API key without the spaces and line breaks around it, which files and shells add; None for an empty one.

    Raises `ValueError` for what no header can carry. The message does not repeat it.
    """
    trimmed = (key or "").strip()
    if trimmed and _KEY.fullmatch(trimmed) is None:
        raise ValueError("holds characters that no key has, such as a space or a line break in its middle")
    return trimmed or None


def without_credentials(url: str) -> str:
    """A URL as it may be shown."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def is_loopback(host: str) -> bool:
    """Whether a host is this machine itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost" or host.lower().endswith(".localhost")


def _names_this_machine(given: str) -> bool:
    try:
        return is_loopback(urlsplit(f"//{given}").hostname or "")
    except ValueError:
        return False
