"""The account of a soak does not forgive."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.soak_account import Account, outcomes_in, quantiles
from benchmarks.soak_client import HOSTILE, deck


@pytest.mark.parametrize("figure", ["lost", "stuck", "wrong", "orphans", "differences", "messages", "dead_letters"])
def test_an_account_with_anything_left_is_not_clean(figure: str) -> None:
    account = Account()
    assert account.clean
    setattr(account, figure, 1)
    assert not account.clean


def test_outcomes_are_counted_from_the_logs_of_every_process(tmp_path: Path) -> None:
    lines = ({"event": "Event handled", "outcome": outcome} for outcome in ("completed", "duplicate", "duplicate"))
    log = tmp_path / "a.log"
    log.write_text("\n".join([*map(json.dumps, lines), json.dumps({"event": "Service started"}), "no JSON"]))
    assert outcomes_in([log, log]) == {"completed": 2, "duplicate": 4}


def test_quantiles_are_of_what_was_measured() -> None:
    assert quantiles([]) == {}
    assert quantiles([float(n) for n in range(1, 101)]) == {"p50": 50.5, "p95": 96.0, "p99": 100.0}


@pytest.mark.slow
def test_every_file_of_a_soak_has_an_end_that_is_known_beforehand() -> None:
    files = deck()
    assert {file.end for kind in ("photo", "small") for file in files[kind]} == {"completed"}
    assert len(files["hostile"]) == len(HOSTILE)
    assert all(file.end not in ("", "completed") for file in files["hostile"])
