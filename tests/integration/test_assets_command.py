"""`truss-image assets` as a real process, over the real API."""

from __future__ import annotations

import json
from pathlib import Path

from service.calls.viewer import sample_picture
from tests.integration.test_images_command import Running, running

__all__ = ["running"]


async def test_assets_are_added_listed_fetched_and_deleted(running: Running, tmp_path: Path) -> None:
    logo, out = tmp_path / "logo.png", tmp_path / "logo.webp"
    logo.write_bytes(sample_picture())
    code, rows, _ = await running.run("assets", "add", str(logo))
    assert code == 0
    picture = rows[0].split()[0]
    code, rows, _ = await running.run("assets", "add", "--text", "© Ada", "--colour", "#ff0000", "--json")
    text = json.loads(rows[0])["assetId"]
    assert (code, len(picture), picture != text) == (0, 64, True)
    _, rows, _ = await running.run("assets", "ls")
    assert {row.split()[0] for row in rows} == {picture, text}
    assert (await running.run("assets", "get", picture, "--out", str(out)))[:2] == (0, [str(out)])
    assert out.read_bytes()[8:12] == b"WEBP"
    assert (await running.run("assets", "rm", picture))[:2] == (0, [f"deleted {picture}"])
    code, _, err = await running.run("assets", "rm", picture)
    assert (code, "asset_not_found" in err) == (1, True)


async def test_what_is_no_asset_is_told_with_its_reason(running: Running) -> None:
    assert (await running.run("assets", "add"))[0] == 2
    code, _, err = await running.run("assets", "add", "--text", "漢")
    assert (code, "U+6F22" in err) == (1, True)
