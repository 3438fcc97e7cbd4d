"""Runs the service with the emulator."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import IO

import click
import structlog
from yarl import URL

from processor.catalog.reconcile import Reconciler
from processor.errors import Unavailable
from processor.stores.clients import open_clients
from processor.stores.config import AwsCredentials
from processor.stores.provision import Names, Provisioned, provision, provision_identity
from service.auth.principal import DEFAULT_TENANT
from service.auth.settings import AuthMode
from service.config import Settings
from service.local import LocalError
from service.local.emulator import ACCOUNT_ID, PORT_VARIABLE, REGION, Emulator, choose_port, endpoint_url, run_emulator
from service.local.first_key import FirstKey, first_key
from service.local.folder import Running, announce, find_running, held, make_folder, refuse_second
from service.local.greeting import Addresses, greeting
from service.local.ports import EVERYWHERE, LOOPBACK, address_of, free_port, parse_port, refuse_equal
from service.local.private_key import KEY_ID, local_private_key
from service.observe.logs import set_up_logging
from service.server import run
from service.settings.roles import Role
from service.wiring import make_key_store, make_stores

#: The signals that stop a start.
STOPPING = (signal.SIGTERM, signal.SIGINT)
#: Stage of the local mode; part of every name.
STAGE = "local"
NAMES = Names.of_stage(STAGE, ACCOUNT_ID)
#: The emulator's administrator. It listens on loopback alone; the service gets a user of its own, as in production.
ADMINISTRATOR = AwsCredentials(access_key_id="test", secret_access_key="test")  # noqa: S106 - opens nothing but loopback

log = structlog.get_logger(__name__)


async def run_local(port: str, data_dir: str, environ: Mapping[str, str]) -> int:
    """Serve until told to stop; the exit code. Raises `LocalError`, `SettingsError`, `CannotListen`.

    Whatever can be wrong with what it is told is looked at before anything is started.
    """
    keep_out_other_aws()
    folder = make_folder(data_dir)
    refuse_second(folder)
    address = address_of(environ)
    api_port = free_port(parse_port(port, "PORT"), "PORT", address)
    with held(folder) as file:
        aws_port = choose_port(folder, environ, apart_from=api_port)
        settings = local_settings(api_port, endpoint_url(aws_port), environ, local_private_key(folder))
        refuse_equal(PORT=api_port, **{PORT_VARIABLE: aws_port}, METRICS_PORT=settings.metrics_port)
        if settings.metrics_port:
            free_port(settings.metrics_port, "METRICS_PORT", address)
        set_up_logging(settings.log_level, settings.log_format, viewer=settings.cloudfront_url)
        signals = _obey_while_starting()
        try:
            return await _serve(settings, folder, aws_port, file)
        except asyncio.CancelledError:
            if not signals:
                raise
            # Nothing is left to stop. One more would come when the event loop has let go of its handlers.
            signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
            return 128 + signals[0]


async def _serve(settings: Settings, folder: Path, aws_port: int, file: IO[str]) -> int:
    """Start what the service needs, serve, and tell where once it answers."""
    click.echo(f"Starting over the data in {folder}", err=True)
    async with run_emulator(folder, aws_port) as emulator:
        credentials, key = await _prepare(settings, emulator)
        addresses = Addresses(
            # Not where it listens, which in a container is no address to go to.
            url=settings.cloudfront_url,
            aws_url=emulator.endpoint_url,
            folder=folder,
            locked=AuthMode.NONE not in settings.auth_modes,
            key=key,
            contained=settings.host == EVERYWHERE,
            console=settings.console == "on",
        )

        def tell(_: str) -> None:
            announce(file, Running(url=addresses.url, endpoint_url=addresses.aws_url))
            click.echo(_writable(greeting(addresses, show_key=sys.stdout.isatty())))

        return await run(settings, credentials=credentials, local_viewer=True, on_ready=tell)


def keep_out_other_aws() -> None:
    """Ignore the AWS configuration of this machine: it must not mix with the local AWS."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ |= {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    # The keys of a user pool may need the proxy still.
    for name in ("no_proxy", "NO_PROXY"):
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), LOOPBACK)))


