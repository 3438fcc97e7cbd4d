"""Presets from the command line: listed, shown, written, deleted, tried out."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from service.client.commands import Commands
from service.client.display import printable
from service.client.images import Images

_PATH = "/images/presets"


@dataclass(slots=True, kw_only=True)
class PresetCommands(Commands):
    """What the commands do."""

    async def show_all(self) -> None:
        """A row for each preset; the default has a star."""
        found = await self.ask("GET", _PATH, "presets")
        for preset in () if found is None else found["presets"]:
            star = "*" if found and preset["name"] == found["default"] else " "
            self.write(preset, f"{star} {_row(preset)}")

    async def show(self, name: str, version: int | None) -> None:
        """The document, as `put` takes it."""
        query = "" if version is None else f"?version={version}"
        found = await self.ask("GET", f"{_path(name)}{query}", "document")
        if found is not None:
            self.write(found, json.dumps(found["document"], indent=2))

    async def put(self, name: str, document: object) -> None:
        """Write a preset, and tell its version."""
        self._tell(await self.ask("PUT", _path(name), "version", body=document))

    async def remove(self, name: str, *, force: bool) -> None:
        self._tell(await self.ask("DELETE", f"{_path(name)}{'?force=true' if force else ''}", "version"), "deleted ")

    async def choose_default(self, name: str) -> None:
        """Make a preset the default."""
        chosen = await self.ask("PATCH", _PATH, "default", body={"default": name})
        if chosen is not None:
            self.write(chosen, f"default {printable(chosen['default'])}")

    async def preview(self, asked: Mapping[str, Any], out: Path) -> None:
        """Write the files of a preview into a folder, with a row for each."""
        made = await self.ask("POST", f"{_PATH}/preview", "variants", body=asked)
        for variant in () if made is None else made["variants"]:
            told = _written(variant, out)
            self.write(told, _file_row(told))

    async def plan(self, name: str, out: Path | None) -> None:
        """Tell what a backfill would do. With a folder, write into it what some images would become."""
        plan = await self.ask("POST", f"{_path(name)}/plan?after={'false' if out is None else 'true'}", "images")
        if plan is not None:
            cost = plan["cost"]
            some = "" if plan["complete"] else f" of the {plan['lookedAt']:,} newest; there are more"
            told = f"{plan['images']:,} images have another version than {plan['presetVersion']}{some}"
            costs = f"{cost['cpuSeconds']:,.0f} CPU seconds, {cost['bytes']:,} bytes, {cost['dollars']:.2f} dollars"
            without = {**plan, "samples": [{**each, "after": None} for each in plan["samples"]]}
            self.write(without, printable(f"{name}  {told}  {costs}"))
            if out is not None:
                for sample in plan["samples"]:
                    self._show(sample, out / Path(sample["uniqueId"]).name)

    async def backfill(self, name: str) -> None:
        """Start a backfill, and follow it to its end."""
        started = await self.ask("POST", f"{_path(name)}/backfill", "batchId")
        if started is not None:
            await Images(api=self.api, report=self.report).follow(started["batchId"])

    def _show(self, sample: Mapping[str, Any], folder: Path) -> None:
        """The URLs of an image before, and the files after."""
        after = [_written(variant, folder) for variant in sample["after"] or ()]
        before = [printable(f"  before  {name}  {url}") for name, url in sample["processedImages"].items()]
        problem = sample.get("problem")
        rows = [f"  after   {_file_row(told)}" for told in after] if problem is None else [_problem_row(problem)]
        self.write({**sample, "after": after}, "\n".join([printable(sample["uniqueId"]), *before, *rows]))

    def _tell(self, preset: Mapping[str, Any] | None, what: str = "") -> None:
        if preset is not None:
            self.write(preset, f"{what}{_row(preset)}")


def _written(variant: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The variant with its file in the place of its data; None if it has no data."""
    file = None if variant["data"] is None else str(_write(variant, folder))
    return {**{name: value for name, value in variant.items() if name != "data"}, "file": file}


def _write(variant: Mapping[str, Any], folder: Path) -> Path:
    """The name of a variant comes from the service, so it may not lead out of the folder."""
    file = folder / f"{Path(variant['name']).name}.{Path(variant['format']).name}"
    folder.mkdir(parents=True, exist_ok=True)
    file.write_bytes(base64.b64decode(variant["data"]))
    return file


def _file_row(told: Mapping[str, Any]) -> str:
    size = f"{told['width']} x {told['height']}  {told['size']:,} bytes"
    return printable(f"{told['name']}  {told['format']}  {size}  {told['file'] or 'too large to show'}")


def _problem_row(problem: Mapping[str, Any]) -> str:
    return printable(f"  after   not shown: {problem['detail']} ({problem['code']})")


def _path(name: str) -> str:
    return f"{_PATH}/{quote(name, safe='')}"


def _row(preset: Mapping[str, Any]) -> str:
    seconds = f"{preset['cpuSeconds']:.2f} CPU seconds for a photograph of 12 megapixels"
    return printable(f"{preset['name']}  version {preset['version']}  {seconds}")
