"""What the search for hostile files rests on: files come apart and together again, and a mutant can be made again."""

from __future__ import annotations

import pytest

from processor.formats import DECODED
from processor.pipeline import decode
from tests.mutants.mutate import Nursery
from tests.mutants.pieces import take_apart
from tests.mutants.seeds import NAMES, seeds


def test_there_are_seeds_of_every_format() -> None:
    assert {decode.probe(data).format for data in seeds().values()} == {each.name for each in DECODED}


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_was_taken_apart_is_the_same_picture_when_it_is_put_together(name: str) -> None:
    again = take_apart(seeds()[name]).assembled()

    told, expected = decode.probe(again), decode.probe(seeds()[name])
    assert (told.width, told.height, told.frames, told.bands) == (
        *(expected.width, expected.height, expected.frames, expected.bands),
    )
    assert take_apart(again).assembled() == again


def test_a_mutant_is_the_same_each_time() -> None:
    one, other = Nursery(seeds=seeds()), Nursery(seeds=seeds())

    assert [one.mutant(7, number) for number in range(300)] == [other.mutant(7, number) for number in range(300)]


def test_mutants_go_deep() -> None:
    """Enough of them have a header that is believed; enough are something else than their seed."""
    mutants = [Nursery(seeds=seeds()).mutant(7, number) for number in range(400)]

    believed = 0
    for mutant in mutants:
        try:
            decode.probe(mutant.data)
            believed += 1
        except Exception:
            continue
    assert believed > len(mutants) / 4
    assert sum(mutant.data != seeds()[mutant.seed_name] for mutant in mutants) > len(mutants) * 0.8
