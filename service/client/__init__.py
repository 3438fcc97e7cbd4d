"""A client on the command line: photos are submitted, and everything else that can be asked of the service."""

from __future__ import annotations

import sys

# httpx brings a command line of its own, which takes longer to import than all the rest; it works without.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
