"""`truss-image assets`: pictures and texts for watermarks, from the command line."""

from __future__ import annotations

import base64
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from service.cli.asking import epilog, run, shared

if TYPE_CHECKING:
    from service.client.assets import AssetCommands


@click.group()
def assets() -> None:
    """List, add, fetch and delete assets: pictures and texts for watermarks, as docs/watermarks.md describes them."""


@assets.command(name="ls", epilog=epilog("images:read"))
@shared
def list_(*, url: str, api_key: str | None, json_output: bool) -> None:
    """List the assets, newest first."""
    _run(url, api_key, lambda commands: commands.show_all(), json_output=json_output)


@assets.command(
    epilog=f"""\b
Examples:
  truss-image assets add logo.png
  truss-image assets add --text "© Ada" --colour "#ffffff"

{epilog("images:admin")}"""
)
@click.argument("picture", type=click.File("rb"), required=False)
@click.option("--text", help="In place of a picture: at most 120 characters in 4 lines.")
@click.option("--colour", metavar="#RRGGBB", help="Of the text; white by default.")
@shared
def add(
    picture: BinaryIO | None,
    *,
    text: str | None,
    colour: str | None,
    url: str,
    api_key: str | None,
    json_output: bool,
) -> None:
    """Store a PICTURE of at most 4 MiB, or a text, and print its id. The same again has the same id."""
    if (picture is None) == (text is None):
        raise click.UsageError("give a PICTURE or --text")
    encoded = None if picture is None else base64.b64encode(picture.read()).decode()
    given = {"picture": encoded, "text": text, "colour": colour}
    asked = {name: value for name, value in given.items() if value is not None}
    _run(url, api_key, lambda commands: commands.add(asked), json_output=json_output)


@assets.command(epilog=epilog("images:read"))
@click.argument("asset_id")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The file to write.")
@shared
def get(asset_id: str, *, out: Path, url: str, api_key: str | None, json_output: bool) -> None:
    """Write the file of an asset, a WebP."""
    _run(url, api_key, lambda commands: commands.fetch(asset_id, out), json_output=json_output)


@assets.command(epilog=epilog("images:admin"))
@click.argument("asset_id")
@shared
def rm(asset_id: str, *, url: str, api_key: str | None, json_output: bool) -> None:
    """Delete an asset that no preset names."""
    _run(url, api_key, lambda commands: commands.remove(asset_id), json_output=json_output)


def _run(
    url: str, api_key: str | None, story: Callable[[AssetCommands], Coroutine[Any, Any, None]], *, json_output: bool
) -> None:
    """Ends the command."""
    from service.client.assets import AssetCommands

    run(url, api_key, AssetCommands, story, json_output=json_output)
