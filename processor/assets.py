"""Assets: pictures of a tenant that effects lay over images. They are private, and named by the digest of their file.

An asset is made once, from an upload or a text, by the pipeline itself: a renderer need not distrust its file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime

from processor.recipes import FULL_SIZE, Recipe

#: Prefix of the keys in the source bucket. Nobody can upload there with a URL, and no event tells of it.
ASSET_PREFIX = "assets/"
#: Longest side, in pixels.
LONGEST_SIDE = 1024
#: What an asset is after decoding, in bytes.
DECODED_BYTES = 4 * LONGEST_SIDE**2
#: Largest file that is made, in bytes: noise with alpha has three quarters of it.
MAX_BYTES = DECODED_BYTES
#: How an upload becomes an asset.
RECIPE = Recipe(
    name="asset",
    version=1,
    specs=(replace(FULL_SIZE, name="asset", quality=95, effort=4, box=(LONGEST_SIDE, LONGEST_SIDE)),),
)
_KEY = re.compile(rf"{ASSET_PREFIX}(?P<tenant>[^/]+)/(?P<digest>[0-9a-f]{{64}})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """An asset as it is stored; `size` in bytes."""

    digest: str
    size: int
    added_at: datetime


def assets_prefix(tenant: str) -> str:
    """Prefix of all assets of a tenant."""
    return f"{ASSET_PREFIX}{tenant}/"


def asset_key(tenant: str, digest: str) -> str:
    return f"{assets_prefix(tenant)}{digest}"


def digest_of(key: str) -> str | None:
    """The digest in a key; None if it is no key of an asset."""
    found = _KEY.fullmatch(key)
    return found and found["digest"]
