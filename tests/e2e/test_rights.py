"""The service needs the rights that the template gives it, all of them and no others.

The end-to-end tests run once more in a process of their own, where every call to AWS is written down.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from processor.stores import schema
from processor.stores.schema import Names
from tests.e2e.rights import DEAD, EDGE, PROCESSED, QUEUE, ROOT, SOURCE, TABLE, recorded_in, used
from tests.fleet import untraced

#: What uses everything: uploads of every kind, listing, reprocessing, redrive, events, deletion, invalidation.
SUITE = (
    "tests/e2e/test_main_job.py",
    "tests/e2e/test_large_files.py",
    "tests/e2e/test_watermark.py",
    "tests/e2e/test_review.py",
    "tests/e2e/test_private.py",
    "tests/e2e/test_events.py",
    "tests/infra/test_deployment.py",
)
#: Bounds the run: it takes less than a minute on an idle machine.
SECONDS = 600


def _granted() -> set[tuple[str, str]]:
    names = Names.of_stage("dev", "111122223333")
    policy = schema.service_policy(names, QUEUE, DEAD, TABLE, EDGE)
    places = {
        f"{schema.bucket_arn(names.source_bucket)}/uploads/*": f"{SOURCE}/uploads/*",
        f"{schema.bucket_arn(names.source_bucket)}/assets/*": f"{SOURCE}/assets/*",
        **{
            f"{schema.bucket_arn(names.processed_bucket)}/{folder}/*": f"{PROCESSED}/{folder}/*"
            for folder in ("processed", "held", "private")
        },
        schema.bucket_arn(names.source_bucket): SOURCE,
        schema.bucket_arn(names.processed_bucket): PROCESSED,
    }
    return {
        (action, places.get(resource, resource))
        for statement in policy["Statement"]
        for action in statement["Action"]
        for resource in statement["Resource"]
    }


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 60)
async def test_every_right_that_is_granted_is_used_and_every_one_that_is_used_is_granted(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", *SUITE),
        cwd=ROOT,
        env={
            **{name: value for name, value in untraced().items() if not name.startswith("PYTEST_")},
            **recorded_in(tmp_path),
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), SECONDS)
    assert process.returncode == 0, output.decode()
    assert sorted(used(tmp_path)) == sorted(_granted())
