"""Every component has settings of its own; the whole configuration is made of them, and is each of them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pydantic import BaseModel

from processor.fits import Contain, Cover, Fit, Gravity
from processor.recipes import FURTHER, STANDARD, sharpened
from processor.stores.config import AwsCredentials
from service.config import Settings, SettingsError
from tests.unit.service.test_config import REQUIRED

PARTS = [part for part in Settings.__mro__ if issubclass(part, BaseModel) and part not in (Settings, BaseModel)]


SQUARE = Cover(gravity=Gravity.ATTENTION)


def settings(**given: str) -> Settings:
    return Settings.from_env(REQUIRED | given)


def test_no_setting_stands_outside_a_component_and_none_in_two() -> None:
    names = [name for part in PARTS for name in part.model_fields]
    assert sorted(names) == sorted(Settings.model_fields)
    assert len(names) == len(set(names))


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
def test_every_setting_has_a_variable_and_says_what_it_is_for(part: type[BaseModel]) -> None:
    for name, field in part.model_fields.items():
        assert field.alias == name.upper()
        assert field.description


def test_the_clients_of_aws_get_what_was_set_of_it() -> None:
    given = settings(AWS_REGION="eu-west-1", AWS_ENDPOINT_URL="http://127.0.0.1:1", ROLE_SESSION_SECONDS="7200")
    credentials = AwsCredentials(access_key_id="a", secret_access_key="b")
    config = given.aws(credentials)
    assert (config.region, config.endpoint_url, config.role_session_seconds) == (
        "eu-west-1",
        "http://127.0.0.1:1",
        7200,
    )
    assert config.credentials is credentials
    assert given.aws().credentials is None


@pytest.mark.parametrize(
    ("given", "serves", "converts"),
    [("", True, True), ("api", True, False), ("worker", False, True), (" worker , api ", True, True)],
)
def test_a_process_does_both_unless_it_is_told_what_to_do(given: str, serves: bool, converts: bool) -> None:
    roles = settings(ROLES=given)
    assert (roles.serves, roles.converts) == (serves, converts)


@pytest.mark.parametrize("given", [",", "reader", "api,reader", "API"])
def test_a_role_that_there_is_not_is_named(given: str) -> None:
    with pytest.raises(SettingsError, match="ROLES: got"):
        settings(ROLES=given)


def test_who_converts_nothing_needs_no_memory_for_images_and_does_not_know_the_budget_of_others() -> None:
    api = settings(ROLES="api").affordable(64 * 1024 * 1024)
    assert api.told_conversion_budget_bytes is None
    told = settings(ROLES="api", MEMORY_BUDGET_BYTES=str(2**30)).affordable(64 * 1024 * 1024)
    assert told.told_conversion_budget_bytes == 2**30 - told.max_upload_bytes
    with pytest.raises(SettingsError, match="MEMORY_BUDGET_BYTES"):
        settings(ROLES="worker").affordable(64 * 1024 * 1024)


def test_the_worker_gets_one_slot_more_than_there_are_threads_unless_it_is_told_another_number() -> None:
    assert settings(WORKER_THREADS="3").worker.slots == 4
    assert settings(WORKER_THREADS="3").worker.ahead == 40
    config = settings(WORKER_SLOTS="9", QUEUE_WAIT_SECONDS="1", VISIBILITY_SECONDS="30").worker
    assert (config.slots, config.wait_seconds, config.visibility_seconds) == (9, 1, 30)


def test_the_pipeline_gets_every_limit_of_a_file_and_records_are_kept_for_days() -> None:
    given = settings(
        MAX_UPLOAD_BYTES="1",
        MAX_PIXELS="2",
        MAX_SIDE="3",
        MAX_FRAMES="4",
        PROCESS_TIMEOUT_SECONDS="5",
        RETENTION_DAYS="6",
    )
    limits = given.file_limits
    assert (limits.max_bytes, limits.max_pixels, limits.max_side, limits.max_frames, limits.timeout_seconds) == (
        *(1, 2, 3, 4),
        5,
    )
    assert given.retention == timedelta(days=6)


@pytest.mark.parametrize(
    ("given", "efforts", "qualities"),
    [
        ({}, [2, 2, 1, 2], [81, 85, 90, 84]),
        ({"WEBP_EFFORT": "4"}, [4, 4, 4, 4], [81, 85, 90, 84]),
        ({"WEBP_EFFORT": "6, 5,1,0", "WEBP_QUALITY": "75"}, [6, 5, 1, 0], [75, 75, 75, 75]),
        ({"WEBP_QUALITY": "80,85,90,85"}, [2, 2, 1, 2], [80, 85, 90, 85]),
    ],
)
def test_the_recipe_has_an_effort_and_a_quality_for_each_variant_or_one_for_all(
    given: dict[str, str], efforts: list[int], qualities: list[int]
) -> None:
    recipe = settings(**given).recipe

    assert [spec.effort for spec in recipe.specs] == efforts
    assert [spec.quality for spec in recipe.specs] == qualities
    assert [spec.name for spec in recipe.specs] == [spec.name for spec in STANDARD.specs]


@pytest.mark.parametrize(
    ("given", "sigmas"),
    [({}, [0, 0, 0, 0]), ({"SHARPEN_SIGMA": "0.5"}, [0.5] * 4), ({"SHARPEN_SIGMA": "0.8, 0.5,0,0"}, [0.8, 0.5, 0, 0])],
)
def test_the_recipe_sharpens_what_it_is_told_to(given: dict[str, str], sigmas: list[float]) -> None:
    assert settings(**given).recipe == sharpened(STANDARD, sigmas)


@pytest.mark.parametrize(
    ("given", "fits"),
    [
        ("inside", [None] * 4),
        ("cover", [Cover(), Cover(), Cover(), None]),
        ("cover:attention, inside,contain:#ffffff,inside", [SQUARE, None, Contain(colour="#ffffff"), None]),
    ],
)
def test_pictures_get_into_their_boxes_as_they_are_told_to(given: str, fits: list[Fit | None]) -> None:
    assert [spec.fit for spec in settings(VARIANT_FIT=given).recipe.specs] == fits


@pytest.mark.parametrize("given", ["webp,avif", "avif, webp"])
def test_a_further_format_has_the_variants_of_the_recipe_with_numbers_of_its_own(given: str) -> None:
    recipe = settings(OUTPUT_FORMATS=given, AVIF_EFFORT="1", AVIF_QUALITY="50,55,60,65", SHARPEN_SIGMA="0.5").recipe

    assert recipe.specs == sharpened(STANDARD, [0.5]).specs
    assert recipe.further_formats == ("avif",)
    assert [(spec.name, spec.box, spec.effects) for spec in recipe.further] == [
        (spec.name, spec.box, spec.effects) for spec in recipe.specs
    ]
    assert [(spec.effort, spec.quality) for spec in recipe.further] == [(1, 50), (1, 55), (1, 60), (1, 65)]


def test_by_default_there_is_no_further_format_and_the_recipe_is_what_it_was() -> None:
    assert settings(AVIF_EFFORT="4").recipe == STANDARD
    assert settings(OUTPUT_FORMATS="webp,avif").recipe.further == FURTHER["avif"]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OUTPUT_FORMATS", "avif"),
        ("OUTPUT_FORMATS", "webp,jpeg"),
        ("OUTPUT_FORMATS", "webp,webp"),
        ("OUTPUT_FORMATS", "webp,"),
        ("OUTPUT_FORMATS", "WEBP"),
        ("AVIF_EFFORT", "7"),
        ("AVIF_QUALITY", "0,1,2,3"),
        ("WEBP_EFFORT", "7"),
        ("WEBP_EFFORT", "-1"),
        ("WEBP_EFFORT", "5,2"),
        ("WEBP_EFFORT", "5,5,2,2,2"),
        ("WEBP_EFFORT", "5,5,2,"),
        ("WEBP_EFFORT", "fast"),
        ("WEBP_EFFORT", "5,5,2,7"),
        ("WEBP_QUALITY", "0"),
        ("WEBP_QUALITY", "80,85,90,101"),
        ("SHARPEN_SIGMA", "0.1"),
        ("SHARPEN_SIGMA", "3.5"),
        ("SHARPEN_SIGMA", "-1"),
        ("SHARPEN_SIGMA", "1,1"),
        ("SHARPEN_SIGMA", "crisp"),
        ("SHARPEN_SIGMA", "nan"),
        ("VARIANT_FIT", "stretch"),
        ("VARIANT_FIT", "cover:top"),
        ("VARIANT_FIT", "contain"),
        ("VARIANT_FIT", "cover,cover"),
        ("VARIANT_FIT", "cover,cover,cover,cover"),
    ],
)
def test_anything_else_is_named_as_it_was_given(variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=rf"^{variable}: got '{value}'; [a-z]") as caught:
        settings(**{variable: value})
    assert len(str(caught.value).splitlines()) == 1


def test_the_keys_of_the_pool_lie_below_its_issuer_unless_another_place_is_named() -> None:
    issuer = "https://cognito-idp.eu-west-1.amazonaws.com/pool"
    given = {"AUTH_MODES": "cognito", "COGNITO_ISSUER": issuer, "COGNITO_CLIENT_IDS": "app"}
    assert settings(**given).jwks_url == f"{issuer}/.well-known/jwks.json"
    assert settings(**given, COGNITO_JWKS_URL="https://keys.example/all").jwks_url == "https://keys.example/all"
    assert (settings(**given).cognito.issuer, settings(**given).cognito.client_ids) == (issuer, frozenset({"app"}))
