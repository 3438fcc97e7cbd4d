"""A recipe as records keep it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.fits import LOOKING, Contain, Cover, Gravity, read_fit
from processor.pipeline.analyses import ANALYSES, READINGS
from processor.recipes import FURTHER, STANDARD, Effect, Recipe, VariantSpec, adapted, fitted, sharpened, standard

sides = st.integers(min_value=1, max_value=20_000)
numbers = st.integers(-(10**6), 10**6) | st.floats(allow_nan=False, allow_infinity=False)
effects = st.builds(
    Effect.of,
    st.from_regex(r"[a-z][a-z0-9-]{0,31}", fullmatch=True),
    st.dictionaries(st.from_regex(r"[a-z]{1,9}", fullmatch=True), numbers | st.text(max_size=9), max_size=3),
)
specs = st.builds(
    VariantSpec,
    name=st.from_regex(r"[a-z][a-z0-9]{0,31}", fullmatch=True),
    format=st.just("webp"),
    quality=st.integers(min_value=0, max_value=100),
    effort=st.integers(min_value=0, max_value=6),
    box=st.none(),
    effects=st.lists(effects, max_size=3).map(tuple),
)
colours = st.from_regex(r"#[0-9a-f]{6}|transparent", fullmatch=True)
fits = st.builds(Cover, gravity=st.sampled_from(Gravity)) | st.builds(
    Contain, colour=colours, gravity=st.sampled_from(sorted(set(Gravity) - LOOKING))
)
specs |= st.builds(replace, specs, box=st.tuples(sides, sides), fit=st.none() | fits)
recipes = st.builds(
    Recipe,
    name=st.from_regex(r"[a-z][a-z0-9-]{0,31}", fullmatch=True),
    version=st.integers(min_value=1, max_value=999_999_999),
    specs=st.lists(specs, min_size=1, max_size=8).map(tuple),
    analyses=st.lists(st.from_regex(r"[a-z][a-z0-9]{0,31}", fullmatch=True), max_size=3, unique=True).map(tuple),
    further=st.lists(specs.map(lambda spec: replace(spec, format="avif")), max_size=4).map(tuple),
)


@given(recipes)
def test_whatever_is_asked_for_is_read_as_it_was_written(recipe: Recipe) -> None:
    assert Recipe.from_text(recipe.to_text()) == recipe


@given(fits)
def test_a_fit_is_read_as_it_was_written(fit: Cover | Contain) -> None:
    assert read_fit(str(fit)) == fit


@pytest.mark.parametrize(
    "text",
    [
        *("", "inside:1", "stretch", "cover:", "cover:top", "cover:north:x"),
        *(
            "contain",
            "contain:red",
            "contain:#fff",
            "contain:#FFFFFF",
            "contain:#ffffff:attention",
            "contain:#ffffff:faces",
        ),
    ],
)
def test_anything_else_is_no_fit(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be|is|chooses"):
        read_fit(text)


def test_what_has_no_box_cannot_fit_into_it() -> None:
    with pytest.raises(ValueError, match="no box"):
        VariantSpec(name="whole", format="webp", quality=80, fit=Cover())


def test_a_record_says_how_a_picture_gets_into_its_box() -> None:
    recipe = fitted(STANDARD, [Cover(gravity=Gravity.ATTENTION), None, Contain(colour="#ffffff"), None])
    assert '["thumbnail","webp",81,2,300,300,"cover:attention"],["medium","webp",85,2,800,600],' in recipe.to_text()
    assert '["large","webp",90,1,1920,1080,"contain:#ffffff"],["webp","webp",84,2]' in recipe.to_text()


def test_one_fit_for_all_is_for_those_that_have_a_box_in_all_formats() -> None:
    recipe = fitted(replace(STANDARD, further=FURTHER["avif"]), [Cover()])
    assert [bool(spec.fit) for spec in (*recipe.specs, *recipe.further)] == [True, True, True, False] * 2


@given(recipes, recipes)
def test_recipes_of_one_digest_ask_for_the_same(one: Recipe, other: Recipe) -> None:
    asked = [(recipe.specs, recipe.analyses, recipe.further) for recipe in (one, other)]
    assert (one.digest == other.digest) == (asked[0] == asked[1])


def test_a_record_says_it_so_that_people_can_read_it() -> None:
    assert STANDARD.to_text() == (
        'standard@8#29ede19e6523644f:[["thumbnail","webp",81,2,300,300],["medium","webp",85,2,800,600],'
        '["large","webp",90,1,1920,1080],["webp","webp",84,2],"colour","colours","placeholder","blurhash","likeness","metadata","position"]'
    )


def test_a_recipe_of_before_there_were_analyses_asks_for_none_and_keeps_its_digest() -> None:
    text = (
        'standard@1#3183a946334f5029:[["thumbnail","webp",80,2,300,300],["medium","webp",85,2,800,600],'
        '["large","webp",90,2,1920,1080],["webp","webp",85,2]]'
    )
    read = Recipe.from_text(text)
    assert read == replace(adapted([2], [80, 85, 90, 85]), version=1, analyses=())
    assert read.to_text() == text


def test_a_record_says_which_effects_each_variant_has_in_their_order() -> None:
    thumbnail = STANDARD.specs[0]
    blurred = Effect.of("blur", {"sigma": 2.0, "edges": "keep"})
    recipe = replace(sharpened(STANDARD, [0.8, 0, 0, 1.5]), name="crisp", version=1)
    recipe = replace(recipe, specs=(replace(thumbnail, effects=(blurred, *recipe.specs[0].effects)), *recipe.specs[1:]))

    assert recipe.to_text().partition(":")[2] == (
        '[["thumbnail","webp",81,2,300,300,["blur",{"edges":"keep","sigma":2}],["sharpen",{"sigma":0.8}]],'
        '["medium","webp",85,2,800,600],["large","webp",90,1,1920,1080],'
        '["webp","webp",84,2,["sharpen",{"sigma":1.5}]],"colour","colours","placeholder","blurhash","likeness","metadata","position"]'
    )
    assert Recipe.from_text(recipe.to_text()) == recipe
    assert sharpened(STANDARD, [0]) == STANDARD


def test_what_is_asked_of_an_effect_has_one_digest_however_it_was_written() -> None:
    one, other = (
        replace(STANDARD, specs=tuple(replace(spec, effects=(effect,)) for spec in STANDARD.specs))
        for effect in (Effect.of("x", {"a": 1, "b": 2.0}), Effect.of("x", {"b": 2, "a": 1.0}))
    )
    assert (one, one.digest) == (other, other.digest)
    assert one.digest != STANDARD.digest


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_parameter_is_a_number_that_json_can_say(number: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        Effect.of("sharpen", {"sigma": number})


def test_the_standard_recipe_asks_for_analyses_that_there_are() -> None:
    assert set(STANDARD.analyses) <= ANALYSES.keys() | READINGS.keys()


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


def test_a_further_format_has_the_variants_of_the_recipe_and_is_asked_for_beside_them() -> None:
    recipe = replace(STANDARD, further=FURTHER["avif"])

    assert recipe.further_formats == ("avif",)
    assert recipe.specs == STANDARD.specs
    assert recipe.digest != STANDARD.digest
    avif = recipe.in_format("avif")
    assert [(spec.name, spec.box) for spec in avif.specs] == [(spec.name, spec.box) for spec in STANDARD.specs]
    assert {spec.content_type for spec in avif.specs} == {"image/avif"}
    assert (avif.analyses, avif.further) == ((), ())
    assert '["thumbnail","+avif",' in recipe.to_text()
