"""What the application carries, under typed keys."""

from __future__ import annotations

import asyncio

from aiohttp import web

from processor.access import KeyStore
from processor.catalog import Catalog
from processor.multipart import LargeFiles
from processor.ports import ObjectStore
from processor.replay import ReplayStore
from processor.usage import Quota
from service.auth.authenticator import Authenticator, Open
from service.config import Settings
from service.cursor import CursorSigner
from service.health import Health
from service.limits.buckets import Buckets
from service.metrics import Metrics
from service.patience import Patience

METRICS = web.AppKey("metrics", Metrics)
PATIENCE = web.AppKey("patience", Patience)
SETTINGS = web.AppKey("settings", Settings)
CATALOG = web.AppKey("catalog", Catalog)
LARGE_FILES = web.AppKey("large_files", LargeFiles)
CURSORS = web.AppKey("cursors", CursorSigner)
AUTHENTICATOR = web.AppKey[Authenticator | Open]("authenticator")
KEY_STORE = web.AppKey[KeyStore]("key_store")
REPLAYS = web.AppKey[ReplayStore]("replays")
QUOTA = web.AppKey("quota", Quota)
BUCKETS = web.AppKey("buckets", Buckets)
HEALTH = web.AppKey("health", Health)
LIVENESS = web.AppKey("liveness", Health)
READINESS = web.AppKey("readiness", Health)
#: Set once the process has been told to end: from then on it is not healthy, whatever its dependencies say.
DRAINING = web.AppKey("draining", asyncio.Event)
#: The processed bucket; in the local mode alone, where this process stands in for CloudFront.
LOCAL_VIEWER = web.AppKey[ObjectStore]("local_viewer")