def local_settings(
    port: int, endpoint_url: str, environ: Mapping[str, str], private_key: Path | None = None
) -> Settings:
    """Settings with the local names. The environment still sets limits, threads, logs and the like."""
    return Settings.from_env(
        # Ctrl-C ends the service without a wait: polls are short, and no load balancer has to hear of it.
        {
            "QUEUE_WAIT_SECONDS": "2",
            "STOP_DELAY_SECONDS": "0",
            "CORS_ORIGINS": "*",
            "AUTH_MODES": "none",
            "CONSOLE": "on",
        }
        | {name: value for name, value in environ.items() if value}
        | {
            "STAGE": STAGE,
            "ROLES": ",".join(Role),
            "HOST": address_of(environ),
            "PORT": str(port),
            "SOURCE_BUCKET": NAMES.source_bucket,
            "PROCESSED_BUCKET": NAMES.processed_bucket,
            "PROCESSING_TABLE": NAMES.table,
            "QUEUE_URL": f"{endpoint_url}/{ACCOUNT_ID}/{NAMES.queue}",
            "DEAD_LETTER_QUEUE_URL": f"{endpoint_url}/{ACCOUNT_ID}/{NAMES.dead_letter_queue}",
            "CLOUDFRONT_URL": f"http://127.0.0.1:{port}",
            "CLOUDFRONT_DISTRIBUTION_ID": "",
            "PRIVATE_KEY_ID": KEY_ID if private_key else "",
            "PRIVATE_KEY_FILE": str(private_key or ""),
            "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL": endpoint_url,
            "S3_PUBLIC_ENDPOINT_URL": "",
        }
    )


def settings_of_running(environ: Mapping[str, str]) -> tuple[Settings, AwsCredentials]:
    """How a command reaches the local mode that runs over `DATA_DIR`. Raises `LocalError`, `SettingsError`."""
    running = find_running(environ)
    keep_out_other_aws()
    port = int(running.url.rpartition(":")[2])
    return local_settings(port, running.endpoint_url, environ), ADMINISTRATOR


def _writable(text: str) -> str:
    """The text with escapes for characters that standard output cannot write: a folder may have any name."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _obey_while_starting() -> list[int]:
    """Handle signals until the service does: the first stops the start in order, the second ends the process at once.

    The returned list contains the signals that came.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    came: list[int] = []

    def obey(number: signal.Signals) -> None:
        if came or task is None:
            os._exit(128 + number)  # the emulator sees that this process is gone, and saves
        came.append(number)
        task.cancel()

    for number in STOPPING:
        loop.add_signal_handler(number, obey, number)
    return came


async def _prepare(settings: Settings, emulator: Emulator) -> tuple[AwsCredentials, FirstKey | None]:
    """Create what the service needs. Returns its credentials, and the first key if callers need one."""
    try:
        credentials = await _provision(settings, NAMES)
        if not emulator.intact:
            await _mend(settings, credentials)
        if AuthMode.API_KEY not in settings.auth_modes:
            return credentials, None
        async with open_clients(settings.aws(credentials)) as clients:
            return credentials, await first_key(make_key_store(settings, clients), emulator.data_dir)
    except Unavailable:
        log_file = emulator.data_dir / "emulator.log"
        raise LocalError(f"The local AWS does not answer as it should: {log_file} says why.") from None


async def _provision(settings: Settings, names: Names) -> AwsCredentials:
    """Create what the production stack creates, where it is missing. Returns the service's own credentials."""
    async with open_clients(settings.aws(ADMINISTRATOR)) as clients:
        provisioned: Provisioned = await provision(clients, names, cors_origins=_origins(settings))
        return await provision_identity(clients, provisioned)


def _origins(settings: Settings) -> list[str]:
    """Pages that may upload from a browser: those that the settings name, and the console of this process."""
    own = URL(settings.cloudfront_url).origin()
    return [*settings.cors_origins, *(str(own.with_host(host)) for host in ("127.0.0.1", "localhost"))]


async def _mend(settings: Settings, credentials: AwsCredentials) -> None:
    """Queue uploads that are not converted, after an emulator that was killed before it saved records and messages."""
    async with open_clients(settings.aws(credentials)) as clients:
        reconciler = Reconciler(
            stores=make_stores(settings, clients),
            recipe=settings.recipe,
            source_bucket=settings.source_bucket,
            grace=timedelta(0),  # nothing else runs yet
            adopt_as=DEFAULT_TENANT,
        )
        count = len([finding async for finding in reconciler.findings()])
    if count:
        log.warning("Mended after an unclean end", count=count)
