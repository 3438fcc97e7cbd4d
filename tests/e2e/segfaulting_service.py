"""`truss-image`, with a decoder that crashes on files that end with a marker: in the pod's threads and in the child."""

from __future__ import annotations

import ctypes
import sys
from functools import partial
from typing import Any

from processor.pipeline import engine
from service import wiring
from service.cli import main

MARKER = b"bring it down"


class CrashingRendering(engine.Rendering):  # type: ignore[name-defined, misc]
    """Crashes in the pool's thread, where a decoder would."""

    def first(self, *told: Any) -> None:
        if self._data.endswith(MARKER):
            ctypes.string_at(0)
        super().first(*told)


if __name__ == "__main__":
    engine.Rendering = CrashingRendering  # type: ignore[attr-defined]
    wiring.ChildRenderer = partial(  # type: ignore[assignment, attr-defined]
        wiring.ChildRenderer,  # type: ignore[attr-defined]
        command=(sys.executable, "-m", "tests.integration.hostile_child", "segfault"),
    )
    main()
