"""How long property tests search: through the same cases every time, or through others and more of them.

A case that is found by chance must not stop an unrelated change, so `make test` tries the same cases every time.
`make fuzz` sets FUZZ: it draws at random, and so many times as much.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

#: How many times as many cases as usual; 0: the usual ones.
FUZZ = int(os.environ.get("FUZZ") or 0)


def searching(cases: int = 100, *, suppress: tuple[HealthCheck, ...] = ()) -> settings:
    """The settings of a property test. On a busy machine any case may be slow, which is no failure."""
    return settings(
        max_examples=cases * max(1, FUZZ),
        derandomize=not FUZZ,
        database=None,
        deadline=None,
        suppress_health_check=(HealthCheck.too_slow, *suppress),
        print_blob=True,
    )


settings.register_profile("truss-image", searching())
settings.load_profile("truss-image")
