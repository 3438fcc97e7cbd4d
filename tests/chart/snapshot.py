"""Writes the snapshot of the defaults anew: `python -m tests.chart.snapshot`."""

from __future__ import annotations

from pathlib import Path

import yaml

from helm.rendering import objects
from tests.chart.release import example

if __name__ == "__main__":
    file = Path(__file__).parent / "snapshots" / "default.yaml"
    file.write_text(yaml.safe_dump_all(objects(example()), sort_keys=False))
