"""A process begins and ends quickly: what it imports is no garbage, and is not looked through."""

from __future__ import annotations

import gc
import json
import subprocess
import sys

from service.cli.start import no_garbage


def test_what_is_imported_is_looked_through_for_garbage_neither_meanwhile_nor_ever_after() -> None:
    before = gc.get_freeze_count()

    with no_garbage():
        assert not gc.isenabled()
        kept: list[list[int]] = [[] for _ in range(1000)]

    assert gc.isenabled()
    assert gc.get_freeze_count() >= before + len(kept)


def test_serving_begins_without_what_describes_the_api_and_ends_without_a_look_for_garbage() -> None:
    script = (
        "import atexit, gc, json, sys; from service.cli import main\n"
        # Registered first, so called last.
        "atexit.register(lambda: print(json.dumps([gc.isenabled(), len(gc.get_objects()), sorted(sys.modules)])))\n"
        "main(['serve'])"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    enabled, watched, imported = json.loads(ended.stdout)
    assert enabled
    assert watched < 1000
    assert "service.server" in imported
    assert not {"service.openapi", "openapi_pydantic"} & set(imported)
