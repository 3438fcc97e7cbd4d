"""Landscapes for the pictures of the documents, painted layer by layer."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pyvips

from tests import corpus


@dataclass(frozen=True, slots=True)
class Scene:
    """Colours from the top of the sky to the nearest hills; the sun is at `x`, `y`, in shares of the picture."""

    name: str
    sky: tuple[str, str, str]
    sun: str
    x: float
    y: float
    near: str
    shape: float
    width: int = 1600
    height: int = 1200
    water: bool = False


SCENES = (
    Scene("Morning at the lake", ("#7fb2e5", "#f6d9c0", "#ffe9d2"), "#fff6df", 0.7, 0.42, "#27476b", 1.0, water=True),
    Scene("Red dunes", ("#f3b27a", "#f7d3a0", "#fbe8c8"), "#fff3d6", 0.3, 0.3, "#9c3d24", 2.3),
    Scene("First snow", ("#9fb8d6", "#d6e2ef", "#f1f5f9"), "#ffffff", 0.55, 0.3, "#3c5775", 3.1, 1200, 1600),
    Scene("Evening on the coast", ("#39386e", "#b0577d", "#f6a26b"), "#ffd9a0", 0.4, 0.52, "#1d1f45", 4.4, water=True),
    Scene("Pine hills", ("#8ccbd8", "#cfe9e2", "#f3f7e6"), "#fffbe0", 0.75, 0.25, "#1f4d3c", 5.2),
    Scene("Moon over the ridge", ("#0b1030", "#1f2a5c", "#4a4f8a"), "#f2f0dc", 0.68, 0.26, "#070a1c", 6.0, 1800, 1200),
    Scene("Wheat in July", ("#5fa8e8", "#b9dcf5", "#fdf3d0"), "#fff8d8", 0.2, 0.25, "#b98a1e", 7.7),
    Scene("After the storm", ("#4b5c74", "#8a97a8", "#e8c58f"), "#fbe3b0", 0.82, 0.48, "#26323f", 8.5, 1800, 1200),
    Scene("Lavender", ("#b8a6e0", "#e3cfee", "#fce8ea"), "#fff5ee", 0.35, 0.34, "#4f3a86", 9.1, 1200, 1600),
    Scene("Fjord at noon", ("#3c8dc9", "#9fd0ea", "#e6f5f7"), "#ffffff", 0.5, 0.18, "#13515f", 10.6, water=True),
)


def photos() -> dict[str, bytes]:
    """JPEG files by their names."""
    return {f"{scene.name}.jpg": corpus.jpeg(_painted(scene)) for scene in SCENES}


def _painted(scene: Scene) -> pyvips.Image:
    drawn: pyvips.Image = pyvips.Image.svgload_buffer(_svg(scene).encode())
    return drawn.flatten().copy(interpretation="srgb")


def _svg(scene: Scene) -> str:
    width, height = scene.width, scene.height
    stops = "".join(
        f'<stop offset="{at}" stop-color="{colour}"/>' for at, colour in zip((0, 0.5, 0.85), scene.sky, strict=True)
    )
    layers = "".join(
        f'<path d="{_ridge(scene, layer)}" fill="{scene.near}" opacity="{0.25 + 0.25 * layer}"/>' for layer in range(4)
    )
    x, y, radius = scene.x * width, scene.y * height, 0.075 * min(width, height)
    halo = f'<circle cx="{x}" cy="{y}" r="{radius * 3}" fill="url(#halo)"/>'
    water = _water(scene) if scene.water else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">'
        f'<defs><linearGradient id="sky" x2="0" y2="1">{stops}</linearGradient><radialGradient id="halo">'
        f'<stop stop-color="{scene.sun}" stop-opacity=".7"/>'
        f'<stop offset="1" stop-color="{scene.sun}" stop-opacity="0"/>'
        f'</radialGradient></defs><rect width="100%" height="100%" fill="url(#sky)"/>{halo}'
        f'<circle cx="{x}" cy="{y}" r="{radius}" fill="{scene.sun}"/>{layers}{water}</svg>'
    )


def _ridge(scene: Scene, layer: int) -> str:
    """The outline of a row of hills; the nearer, the lower, and the rounder."""
    width, height = scene.width, scene.height
    base, rough = (0.5 + 0.12 * layer) * height, 0.09 - 0.014 * layer
    points = []
    for step in range(161):
        at, phase = step / 160 * 6, scene.shape * (layer + 1)
        wave = math.sin(at + phase) + 0.5 * math.sin(2.3 * at + 2 * phase) + 0.22 * math.sin(6.1 * at + 3 * phase)
        points.append(f"{step / 160 * width:.0f},{base - wave * rough * height:.0f}")
    return f"M0,{height} L{' '.join(points)} L{width},{height} Z"


def _water(scene: Scene) -> str:
    width, height = scene.width, scene.height
    top = 0.8 * height
    lines = "".join(
        f'<rect x="{scene.x * width - length / 2:.0f}" y="{top + 14 + 26 * row:.0f}" width="{length:.0f}"'
        f' height="7" rx="3" fill="{scene.sun}" opacity="{0.75 - 0.08 * row:.2f}"/>'
        for row, length in enumerate(width * (0.08 + 0.03 * (row * 5 % 4)) for row in range(8))
    )
    return f'<rect y="{top}" width="{width}" height="{height - top}" fill="{scene.sky[1]}" opacity=".85"/>{lines}'
