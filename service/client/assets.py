"""Assets from the command line: listed, added, fetched, deleted."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from service.client.commands import Commands

_PATH = "/images/assets"


@dataclass(slots=True, kw_only=True)
class AssetCommands(Commands):
    """What the commands do."""

    async def show_all(self) -> None:
        """A row for each asset."""
        found = await self.ask("GET", _PATH, "assets")
        for asset in () if found is None else found["assets"]:
            self.write(asset, f"{_row(asset)}  {asset['addedAt']}")

    async def add(self, asked: Mapping[str, Any]) -> None:
        """Store a picture or a text, and tell its id."""
        asset = await self.ask("POST", _PATH, "assetId", body=asked)
        if asset is not None:
            self.write(asset, _row(asset))

    async def fetch(self, asset_id: str, out: Path) -> None:
        """Write the file of an asset."""
        asset = await self.ask("GET", _path(asset_id), "data")
        if asset is not None:
            _write(out, asset["data"])
            self.write({"assetId": asset["assetId"], "file": str(out)}, str(out))

    async def remove(self, asset_id: str) -> None:
        asset = await self.ask("DELETE", _path(asset_id), "assetId")
        if asset is not None:
            self.write(asset, f"deleted {asset['assetId']}")


def _path(asset_id: str) -> str:
    return f"{_PATH}/{quote(asset_id, safe='')}"


def _write(file: Path, data: str) -> None:
    file.write_bytes(base64.b64decode(data))


def _row(asset: Mapping[str, Any]) -> str:
    return f"{asset['assetId']}  {asset['size']:,} bytes"
