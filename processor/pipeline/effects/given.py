"""What an effect may use besides its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from processor.faces import Face
from processor.facts import Facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What is known of the picture, and what its tenant has stored for effects."""

    #: What the analyses of the recipe found.
    facts: Facts = field(default_factory=Facts)
    #: Where something must be hidden, as fractions of the upright picture.
    hidden: tuple[Face, ...] = ()
    #: Files of assets by digest: all that the recipe names.
    assets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
