"""A recipe as records keep it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.pipeline.analyses import ANALYSES
from processor.recipes import STANDARD, Recipe, VariantSpec, adapted, standard

sides = st.integers(min_value=1, max_value=20_000)
specs = st.builds(
    VariantSpec,
    name=st.from_regex(r"[a-z][a-z0-9]{0,31}", fullmatch=True),
    format=st.just("webp"),
    quality=st.integers(min_value=0, max_value=100),
    effort=st.integers(min_value=0, max_value=6),
    box=st.none() | st.tuples(sides, sides),
)
recipes = st.builds(
    Recipe,
    name=st.from_regex(r"[a-z][a-z0-9-]{0,31}", fullmatch=True),
    version=st.integers(min_value=1, max_value=999_999_999),
    specs=st.lists(specs, min_size=1, max_size=8).map(tuple),
    analyses=st.lists(st.from_regex(r"[a-z][a-z0-9]{0,31}", fullmatch=True), max_size=3, unique=True).map(tuple),
)


@given(recipes)
def test_whatever_is_asked_for_is_read_as_it_was_written(recipe: Recipe) -> None:
    assert Recipe.from_text(recipe.to_text()) == recipe


@given(recipes, recipes)
def test_recipes_of_one_digest_ask_for_the_same(one: Recipe, other: Recipe) -> None:
    assert (one.digest == other.digest) == ((one.specs, one.analyses) == (other.specs, other.analyses))


def test_a_record_says_it_so_that_people_can_read_it() -> None:
    assert STANDARD.to_text() == (
        'standard@3#7d5a03b0cb88b3f0:[["thumbnail","webp",80,4,300,300],["medium","webp",85,2,800,600],'
        '["large","webp",90,1,1920,1080],["webp","webp",84,2],"colour"]'
    )


def test_a_recipe_of_before_there_were_analyses_asks_for_none_and_keeps_its_digest() -> None:
    text = (
        'standard@1#3183a946334f5029:[["thumbnail","webp",80,2,300,300],["medium","webp",85,2,800,600],'
        '["large","webp",90,2,1920,1080],["webp","webp",85,2]]'
    )
    read = Recipe.from_text(text)
    assert read == replace(adapted([2], [80, 85, 90, 85]), version=1, analyses=())
    assert read.to_text() == text


def test_the_standard_recipe_asks_for_analyses_that_there_are() -> None:
    assert set(STANDARD.analyses) <= ANALYSES.keys()


@pytest.mark.parametrize("text", ["", "standard", "standard@1", "standard@0#0123456789abcdef:[]", "S@1#0:[]"])
def test_anything_else_is_no_recipe(text: str) -> None:
    with pytest.raises(ValueError, match="recipe"):
        Recipe.from_text(text)


def test_another_effort_or_quality_is_another_recipe_whatever_it_is_called() -> None:
    efforts = [spec.effort for spec in STANDARD.specs]
    qualities = [spec.quality for spec in STANDARD.specs]
    recipes = [STANDARD, standard(4), adapted(efforts, [70]), adapted([5, 5, 2, 1], qualities)]

    assert adapted(efforts, qualities) == STANDARD
    assert len({recipe.digest for recipe in recipes}) == len(recipes)
    assert {recipe.version for recipe in recipes} == {STANDARD.version}
    assert [spec.effort for spec in standard(4).specs] == [4] * len(STANDARD.specs)
    assert [spec.quality for spec in standard(4).specs] == qualities


def test_a_text_that_many_records_have_is_read_once() -> None:
    text = STANDARD.to_text()
    assert Recipe.from_text(text) is Recipe.from_text(str(text.encode(), "ascii"))
