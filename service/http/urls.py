"""How origins and base URLs may be written in a setting, and the one spelling that they get."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError
from yarl import URL

#: As yarl gives it: in lower case, international names in Punycode, an IPv6 address without its brackets.
_HOST = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?|[0-9a-f:.]*:[0-9a-f:.]*")
#: Any origin at all.
ANY = "*"


def origins(value: object) -> object:
    """Origins by commas, or a list of them, as browsers write them. Refuses what no browser ever sends."""
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple):
        return value
    found = dict.fromkeys(origin(str(part)) for part in parts if str(part).strip())
    if ANY in found and len(found) > 1:
        raise _refused("`*` allows every origin, so it goes with no other")
    return tuple(found)


def origin(text: str) -> str:
    """`HTTPS://App.Example.com:443/` is `https://app.example.com`. Raises `PydanticCustomError` with the reason."""
    text = text.strip()
    if text == ANY:
        return ANY
    if text == "null":
        raise _refused("`null` is the origin of every local file and sandboxed frame; it cannot be allowed")
    url = _parsed(text, "origin")
    if url.path not in ("", "/") or url.raw_query_string or url.raw_fragment:
        raise _refused(f"{text!r} is no origin: it ends after the host and its port, as in {url.origin()}")
    return str(url.origin())


def base_url(value: object) -> object:
    """A URL that paths are put behind: without a slash at the end, query or fragment; its host as in an origin."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    url = _parsed(text, "base URL")
    if url.scheme not in ("http", "https"):
        raise _refused("must begin with http:// or https://")
    if url.raw_query_string or url.raw_fragment:
        raise _refused("must have no query and no fragment")
    return f"{url.origin()}{url.raw_path}".rstrip("/")


#: The schema is what can be said before it is normalised.
BaseUrl = Annotated[
    str,
    BeforeValidator(base_url),
    WithJsonSchema({"type": "string", "pattern": r"^\s*[Hh][Tt][Tt][Pp][Ss]?://[^\s/?#]+[^\s?#]*\s*$"}),
]


def without_password(text: str) -> str:
    """What may be shown of a value that may be a URL with a user in it."""
    return re.sub(r"//[^/\s]*@", "//...@", text)


def _parsed(text: str, kind: str) -> URL:
    """An absolute URL with a host that can be. Raises `PydanticCustomError`."""
    example = "as in https://app.example.com"
    if "://" not in text:
        raise _refused(f"{text!r} is no {kind}: it has no scheme, {example}")
    try:
        url = URL(text)
    except ValueError as error:
        raise _refused(f"{without_password(text)!r} is no {kind}: {error}") from None
    if url.raw_user is not None or url.raw_password is not None:
        raise _refused(f"there is a user in it, and no {kind} has one")
    if "*" in (url.raw_host or ""):
        raise _refused(f"{text!r} is no {kind}: a wildcard in the host matches nothing; name every host, {example}")
    if not _HOST.fullmatch(url.raw_host or "") or url.explicit_port == 0:
        raise _refused(f"{text!r} is no {kind}: its host or port cannot be, {example}")
    return url


def _refused(reason: str) -> PydanticCustomError:
    return PydanticCustomError("url", "{reason}", {"reason": reason})
