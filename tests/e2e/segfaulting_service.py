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


def segfault_on_marker(render: Any) -> Any:
    def crash(data: bytes, *rest: Any, **further: Any) -> Any:
        if data.endswith(MARKER):
            ctypes.string_at(0)
        return render(data, *rest, **further)

    return crash


if __name__ == "__main__":
    engine.render = segfault_on_marker(engine.render)  # type: ignore[attr-defined]
    wiring.ChildRenderer = partial(  # type: ignore[assignment, attr-defined]
        wiring.ChildRenderer,  # type: ignore[attr-defined]
        command=(sys.executable, "-m", "tests.integration.hostile_child", "segfault"),
    )
    main()
