"""Presets by the API: written after a test picture, chosen by name, foretold, previewed, and one's own alone."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import pyvips

from processor.catalog import previews
from processor.errors import Unavailable
from processor.pipeline.analyses import LOOKS
from processor.ports.objects import MultipartUpload
from processor.recipes import STANDARD
from service.auth.principal import Scope
from service.calls import backfills, pictures
from service.calls import presets as module
from service.calls.preset_documents import MAX_VARIANTS
from service.limits.open_calls import PREVIEWS
from tests import corpus
from tests.integration.http.conftest import CDN, Ask, Client, World
from tests.integration.http.test_access import key_of
from tests.models import MODELS, needs_models

PATH = "/images/presets"
AVATAR = {"variants": [{"name": "square", "width": 64, "height": 64, "fit": "cover", "gravity": "attention"}]}

Serve = Callable[..., Awaitable[Client]]
Submit = Callable[..., Awaitable[Any]]


def document(**given: Any) -> dict[str, Any]:
    """A document whose only variant has these fields besides its name."""
    return {"variants": [{"name": "one", **given}]}


async def put(ask: Ask, name: str = "avatar", content: Any = AVATAR, **headers: str) -> tuple[int, Any, Any]:
    status, told, body = await ask("PUT", f"{PATH}/{name}", json=content, headers=headers)
    return status, told, body


def picture(width: int = 160, height: int = 90) -> bytes:
    return corpus.jpeg(corpus.photo(width, height))


def decoded(file: dict[str, Any]) -> pyvips.Image:
    found: pyvips.Image = pyvips.Image.new_from_buffer(base64.b64decode(file["data"]), "")
    return found


# -- documents ------------------------------------------------------------------------------------------------------


async def test_a_preset_is_written_shown_listed_changed_and_deleted(ask: Ask) -> None:
    status, headers, first = await put(ask)
    assert (status, first["version"], first["builtIn"]) == (201, 1, False)
    assert first["document"]["variants"] == [
        {
            "name": "square",
            "width": 64,
            "height": 64,
            "fit": "cover",
            "gravity": "attention",
            "formats": ["webp"],
            "quality": {"webp": 85},
            "effort": {"webp": 2},
            "effects": [],
        }
    ]
    assert first["document"]["analyses"] == list(STANDARD.analyses)
    assert first["createdBy"] == "anonymous"
    assert 0.2 < first["cpuSeconds"] < 0.5
    status, shown_headers, shown = await ask("GET", f"{PATH}/avatar")
    assert (status, shown, shown_headers["ETag"]) == (200, first, headers["ETag"])
    status, _, second = await put(ask, content=document())
    assert (status, second["version"]) == (201, 2)
    assert (await ask("GET", f"{PATH}/avatar?version=1"))[2] == first
    assert (await ask("GET", f"{PATH}/avatar/versions"))[2] == {"versions": [second, first], "count": 2}
    _, _, listed = await ask("GET", PATH)
    assert [each["name"] for each in listed["presets"]] == ["standard", "avatar"]
    assert listed["default"] == "standard"
    assert (await ask("DELETE", f"{PATH}/avatar"))[:1] == (200,)
    for path in (f"{PATH}/avatar", f"{PATH}/avatar?version=1", f"{PATH}/avatar/versions", f"{PATH}/no%20name"):
        status, _, problem = await ask("GET", path)
        assert (status, problem["code"]) == (404, "preset_not_found")


async def test_the_document_that_is_shown_makes_no_new_version_when_it_is_written_again(ask: Ask) -> None:
    content = {
        "variants": [
            {"name": "full", "formats": ["avif", "webp"], "effort": {"avif": 0}},
            {"name": "wide", "width": 300, "quality": 70},
            {"name": "tall", "height": 200},
            {"name": "boxed", "width": 90, "height": 80, "fit": "contain", "colour": "transparent", "gravity": "south"},
            {"name": "sharp", "width": 40, "height": 40, "sharpen": 0.8},
        ],
        "analyses": ["placeholder", "colour"],
        "keep": ["profile", "copyright"],
    }
    status, _, first = await put(ask, content=content)
    assert status == 201
    assert [each["name"] for each in first["document"]["variants"]] == ["sharp", "boxed", "tall", "wide", "full"]
    assert first["document"]["variants"][-1]["quality"] == {"webp": 85, "avif": 65}
    assert first["document"]["variants"][0]["effects"] == [{"name": "sharpen", "sigma": 0.8}]
    assert first["document"]["keep"] == ["copyright", "profile"]
    for again in (first["document"], content):
        status, _, shown = await put(ask, content=again)
        assert (status, shown) == (200, first)


async def test_standard_is_there_and_is_not_changed(ask: Ask) -> None:
    status, _, shown = await ask("GET", f"{PATH}/standard")
    assert (status, shown["version"], shown["builtIn"]) == (200, STANDARD.version, True)
    assert shown["cpuSeconds"] == pytest.approx(0.81, abs=0.02)  # as docs/performance.md measures it
    sizes = [(each["name"], each["width"], each["height"]) for each in shown["document"]["variants"]]
    assert sizes == [("thumbnail", 300, 300), ("medium", 800, 600), ("large", 1920, 1080), ("webp", None, None)]
    for method, content in (("PUT", shown["document"]), ("DELETE", None)):
        status, _, problem = await ask(method, f"{PATH}/standard", json=content)
        assert (status, problem["code"]) == (409, "preset_built_in")


async def test_two_writers_do_not_overwrite_each_other(ask: Ask) -> None:
    _, headers, _ = await put(ask, **{"If-None-Match": "*"})
    status, _, problem = await put(ask, content=document(), **{"If-None-Match": "*"})
    assert (status, problem["code"]) == (412, "preset_changed")
    status, _, _ = await put(ask, content=document(), **{"If-Match": headers["ETag"]})
    assert status == 201
    for method, content in (("PUT", document(width=9)), ("DELETE", None)):
        status, _, problem = await ask(method, f"{PATH}/avatar", json=content, headers={"If-Match": headers["ETag"]})
        assert (status, problem["code"]) == (412, "preset_changed")
    status, _, problem = await put(ask, "other", **{"If-Match": "*"})
    assert (status, problem["code"]) == (412, "preset_changed")


async def test_whoever_has_the_answer_gets_no_body(client: Client, ask: Ask) -> None:
    _, headers, _ = await put(ask)
    async with client.get(f"{PATH}/avatar", headers={"If-None-Match": headers["ETag"]}) as answer:
        assert (answer.status, await answer.read(), answer.headers["ETag"]) == (304, b"", headers["ETag"])


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ({"variants": []}, "variants"),
        ({}, "variants"),
        ({"variants": [{"name": "a"}, {"name": "a", "width": 3}]}, ""),
        ({"variants": [{"name": f"v{number}", "width": 9} for number in range(MAX_VARIANTS + 1)]}, "variants"),
        (document(name="manifest"), "variants.0.name"),
        (document(name="Upper"), "variants.0.name"),
        (document(name="../x"), "variants.0.name"),
        (document(widht=9), "variants.0.widht"),
        (document(width=0), "variants.0.width"),
        (document(width=16384), "variants.0.width"),
        (document(width="9"), "variants.0.width"),
        (document(fit="cover"), "variants.0"),
        (document(fit="cover", width=9), "variants.0"),
        (document(fit="contain", width=9, height=4097), "variants.0"),
        (document(fit="contain", width=9, height=9, gravity="attention"), "variants.0"),
        (document(fit="contain", width=9, height=9, colour="white"), "variants.0.colour"),
        (document(colour="#ffffff"), "variants.0"),
        (document(gravity="north"), "variants.0"),
        (document(formats=["avif"]), "variants.0.formats"),
        (document(formats=["webp", "jxl"]), "variants.0.formats.1"),
        (document(quality=0), "variants.0.quality.webp"),
        (document(quality={"avif": 50}), "variants.0"),
        (document(effort=7), "variants.0.effort.webp"),
        (document(sharpen=9), "variants.0.sharpen"),
        (document(effects=[{"name": "emboss"}]), "variants.0.effects.0"),
        (document(effects=[{"name": "sharpen"}]), "variants.0.effects.0"),
        (document(effects=[{"name": "sharpen", "sigma": True}]), "variants.0.effects.0"),
        (document(effects=[{"name": "sharpen", "sigma": 1, "more": 1}]), "variants.0.effects.0"),
        (document(effects=[{"name": "sharpen", "sigma": 1}] * 5), "variants.0.effects"),
        ({**AVATAR, "analyses": ["moods"]}, "analyses"),
        ({**AVATAR, "keep": ["everything"]}, "keep.0"),
        ({**AVATAR, "more": 1}, "more"),
        (document(formats=["webp", "avif"], effort={"avif": 6}), ""),  # half a minute for a photograph
    ],
    ids=str,
)
async def test_what_is_no_preset_is_refused_with_the_field_that_is_wrong(ask: Ask, content: Any, field: str) -> None:
    status, _, problem = await put(ask, content=content)
    assert (status, problem["code"]) == (400, "invalid_request"), problem
    assert problem["errors"][0]["field"].startswith(field), problem
    assert (await ask("GET", f"{PATH}/avatar"))[0] == 404


async def test_what_is_not_installed_is_refused_by_its_own_code(ask: Ask) -> None:
    content = document(width=9, height=9, fit="cover", gravity="faces")
    status, _, problem = await put(ask, content=content)
    assert (status, problem["code"]) == (400, "looking_not_installed")
    body = {"document": content, "picture": base64.b64encode(picture()).decode()}
    status, _, problem = await ask("POST", f"{PATH}/preview", json=body)
    assert (status, problem["code"]) == (400, "looking_not_installed")


async def test_an_analysis_that_needs_a_model_is_refused_where_there_is_none_and_listed_as_off(ask: Ask) -> None:
    content = {**AVATAR, "analyses": ["faces", "colour"]}
    status, _, problem = await put(ask, content=content)
    assert (status, problem["code"]) == (400, "looking_not_installed")
    assert problem["detail"].startswith("`faces` needs the models that look into pictures")
    body = {"document": content, "picture": base64.b64encode(picture()).decode()}
    status, _, problem = await ask("POST", f"{PATH}/preview", json=body)
    assert (status, problem["code"]) == (400, "looking_not_installed")
    _, _, limits = await ask("GET", "/images/limits")
    assert limits["looking"] == dict.fromkeys(LOOKS, False)


@needs_models
async def test_an_analysis_that_needs_a_model_is_taken_where_there_is_one(serve: Serve) -> None:
    client = await serve(models_dir=MODELS)
    async with client.put(f"{PATH}/faces", json={**AVATAR, "analyses": ["faces"]}) as response:
        assert response.status == 201
    async with client.get("/images/limits") as response:
        assert (await response.json())["looking"] == dict.fromkeys(LOOKS, True)


async def test_hidden_faces_are_asked_for_all_variants_at_once_and_where_a_model_can_look(ask: Ask) -> None:
    status, _, problem = await put(ask, content={**AVATAR, "blurFaces": "pixels"})
    assert (status, problem["code"]) == (400, "looking_not_installed")
    for content in (
        {**AVATAR, "blurFaces": "none"},
        document(effects=[{"name": "blurFaces", "style": "pixels"}]),
    ):
        status, _, problem = await put(ask, content=content)
        assert (status, problem["code"]) == (400, "invalid_request")


@needs_models
async def test_a_preset_that_hides_faces_is_shown_as_it_was_written(serve: Serve) -> None:
    client = await serve(models_dir=MODELS)
    content = {"variants": [{"name": "full", "formats": ["webp", "avif"], "sharpen": 1}], "blurFaces": "soft"}
    async with client.put(f"{PATH}/street", json=content) as response:
        first = await response.json()
        assert response.status == 201, first
    assert first["document"]["blurFaces"] == "soft"
    assert first["document"]["variants"][0]["effects"] == [{"name": "sharpen", "sigma": 1}]
    async with client.put(f"{PATH}/street", json=first["document"]) as response:
        assert (response.status, await response.json()) == (200, first)


async def test_a_moderation_is_asked_for_where_a_model_can_look_and_by_scores_that_there_are(ask: Ask) -> None:
    status, _, problem = await put(ask, content={**AVATAR, "moderation": {"nsfw": 0.8}})
    assert (status, problem["code"]) == (400, "looking_not_installed")
    assert problem["detail"].startswith("`nsfw` needs the models that look into pictures")
    for scores in ({"drugs": 0.8}, {"nsfw": 1.1}, {"nsfw": -0.1}, {"nsfw": "high"}, {"nsfw": None}, 0.8):
        status, _, problem = await put(ask, content={**AVATAR, "moderation": scores})
        assert (status, problem["code"]) == (400, "invalid_request")
        assert problem["errors"][0]["field"].startswith("moderation"), problem


@needs_models
async def test_a_preset_with_a_moderation_is_shown_as_it_was_written(serve: Serve) -> None:
    client = await serve(models_dir=MODELS)
    content = {"variants": [{"name": "full"}], "moderation": {"nsfw": 0.8}, "review": True}
    async with client.put(f"{PATH}/shop", json=content) as response:
        first = await response.json()
        assert response.status == 201, first
    assert (first["document"]["moderation"], first["document"]["review"]) == ({"nsfw": 0.8}, True)
    assert "nsfw" not in first["document"]["analyses"]
    async with client.put(f"{PATH}/shop", json=first["document"]) as response:
        assert (response.status, await response.json()) == (200, first)
    async with client.put(f"{PATH}/shop", json={**first["document"], "moderation": {"nsfw": 0.7}}) as response:
        assert (response.status, (await response.json())["version"]) == (201, 2)
    async with client.put(f"{PATH}/shop", json={"variants": [{"name": "full"}], "moderation": {}}) as response:
        assert "moderation" not in (await response.json())["document"]


@pytest.mark.parametrize("name", ["Avatar", "1a", "a_b", "preview", "a" * 33])
async def test_a_name_that_no_preset_can_have_is_refused(ask: Ask, name: str) -> None:
    status, _, problem = await put(ask, name)
    assert (status, problem["errors"][0]["field"]) == (400, "name")


async def test_nothing_is_saved_that_the_test_picture_cannot_be_made_with(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "sample_picture", lambda: b"no picture")
    status, _, problem = await put(ask)
    assert (status, problem["code"]) == (400, "preset_unusable")
    assert (await ask("GET", f"{PATH}/avatar"))[0] == 404


async def test_who_may_not_write_them_may_still_see_and_use_them(serve: Serve, world: World) -> None:
    client = await serve(locked=True)
    admin = await key_of(world, Scope.ADMIN)
    user = await key_of(world, Scope.READ, Scope.WRITE)
    async with client.put(f"{PATH}/avatar", json=AVATAR, headers=user) as answer:
        assert answer.status == 403
    async with client.put(f"{PATH}/avatar", json=AVATAR, headers=admin) as answer:
        assert answer.status == 201
    async with client.get(f"{PATH}/avatar", headers=user) as answer:
        assert answer.status == 200
    upload = {"filename": "a.jpg", "preset": "avatar"}
    async with client.post("/images/upload-url", json=upload, headers=user) as answer:
        assert (await answer.json())["preset"] == "avatar"
    other = await key_of(world, Scope.ADMIN, tenant="other")
    for method, path in (("GET", f"{PATH}/avatar"), ("DELETE", f"{PATH}/avatar"), ("GET", f"{PATH}/avatar/versions")):
        async with client.request(method, path, headers=other) as answer:
            assert answer.status == 404
    async with client.post("/images/upload-url", json=upload, headers=other) as answer:
        assert (await answer.json())["code"] == "preset_not_found"


# -- uploads --------------------------------------------------------------------------------------------------------


async def test_urls_are_foretold_for_any_preset(ask: Ask, submit: Submit, world: World) -> None:
    await put(
        ask, content={"variants": [{"name": "square", "width": 9, "height": 9}, {"name": "wide_2x", "width": 99}]}
    )
    answer = await submit(preset="avatar")
    assert (answer["preset"], answer["presetVersion"]) == ("avatar", 1)
    folder = f"{CDN}/processed/{answer['uniqueId']}/{answer['processingId']}"
    assert answer["processedImageUrls"] == {"square": f"{folder}/square.webp", "wide_2x": f"{folder}/wide_2x.webp"}
    assert answer["processedImageUrl"] == f"{folder}/wide_2x.webp"
    _, _, job = await ask("GET", f"/images/status/{answer['processingId']}")
    assert (job["preset"], job["presetVersion"]) == ("avatar", 1)
    _, _, listed = await ask("GET", "/images/list")
    assert listed["images"][0]["preset"] == "avatar"


@pytest.mark.parametrize(
    ("method", "path", "asked"),
    [
        ("GET", "/images/upload-url?filename=a.jpg&preset=avatar", None),
        ("POST", "/images/multipart", {"filename": "a.jpg", "size": 10, "preset": "avatar"}),
        ("GET", "/images/s3/params?filename=a.jpg&metadata[preset]=avatar&metadata[album]=x", None),
        ("POST", "/images/s3/multipart", {"filename": "a.jpg", "metadata": {"preset": "avatar", "album": "x"}}),
        ("POST", "/images/s3/multipart", {"filename": "a.jpg", "preset": "avatar"}),
        ("POST", "/images/batch/upload-urls", {"uploads": [{"filename": "a.jpg", "preset": "avatar"}]}),
    ],
    ids=str,
)
async def test_every_kind_of_upload_takes_a_preset_and_refuses_one_that_is_not_there(
    ask: Ask, world: World, method: str, path: str, asked: Any
) -> None:
    status, _, refused = await ask(method, path, json=asked)
    problem = refused["results"][0]["problem"] if "results" in refused else refused
    assert (problem["status"], problem["code"]) == (404, "preset_not_found")
    assert world.jobs.count == 0
    await put(ask)
    status, _, answer = await ask(method, path, json=asked)
    answer = answer["results"][0]["answer"] if "results" in answer else answer
    assert status in (200, 201)
    job = await world.jobs.job_of_any_tenant(answer["processingId"])
    assert job.shown.preset == "avatar"
    assert "preset" not in job.metadata


async def test_the_default_is_chosen_by_a_call(ask: Ask, submit: Submit) -> None:
    status, _, problem = await ask("PATCH", PATH, json={"default": "avatar"})
    assert (status, problem["code"]) == (404, "preset_not_found")
    await put(ask)
    assert (await ask("PATCH", PATH, json={"default": "avatar"}))[2] == {"default": "avatar", "private": False}
    assert (await ask("GET", PATH))[2]["default"] == "avatar"
    assert (await submit())["preset"] == "avatar"
    assert (await submit(preset="standard"))["preset"] == "standard"
    status, _, problem = await ask("DELETE", f"{PATH}/avatar")
    assert (status, problem["code"]) == (409, "preset_in_use")
    await ask("PATCH", PATH, json={"default": "standard"})
    assert (await submit())["preset"] == "standard"


async def test_an_upload_for_uppy_ends_where_its_preset_has_its_largest_variant(ask: Ask, world: World) -> None:
    await put(ask)
    _, _, started = await ask("POST", "/images/s3/multipart", json={"filename": "a.jpg", "preset": "avatar"})
    job = await world.jobs.job_of_any_tenant(started["processingId"])
    assert job.terms is not None
    assert job.terms.multipart is not None
    upload = MultipartUpload(key=job.original_key, upload_id=job.terms.multipart)
    await world.source.put_part(upload, 1, b"x" * 10)
    (part,) = await world.source.list_parts(upload)
    done = {"parts": [{"PartNumber": 1, "ETag": part.etag}]}
    path = f"/images/s3/multipart/{started['uploadId']}/complete?key={started['key']}"
    status, _, finished = await ask("POST", path, json=done)
    assert (status, finished["location"].rpartition("/")[2]) == (200, "square.webp")


async def test_an_image_is_processed_again_with_another_preset(ask: Ask, submit: Submit, world: World) -> None:
    await put(ask)
    upload = await submit()
    await world.complete(upload["processingId"])
    path = f"/images/process/{upload['uniqueId']}"
    status, _, problem = await ask("POST", path, json={"preset": "nothing"})
    assert (status, problem["code"]) == (404, "preset_not_found")
    status, _, answer = await ask("POST", path, json={"preset": "avatar"})
    assert (status, answer["preset"], answer["presetVersion"]) == (202, "avatar", 1)
    _, _, shown = await ask("GET", f"/images/processed/{upload['uniqueId']}")
    assert (shown["preset"], shown["count"]) == ("standard", 4)
    many = {"uniqueIds": [upload["uniqueId"]], "preset": "standard"}
    _, _, batch = await ask("POST", "/images/batch/process", json=many)
    assert batch["results"][0]["answer"]["preset"] == "standard"
    status, _, problem = await ask("POST", path, json={"perset": "avatar"})
    assert (status, problem["code"]) == (400, "invalid_request")
    assert (await ask("POST", path))[0] == 202


async def test_a_bulk_job_takes_a_preset(ask: Ask) -> None:
    asked = {"filter": {"all": True}, "preset": "avatar"}
    status, _, problem = await ask("POST", "/images/batch/process", json=asked)
    assert (status, problem["code"]) == (404, "preset_not_found")
    await put(ask)
    status, _, answer = await ask("POST", "/images/batch/process", json=asked)
    assert (status, answer["preset"]) == (202, "avatar")


async def test_local_variants_are_served_under_every_name(serve: Serve, world: World) -> None:
    client = await serve(local_viewer=True)
    job = await world.submit("default")
    key = f"processed/{job.unique_id}/{job.processing_id}/wide_2x-a.webp"
    await world.processed.put(key, b"webp", content_type="image/webp")
    async with client.get(f"/{key}") as answer:
        assert (answer.status, answer.content_type) == (200, "image/webp")


# -- previews -------------------------------------------------------------------------------------------------------


async def test_a_posted_picture_comes_back_in_all_variants_and_formats(ask: Ask, world: World) -> None:
    content = {
        "variants": [
            {"name": "square", "width": 50, "height": 50, "fit": "cover", "formats": ["webp", "avif"]},
            {"name": "full"},
        ]
    }
    body = {"document": content, "picture": base64.b64encode(picture()).decode()}
    status, _, answer = await ask("POST", f"{PATH}/preview", json=body, headers={"Idempotency-Key": "k"})
    assert status == 200
    found = [(each["name"], each["format"], each["width"], each["height"]) for each in answer["variants"]]
    assert found == [("square", "webp", 50, 50), ("full", "webp", 160, 90), ("square", "avif", 50, 50)]
    assert [(decoded(each).width, decoded(each).height) for each in answer["variants"]] == [
        (50, 50),
        (160, 90),
        (50, 50),
    ]
    assert [len(base64.b64decode(each["data"])) for each in answer["variants"]] == [
        each["size"] for each in answer["variants"]
    ]
    assert (await world.processed.list(""), world.jobs.count) == ([], 0)
    assert (await ask("GET", PATH))[2]["count"] == 1


async def test_a_preview_is_made_anew_whatever_its_idempotency_key_is(ask: Ask) -> None:
    seen = []
    for width in (160, 80):
        body = {"preset": "standard", "picture": base64.b64encode(picture(width)).decode()}
        status, headers, answer = await ask("POST", f"{PATH}/preview", json=body, headers={"Idempotency-Key": "k"})
        assert (status, headers.get("Idempotent-Replayed")) == (200, None)
        seen.append(max(each["width"] for each in answer["variants"]))
    assert seen == [160, 80]


async def test_an_image_is_previewed_by_its_id_with_a_preset_by_its_name(
    ask: Ask, submit: Submit, world: World
) -> None:
    await put(ask)
    upload = await submit()
    body = {"preset": "avatar", "uniqueId": upload["uniqueId"]}
    status, _, problem = await ask("POST", f"{PATH}/preview", json=body)
    assert (status, problem["code"]) == (409, "not_uploaded")
    await world.upload(upload["processingId"])
    await world.source.put(upload["key"], picture())
    status, _, answer = await ask("POST", f"{PATH}/preview", json=body)
    assert (status, [each["name"] for each in answer["variants"]]) == (200, ["square"])
    other = await world.submit("other")
    status, _, problem = await ask("POST", f"{PATH}/preview", json={"preset": "avatar", "uniqueId": other.unique_id})
    assert (status, problem["code"]) == (404, "image_not_found")


async def test_what_is_too_large_for_the_answer_is_described_and_left_out(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_SHOWN_BYTES", 2000)
    body = {"preset": "standard", "picture": base64.b64encode(picture(400, 300)).decode()}
    _, _, answer = await ask("POST", f"{PATH}/preview", json=body)
    assert [each["data"] is None for each in answer["variants"]] == [each["size"] > 2000 for each in answer["variants"]]
    assert any(each["data"] is None for each in answer["variants"])


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"preset": "standard", "picture": base64.b64encode(b"no picture").decode()}, "picture_refused"),
        ({"preset": "standard", "picture": base64.b64encode(b"").decode()}, "invalid_request"),
        ({"preset": "standard", "picture": "%%%%"}, "invalid_request"),
        ({"preset": "nothing", "picture": "aaaa"}, "preset_not_found"),
        ({"preset": "standard", "document": AVATAR, "picture": "aaaa"}, "invalid_request"),
        ({"preset": "standard"}, "invalid_request"),
        ({"picture": "aaaa"}, "invalid_request"),
        ({"preset": "standard", "picture": "aaaa", "uniqueId": "x"}, "invalid_request"),
        ({"preset": "standard", "uniqueId": "x"}, "image_not_found"),
    ],
    ids=str,
)
async def test_a_preview_that_cannot_be_made_says_why(ask: Ask, body: Any, code: str) -> None:
    status, _, problem = await ask("POST", f"{PATH}/preview", json=body)
    assert (400 <= status < 500, problem["code"]) == (True, code)


async def test_a_picture_may_be_larger_than_other_bodies_and_has_a_bound_of_its_own(
    ask: Ask, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = corpus.png(corpus.photo(400, 300))
    assert len(large) > 100_000
    body = {"preset": "standard", "picture": base64.b64encode(large).decode()}
    for headers in ({}, {"Idempotency-Key": "k2"}):
        assert (await ask("POST", f"{PATH}/preview", json=body, headers=headers))[0] == 200
    status, _, problem = await ask("POST", "/images/upload-url", json=body | {"filename": "a"})
    assert (status, problem["code"]) == (413, "payload_too_large")
    too_large = io.BytesIO(b" " * (pictures.MAX_PICTURE_BODY_BYTES + 1))
    async with client.post(f"{PATH}/preview", data=too_large, headers={"Content-Type": "application/json"}) as answer:
        assert (answer.status, (await answer.json())["limit"]) == (413, pictures.MAX_PICTURE_BODY_BYTES)
    monkeypatch.setattr(pictures, "MAX_PICTURE_BYTES", 3000)
    status, _, problem = await ask("POST", f"{PATH}/preview", json=body)
    assert (status, problem["limit"]) == (400, 3000)


async def test_only_so_many_previews_are_made_at_once(ask: Ask, client: Client) -> None:
    places = client.app[PREVIEWS]
    body = {"preset": "standard", "picture": base64.b64encode(picture()).decode()}
    with places.place("default"), places.place("default"):
        for method, path, content in (("POST", f"{PATH}/preview", body), ("PUT", f"{PATH}/avatar", AVATAR)):
            status, headers, problem = await ask(method, path, json=content)
            assert (status, problem["code"], "Retry-After" in headers) == (429, "too_many_previews", True)
    assert (await ask("POST", f"{PATH}/preview", json=body))[0] == 200


async def test_a_machine_that_fails_is_no_fault_of_the_preset(ask: Ask, world: World) -> None:
    world.renderer.broken = Unavailable()
    status, _, problem = await put(ask)
    assert (status, problem["code"]) == (503, "unavailable")
    assert (await ask("GET", f"{PATH}/avatar"))[0] == 404


async def test_a_preview_that_takes_too_long_is_given_up(
    ask: Ask, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(previews, "LONGEST_SECONDS", 0.01)
    world.renderer.gate = asyncio.Event()
    body = {"preset": "standard", "picture": base64.b64encode(picture()).decode()}
    status, _, problem = await ask("POST", f"{PATH}/preview", json=body)
    assert (status, problem["code"]) == (503, "unavailable")


# -- backfills ------------------------------------------------------------------------------------------------------


async def of_version(ask: Ask, submit: Submit, world: World, quality: int) -> str:
    """An image that is completed with a new version of a preset."""
    await put(ask, content=document(quality=quality))
    upload = await submit(preset="avatar")
    await world.complete(upload["processingId"])
    await world.source.put(upload["key"], picture())
    return str(upload["uniqueId"])


async def test_a_backfill_is_planned_and_started(ask: Ask, submit: Submit, world: World) -> None:
    old = await of_version(ask, submit, world, 70)
    await of_version(ask, submit, world, 71)
    status, _, plan = await ask("POST", f"{PATH}/avatar/plan")
    assert (status, plan["presetVersion"], plan["images"], plan["lookedAt"], plan["complete"]) == (200, 2, 1, 2, True)
    (sample,) = plan["samples"]
    assert (sample["uniqueId"], sample["presetVersion"]) == (old, 1)
    assert all(url.startswith(f"{CDN}/processed/{old}/") for url in sample["processedImages"].values())
    status, _, job = await ask("POST", f"{PATH}/avatar/backfill")
    assert (status, job["operation"], job["preset"], job["state"]) == (202, "backfill", "avatar", "queued")
    assert job["filter"]["preset"] == "avatar"
    status, _, problem = await ask("POST", f"{PATH}/avatar/backfill")
    assert (status, problem["code"]) == (409, "batch_in_progress")
    status, _, problem = await ask("DELETE", f"{PATH}/avatar?force=true")
    assert (status, problem["code"]) == (409, "preset_in_use")
    for call in ("plan", "backfill"):
        status, _, problem = await ask("POST", f"{PATH}/nothing/{call}")
        assert (status, problem["code"]) == (404, "preset_not_found")


async def test_a_plan_shows_images_before_and_after_and_stores_nothing(
    ask: Ask, submit: Submit, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for quality in range(70, 74):
        await of_version(ask, submit, world, quality)
    await put(ask, content={"variants": [{"name": "tiny", "width": 40, "formats": ["webp", "avif"]}, {"name": "full"}]})
    stored = await world.processed.list("")
    _, _, plan = await ask("POST", f"{PATH}/avatar/plan", headers={"Idempotency-Key": "k"})
    assert (plan["images"], len(plan["samples"])) == (4, 3)
    for sample in plan["samples"]:
        found = [(each["name"], each["format"], decoded(each).width) for each in sample["after"]]
        assert found == [("tiny", "webp", 40), ("full", "webp", 160), ("tiny", "avif", 40)]
        assert ("problem" in sample, all(sample["processedImages"].values())) == (False, True)
    assert await world.processed.list("") == stored
    _, _, without = await ask("POST", f"{PATH}/avatar/plan?after=false")
    assert without == {**plan, "samples": [{**each, "after": None} for each in plan["samples"]]}
    monkeypatch.setattr(backfills, "MAX_SHOWN_BYTES", 3)
    _, _, bounded = await ask("POST", f"{PATH}/avatar/plan")
    assert [file["data"] for sample in bounded["samples"] for file in sample["after"]] == [None] * 9


async def test_a_plan_says_why_it_cannot_show_what_an_image_would_become(
    ask: Ask, submit: Submit, world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = [await of_version(ask, submit, world, quality) for quality in (70, 71)]
    await put(ask, content=document(quality=72))
    key = (await world.jobs.image_of_any_tenant(first)).key
    await world.source.put(key, b"no picture")

    async def shown() -> dict[str, str]:
        status, _, plan = await ask("POST", f"{PATH}/avatar/plan")
        assert (status, plan["images"]) == (200, 2)
        return {each["uniqueId"]: each.get("problem", {}).get("code") for each in plan["samples"]}

    assert await shown() == {first: "picture_refused", second: None}
    await world.source.purge(key)
    assert await shown() == {first: "not_uploaded", second: None}
    with client.app[PREVIEWS].place("default"), client.app[PREVIEWS].place("default"):
        assert await shown() == dict.fromkeys((first, second), "too_many_previews")
    monkeypatch.setattr(previews, "SEVERAL_SECONDS", 0.01)
    world.renderer.gate = asyncio.Event()
    assert (await shown())[second] == "unavailable"


async def test_a_bulk_job_is_paused_and_goes_on(ask: Ask, submit: Submit, world: World) -> None:
    await of_version(ask, submit, world, 70)
    _, _, job = await ask("POST", f"{PATH}/avatar/backfill")
    path = f"/images/batch/{job['batchId']}"
    status, _, paused = await ask("PATCH", path, json={"paused": True})
    assert (status, paused["state"], paused["pausedFor"], "pausedUntil" in paused) == (200, "queued", "asked", False)
    assert (await ask("GET", path))[2] == paused
    _, _, going = await ask("PATCH", path, json={"paused": False})
    assert "pausedFor" not in going
    assert (await ask("PATCH", path, json={}))[0] == 400
    assert (await ask("PATCH", "/images/batch/batch_1_a", json={"paused": True}))[2]["code"] == "batch_not_found"
    assert (await ask("DELETE", path))[2]["state"] == "cancelled"
    assert (await ask("PATCH", path, json={"paused": True}))[2]["state"] == "cancelled"
