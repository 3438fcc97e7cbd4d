"""The chart as Helm renders it, without a cluster."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import helm_python
import yaml

CHART = Path(__file__).with_name("image-service")
RELEASE, NAMESPACE = "image-service", "truss-image"

Document = dict[str, Any]


def render(values: Mapping[str, Any], *, release: str = RELEASE) -> dict[str, list[Document]]:
    """The objects of a release by the template that makes them. Raises `helm_python.HelmError`, with the reason."""
    found: dict[str, list[Document]] = json.loads(_rendered(json.dumps(values), release))
    return found


@lru_cache(maxsize=256)
def _rendered(values: str, release: str) -> str:
    """Tests ask hundreds of times for what the same values make."""
    with helm_python.Chart.load(str(CHART)) as chart:
        texts = chart.render(json.loads(values), name=release, namespace=NAMESPACE)
    return json.dumps(
        {
            template.partition("/templates/")[2]: [each for each in yaml.load_all(text, yaml.CSafeLoader) if each]
            for template, text in texts.items()
            if template.endswith(".yaml")
        }
    )


def objects(values: Mapping[str, Any], *, release: str = RELEASE) -> list[Document]:
    """The same in one list."""
    return [each for found in render(values, release=release).values() for each in found]


def notes(values: Mapping[str, Any]) -> str:
    """What Helm says after an installation."""
    with helm_python.Chart.load(str(CHART)) as chart:
        return str(chart.render(dict(values), name=RELEASE, namespace=NAMESPACE)["image-service/templates/NOTES.txt"])
