"""Light and its code values, as sRGB (IEC 61966-2-1) relates them."""

from __future__ import annotations

from processor.pipeline.steps.glance import WHITE


def linear(sample: int) -> float:
    """A code value as light, 0 to 1."""
    value = sample / WHITE
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4  # noqa: PLR2004 - see above


def coded(light: float) -> int:
    """The inverse."""
    value = min(1.0, max(0.0, light))
    curved = value * 12.92 if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055  # noqa: PLR2004 - see above
    return int(curved * WHITE + 0.5)


#: The light of each code value.
LIGHT = tuple(linear(sample) for sample in range(WHITE + 1))
