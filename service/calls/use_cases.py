"""The use cases that the calls ask, under the keys at which the application carries them."""

from __future__ import annotations

from aiohttp import web

from processor.catalog.images import Catalog
from processor.catalog.parts import LargeFiles

CATALOG = web.AppKey("catalog", Catalog)
LARGE_FILES = web.AppKey("large_files", LargeFiles)
