"""Runs the service, as it is in production, over the emulator."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import click
import structlog

from processor.reconcile import Reconciler
from processor.stores.clients import AwsCredentials, open_clients
from processor.stores.provision import Names, Provisioned, provision, provision_identity
from service.auth.principal import DEFAULT_TENANT
from service.config import Settings
from service.lifespan import aws_config, build_catalog
from service.local.emulator import ACCOUNT_ID, ADDRESS_VARIABLE, LOOPBACK, REGION, Emulator, bindable, run_emulator
from service.server import run
from service.telemetry import set_up_logging

#: Stage of the local mode; part of every name.
STAGE = "local"
#: The emulator's administrator. It listens on loopback alone; the service gets a user of its own, as in production.
ADMINISTRATOR = AwsCredentials(access_key_id="test", secret_access_key="test")  # noqa: S106 - opens nothing but loopback

log = structlog.get_logger(__name__)


async def run_local(port: int, data_dir: Path, environ: Mapping[str, str]) -> int:
    """Serve until told to stop; the exit code. Raises `EmulatorError`, `SettingsError`, `OSError` for a taken port."""
    port = bindable(port)
    async with run_emulator(data_dir) as emulator:
        names = Names.of_stage(STAGE, ACCOUNT_ID)
        settings = local_settings(port, emulator, names, environ)
        set_up_logging(settings.log_level, settings.log_format)
        credentials = await _provision(settings, names)
        if not emulator.intact:
            await _mend(settings, credentials)
        return await run(
            settings,
            credentials=credentials,
            local_viewer=True,
            # Not where it listens, which in a container is no address to go to.
            on_ready=lambda _: click.echo(greeting(settings.cloudfront_url, emulator)),
        )


def local_settings(port: int, emulator: Emulator, names: Names, environ: Mapping[str, str]) -> Settings:
    """Production's settings with the local names; limits, threads, logs and the like stay the environment's."""
    return Settings.from_env(
        # A short poll lets Ctrl-C end the service without a wait of 20 s.
        {"QUEUE_WAIT_SECONDS": "2", "CORS_ORIGINS": "*", "AUTH_MODES": "none"}
        | dict(environ)
        | {
            "STAGE": STAGE,
            "HOST": environ.get(ADDRESS_VARIABLE, LOOPBACK),
            "PORT": str(port),
            "SOURCE_BUCKET": names.source_bucket,
            "PROCESSED_BUCKET": names.processed_bucket,
            "PROCESSING_TABLE": names.table,
            "QUEUE_URL": f"{emulator.endpoint_url}/{ACCOUNT_ID}/{names.queue}",
            "DEAD_LETTER_QUEUE_URL": f"{emulator.endpoint_url}/{ACCOUNT_ID}/{names.dead_letter_queue}",
            "CLOUDFRONT_URL": f"http://127.0.0.1:{port}",
            "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL": emulator.endpoint_url,
        }
    )


async def _provision(settings: Settings, names: Names) -> AwsCredentials:
    """Make what production's stack would make, where it is missing; the service's own credentials."""
    async with open_clients(aws_config(settings, ADMINISTRATOR)) as clients:
        provisioned: Provisioned = await provision(clients, names, cors_origins=settings.cors_origins)
        return await provision_identity(clients, provisioned)


async def _mend(settings: Settings, credentials: AwsCredentials) -> None:
    """Queue what is uploaded and not converted: the emulator was killed before it saved records and messages."""
    async with open_clients(aws_config(settings, credentials)) as clients:
        reconciler = Reconciler(
            catalog=build_catalog(settings, clients),
            source_bucket=settings.source_bucket,
            grace=timedelta(0),  # nothing else runs yet
            adopt_as=DEFAULT_TENANT,
        )
        count = len([finding async for finding in reconciler.findings()])
    if count:
        log.warning("Mended after an unclean end", count=count)


def greeting(url: str, emulator: Emulator) -> str:
    """What is where, how to try each step, how to stop."""
    return f"""
  Truss image service, on this machine alone

    API        {url}
    Reference  {url}/images/docs
    AWS        {emulator.endpoint_url} (emulated; its data is in {emulator.data_dir})

  The whole way in one command, in another terminal:

    .venv/bin/truss-image submit --url {url} photo.jpg

  Or step by step:

    curl -s '{url}/images/upload-url?filename=photo.jpg'         # 1. ask for a URL
    curl -T photo.jpg -H 'Content-Type: image/jpeg' 'UPLOAD_URL' # 2. upload to it
    curl -s '{url}/images/status/PROCESSING_ID'                  # 3. follow the job, then open a variant's url
    curl -s '{url}/images/list'                                  # everything so far
    curl -s '{url}/images/processed/UNIQUE_ID'                   # the variants of one image
    curl -s -X POST '{url}/images/process/UNIQUE_ID'             # convert it once more
    curl -s -X DELETE '{url}/images/image/UNIQUE_ID'             # delete it

  Ctrl-C stops it; uploads, variants and records are still there at the next start.
"""
