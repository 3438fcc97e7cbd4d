"""The command line: `truss-image serve` and `local`; `submit`, `status`, `watch`, `ls`, `process`, `rm`, `bulk`,
`presets`, `assets`, `review` and `usage`; `reconcile`, `verify`, `replay` and `keys`.

A command imports what it runs when it runs: `--help` and the client pay for no server, no SDK and no libvips.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from service.cli.assets import assets
from service.cli.images import bulk, list_, process, rm, usage
from service.cli.keys import keys, tenant_option
from service.cli.local import running_locally
from service.cli.presets import presets
from service.cli.replay import replay
from service.cli.reviews import review
from service.cli.start import no_garbage
from service.cli.submit import LOCAL_PORT, status, submit
from service.cli.watch import watch

if TYPE_CHECKING:
    from processor.stores.config import AwsCredentials
    from service.config import Settings


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="truss-image", prog_name="truss-image")
def main() -> None:
    """Users upload pictures straight to S3; WebP variants come back behind a CDN."""


for command in (assets, bulk, keys, list_, presets, process, replay, review, rm, status, submit, usage, watch):
    main.add_command(command)


@main.command(context_settings={"help_option_names": ["-h", "--help"]})
def serve() -> None:
    """Serve the API and work on the queue, or do one of both (ROLES).

    Everything is configured by environment variables; docs/settings.md lists them.
    """
    with no_garbage():
        import asyncio

        from service.config import SettingsError
        from service.server import CannotListen, run

    try:
        sys.exit(asyncio.run(run(_settings())))
    except (CannotListen, SettingsError) as error:
        raise click.ClickException(str(error)) from None


@main.command()
@click.option(
    "--port",
    metavar="INTEGER",
    envvar="PORT",
    default=str(LOCAL_PORT),
    show_default=True,
    help="Port of the API; 0 takes a free one.",
)
@click.option(
    "--data-dir",
    metavar="DIRECTORY",
    envvar="DATA_DIR",
    default=".local",
    show_default=True,
    help="Where uploads, variants and records are kept across restarts.",
)
def local(port: str, data_dir: str) -> None:
    """Run the whole system on this machine, without an AWS account."""
    with no_garbage():
        import asyncio

        from service.config import SettingsError
        from service.local import LocalError
        from service.local.run import run_local
        from service.server import CannotListen

    try:
        sys.exit(asyncio.run(run_local(port, data_dir, os.environ)))
    except (CannotListen, LocalError, SettingsError) as error:
        raise click.ClickException(str(error)) from None


@main.command()
@click.option(
    "--grace",
    "grace_minutes",
    type=click.IntRange(min=0),
    default=180,
    show_default=True,
    help="Leave alone what changed within so many minutes; a message may be hidden for two hours.",
)
@click.option(
    "--adopt-as",
    "tenant",
    metavar="TENANT",
    callback=tenant_option,
    help="Give uploads of which there is no record, such as an earlier service's, to this tenant, and convert them.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
def reconcile(grace_minutes: int, tenant: str | None, *, dry_run: bool) -> None:
    """Find uploads that no message will come for, and variants that no record names, or that newer ones replaced long
    ago; mend them.

    Prints one line for each and a count at the end. Safe to run at any time, twice, and beside the service. Configured
    by the same environment variables as `serve`; without them, it works on the local mode that runs over DATA_DIR.
    """
    with no_garbage():
        import asyncio

        from processor.catalog.reconcile import Reconciler
        from processor.errors import Busy, Unavailable
        from processor.stores.clients import open_clients
        from service.wiring import make_stores

    settings, credentials = _target()
    counts: Counter[str] = Counter()

    async def run_all() -> None:
        async with open_clients(settings.aws(credentials)) as clients:
            reconciler = Reconciler(
                stores=make_stores(settings, clients),
                recipe=settings.recipe,
                source_bucket=settings.source_bucket,
                grace=timedelta(minutes=grace_minutes),
                dry_run=dry_run,
                adopt_as=tenant,
                keep_replaced=settings.keep_replaced,
            )
            async for finding in reconciler.findings():
                counts[finding.kind] += 1
                click.echo(f"{finding.kind:<10} {finding.action:<8} {finding.where}")

    try:
        asyncio.run(run_all())
    except (Unavailable, Busy) as error:
        raise click.ClickException(error.message) from None
    total = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())) or "nothing out of order"
    click.echo(f"{total}{' (dry run: nothing was done)' if dry_run and counts else ''}")


@main.command()
@click.argument("unique_ids", nargs=-1, metavar="[UNIQUE_ID]...")
def verify(unique_ids: tuple[str, ...]) -> None:
    """Read the variants of images again, and compare them with records and manifests, byte for byte.

    Without ids, every image that has variants. Prints one line for each difference, and exits with 1 when there is
    one. Configured by the same environment variables as `serve`; without them, it works on the local mode that runs
    over DATA_DIR.
    """
    with no_garbage():
        import asyncio

        from processor.catalog.verify import Verifier
        from processor.errors import ImageNotFound, Unavailable
        from processor.stores.clients import open_clients
        from service.wiring import make_stores

    settings, credentials = _target()

    async def run_all() -> tuple[int, int]:
        images = differences = 0
        async with open_clients(settings.aws(credentials)) as clients:
            verifier = Verifier(stores=make_stores(settings, clients))
            async for unique_id in _each(unique_ids) if unique_ids else verifier.images():
                images += 1
                async for difference in verifier.verify(unique_id):
                    differences += 1
                    click.echo(f"{difference.key}: {difference.problem}")
        return images, differences

    try:
        images, differences = asyncio.run(run_all())
    except (Unavailable, ImageNotFound) as error:
        raise click.ClickException(error.message) from None
    click.echo(f"{images} images, {differences} differences")
    sys.exit(1 if differences else 0)


def _settings() -> Settings:
    """The environment's, with logging set up as they say."""
    from service.config import Settings, SettingsError
    from service.observe.logs import set_up_logging

    try:
        settings = Settings.from_env(os.environ)
    except SettingsError as error:
        raise click.ClickException(f"the configuration is not complete:\n{error}") from None
    set_up_logging(settings.log_level, settings.log_format)
    return settings


def _target() -> tuple[Settings, AwsCredentials | None]:
    """What to work on, with logging set up: what the environment describes, or else the running local mode."""
    from service.config import Settings
    from service.observe.logs import set_up_logging

    if Settings.describes_a_service(os.environ):
        return _settings(), None
    settings, credentials = running_locally()
    set_up_logging(settings.log_level, settings.log_format)
    return settings, credentials


async def _each(unique_ids: tuple[str, ...]) -> AsyncIterator[str]:
    for unique_id in unique_ids:
        yield unique_id
