"""What is built once out of the settings."""

from __future__ import annotations

from datetime import timedelta

from processor.ports.stores import AllStores
from processor.stores.memory import MemoryJobStore, MemoryObjectStore, MemoryPresetStore, MemoryQueue, MemoryUsageStore
from processor.usage import Quota
from service.config import Settings
from service.wiring import make_use_cases
from tests.unit.service.test_config import REQUIRED


def test_every_use_case_works_over_the_same_stores_within_the_same_quota_and_under_the_same_limits() -> None:
    settings = Settings.from_env(REQUIRED | {"MAX_UPLOAD_BYTES": "7", "RETENTION_DAYS": "3"})
    stores = AllStores(
        jobs=MemoryJobStore(),
        source=MemoryObjectStore("source"),
        processed=MemoryObjectStore("processed"),
        queue=MemoryQueue(),
    )
    quota = Quota(store=MemoryUsageStore(), defaults=settings.limits)
    presets = MemoryPresetStore()
    made = make_use_cases(settings, stores, quota, presets)
    use_cases = (made.uploads, made.large_files, made.unsized_files, made.catalog)
    assert all(each.stores is stores and each.quota is quota for each in use_cases)
    assert made.presets.store is presets
    assert all(each.choice is made.presets.choice for each in use_cases)
    assert made.large_files.catalog is made.unsized_files.catalog is made.catalog
    assert made.uploads.max_bytes == made.unsized_files.max_bytes == 7
    assert made.catalog.retention == timedelta(days=3)
