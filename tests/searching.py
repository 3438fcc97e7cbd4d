"""How long property tests search: through the same cases every time, or through others and more of them.

A case that is found by chance must not stop an unrelated change, so `make check` tries the same cases every time, and
`make test` the first of them: it sets QUICK. `make fuzz` sets FUZZ: it draws at random, and so many times as much.
"""

from __future__ import annotations

import math
import os

from hypothesis import HealthCheck, settings

#: How many times as many cases as usual; 0: the usual ones.
FUZZ = int(os.environ.get("FUZZ") or 0)
#: One case in so many is tried.
QUICK = int(os.environ.get("QUICK") or 1)


def searching(cases: int = 100, *, suppress: tuple[HealthCheck, ...] = ()) -> settings:
    """The settings of a property test. On a busy machine any case may be slow, which is no failure."""
    return settings(
        max_examples=math.ceil(cases * max(1, FUZZ) / QUICK),
        derandomize=not FUZZ,
        database=None,
        deadline=None,
        suppress_health_check=(HealthCheck.too_slow, *suppress),
        print_blob=True,
    )


settings.register_profile("truss-image", searching())
settings.load_profile("truss-image")
