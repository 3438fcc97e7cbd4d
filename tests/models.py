"""The models that look into pictures, for tests that need their weights: `make setup` makes them."""

from __future__ import annotations

import pytest

from docs.generate import ROOT
from processor.looking.models import check_models

MODELS = ROOT / ".models"


def _why_not() -> str:
    try:
        check_models(MODELS)
    except ValueError as error:
        return str(error)
    return ""


#: Skips a test where there are no weights, and says why.
needs_models = pytest.mark.skipif(bool(_why_not()), reason=_why_not())
