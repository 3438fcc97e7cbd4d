"""The use cases of the calls, with the keys under which the application has them."""

from __future__ import annotations

from aiohttp import web

from processor.catalog.images import Catalog
from processor.catalog.parts import LargeFiles
from processor.catalog.unsized import UnsizedFiles
from processor.catalog.uploads import Uploads
from processor.catalog.waiting import Waiting
from processor.ports.stores import Stores

#: Keys of the use cases that are functions.
STORES = web.AppKey("stores", Stores)
CATALOG = web.AppKey("catalog", Catalog)
WAITING = web.AppKey("waiting", Waiting)
UPLOADS = web.AppKey("uploads", Uploads)
LARGE_FILES = web.AppKey("large_files", LargeFiles)
UNSIZED_FILES = web.AppKey("unsized_files", UnsizedFiles)
