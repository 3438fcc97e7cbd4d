"""`truss-image presets` as a real process, over the real API."""

from __future__ import annotations

import json
from pathlib import Path

from service.calls.viewer import sample_picture
from tests.integration.test_images_command import Running, running
from tests.waiting import next_millisecond

__all__ = ["running"]

DOCUMENT = {"variants": [{"name": "square", "width": 64, "height": 64, "fit": "cover"}, {"name": "full"}]}


async def test_a_preset_is_written_shown_chosen_used_and_deleted(running: Running, tmp_path: Path) -> None:
    file = tmp_path / "avatar.json"
    file.write_text(json.dumps(DOCUMENT))
    code, rows, _ = await running.run("presets", "put", "avatar", str(file))
    assert (code, rows[0].startswith("avatar  version 1  ")) == (0, True)
    code, rows, _ = await running.run("presets", "get", "avatar")
    written = "\n".join(rows)
    assert [each["name"] for each in json.loads(written)["variants"]] == ["square", "full"]
    code, rows, _ = await running.run("presets", "put", "avatar", "-", "--json", said=written)
    assert (code, json.loads(rows[0])["version"]) == (0, 1)
    assert (await running.run("presets", "default", "avatar"))[1] == ["default avatar"]
    code, rows, _ = await running.run("presets", "ls")
    assert [row.split()[:2] for row in rows] == [["standard", "version"], ["*", "avatar"]]
    code, _, err = await running.run("presets", "rm", "avatar")
    assert (code, "preset_in_use" in err) == (1, True)
    await running.run("presets", "default", "standard")
    assert (await running.run("presets", "rm", "avatar"))[0] == 0
    code, rows, err = await running.run("presets", "get", "avatar")
    assert (code, rows, "preset_not_found" in err) == (1, [], True)


async def test_a_preview_writes_its_files_into_a_folder(running: Running, tmp_path: Path) -> None:
    picture, document, out = tmp_path / "p.png", tmp_path / "d.json", tmp_path / "out"
    picture.write_bytes(sample_picture())
    document.write_text(json.dumps(DOCUMENT))
    given = ["--document", str(document), "--picture", str(picture), "--out", str(out)]
    code, rows, _ = await running.run("presets", "preview", *given)
    assert (code, len(rows)) == (0, 2)
    assert sorted(each.name for each in out.iterdir()) == ["full.webp", "square.webp"]
    assert all(each.read_bytes()[8:12] == b"WEBP" for each in out.iterdir())
    code, _, err = await running.run("presets", "preview", "--preset", "nothing", "--picture", str(picture))
    assert (code, "preset_not_found" in err) == (1, True)
    assert (await running.run("presets", "preview", "--preset", "standard"))[0] == 2
    code, _, err = await running.run("presets", "put", "a", "-", said="{")
    assert (code, "is not JSON" in err) == (1, True)


async def test_images_are_converted_again_with_a_preset(running: Running, tmp_path: Path) -> None:
    file = tmp_path / "avatar.json"
    file.write_text(json.dumps(DOCUMENT))
    await running.run("presets", "put", "avatar", str(file))
    (job, other) = await running.failed(2)
    assert (await running.run("process", job.unique_id, "--preset", "avatar"))[0] == 0
    image = await running.world.jobs.image_of_any_tenant(job.unique_id)
    assert (await running.world.jobs.job_of_any_tenant(image.current_job)).shown.preset == "avatar"
    await next_millisecond()
    assert (await running.run("process", "--status", "failed", "--preset", "avatar", "--yes"))[0] == 0
    image = await running.world.jobs.image_of_any_tenant(other.unique_id)
    assert (await running.world.jobs.job_of_any_tenant(image.current_job)).shown.preset == "avatar"
    code, rows, _ = await running.run("process", other.unique_id, "--preset", "nothing")
    assert (code, "preset_not_found" in rows[0]) == (1, True)


async def test_a_backfill_is_planned_followed_to_its_end_and_paused(running: Running, tmp_path: Path) -> None:
    file = tmp_path / "avatar.json"
    file.write_text(json.dumps(DOCUMENT))
    await running.run("presets", "put", "avatar", str(file))
    job = await running.world.complete((await running.world.submit("acme", preset="avatar")).processing_id)
    file.write_text(json.dumps({**DOCUMENT, "analyses": []}))
    await running.run("presets", "put", "avatar", str(file))
    code, rows, _ = await running.run("presets", "plan", "avatar")
    assert (code, rows[0].startswith("avatar  1 images have another version than 2  ")) == (0, True)
    await running.world.source.put(job.original_key, sample_picture())
    code, rows, _ = await running.run("presets", "plan", "avatar", "--samples", str(tmp_path / "samples"))
    folder = tmp_path / "samples" / job.unique_id
    assert sorted(each.name for each in folder.iterdir()) == ["full.webp", "square.webp"]
    assert rows[1] == job.unique_id
    assert [row.split()[0] for row in rows[2:]] == ["before"] * 4 + ["after"] * 2
    assert rows[-1].endswith(str(folder / "full.webp"))
    await running.world.source.purge(job.original_key)
    code, rows, _ = await running.run("presets", "plan", "avatar", "--samples", str(tmp_path / "none"), "--json")
    (plan, sample) = map(json.loads, rows)
    assert (code, plan["images"], sample["problem"]["code"], (tmp_path / "none").exists()) == (
        0,
        1,
        "not_uploaded",
        False,
    )
    await running.world.source.put(job.original_key, sample_picture())
    await next_millisecond()
    code, rows, err = await running.run("presets", "backfill", "avatar", "--json")
    total = json.loads(rows[-1])["total"]
    assert (code, total["operation"], total["state"], total["done"]) == (0, "backfill", "completed", 1), err
    image = await running.world.jobs.image_of_any_tenant(job.unique_id)
    assert (await running.world.jobs.job_of_any_tenant(image.current_job)).shown.preset_version == 2
    code, _, err = await running.run("bulk", total["batchId"], "--pause")
    assert (code, "backfill paused: 1 done" in err) == (0, True)
    assert (await running.run("bulk", total["batchId"], "--resume"))[0] == 0
