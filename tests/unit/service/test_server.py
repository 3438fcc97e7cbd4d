"""What the server does before it answers."""

from __future__ import annotations

import gc

from service import server


def test_the_collector_does_not_look_again_at_what_was_built_at_the_start() -> None:
    built = [[number] for number in range(1000)]
    try:
        server._keep_what_is_there()

        assert gc.get_freeze_count() > len(built)
        assert not any(each is built for each in gc.get_objects())
    finally:
        gc.unfreeze()
